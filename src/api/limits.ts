import { assert } from '#base/assert.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';

/** What one server lets its clients take. */
export interface ApiLimits {
  /** Request line and headers together. */
  readonly headerBytesMax: number;
  readonly bodyBytesMax: number;
  /** PutSnapshotBlock's body: one chunk, exactly. */
  readonly blockBodyBytesMax: number;
  /** Chunk headers and signatures of an aws-chunked body, beside its bytes. */
  readonly chunkedFramingBytesMax: number;
  /** The body of a request that is not signed; it is read only to learn which service to answer for. */
  readonly anonymousBodyBytesMax: number;
  /** Bodies of all signed requests in flight. */
  readonly bodyBytesInFlightMax: number;
  /** Bodies of all unsigned requests in flight. */
  readonly anonymousBodyBytesInFlightMax: number;
  /** Of a body that is refused, so much is read and dropped, so that its sender gets to read the answer. */
  readonly dropBytesMax: number;
  readonly headersTimeoutMs: number;
  readonly bodyTimeoutMs: number;
  /** From the whole request to the answer. */
  readonly callTimeoutMs: number;
  /** A connection on which nothing moves, while a reply is being read too. */
  readonly socketTimeoutMs: number;
  readonly keepAliveMs: number;
  readonly connectionsMax: number;
  /** Calls being performed, those whose client is gone included. */
  readonly callsRunningMax: number;
  readonly replayKeepMs: number;
  readonly replayCallsMax: number;
  readonly replayBytesMax: number;
}

export const API_LIMITS: ApiLimits = {
  headerBytesMax: 16 * 1024, // A signed request of an SDK has 1 to 2 KiB; a session token adds up to 4.
  bodyBytesMax: 1024 * 1024,
  blockBodyBytesMax: CHUNK_BYTES,
  chunkedFramingBytesMax: 16 * 1024, // 90 bytes a chunk, chunks of 8 KiB or more: 6 KiB; and room.
  anonymousBodyBytesMax: 64 * 1024,
  bodyBytesInFlightMax: 64 * 1024 * 1024, // 128 blocks at once.
  anonymousBodyBytesInFlightMax: 4 * 1024 * 1024,
  dropBytesMax: 1024 * 1024,
  headersTimeoutMs: 20_000,
  bodyTimeoutMs: 30_000,
  callTimeoutMs: 50_000, // Under the 60 s after which aws, boto3 and most SDKs give up reading.
  socketTimeoutMs: 120_000,
  keepAliveMs: 75_000, // Longer than the pools of SDKs keep an idle connection, so that they close it and not we.
  connectionsMax: 1024,
  callsRunningMax: 512,
  replayKeepMs: 15 * 60_000,
  replayCallsMax: 10_000,
  replayBytesMax: 16 * 1024 * 1024,
};

/** How limits relate: what holds whatever their values are. */
export function checkApiLimits(limits: ApiLimits): void {
  assert(limits.blockBodyBytesMax <= limits.bodyBytesMax, 'a block is within the largest body');
  assert(limits.bodyBytesMax + limits.chunkedFramingBytesMax <= limits.bodyBytesInFlightMax, 'one body finds room');
  assert(limits.anonymousBodyBytesMax <= limits.anonymousBodyBytesInFlightMax, 'one unsigned body finds room');
  assert(limits.callTimeoutMs < limits.socketTimeoutMs, 'a call is answered before its connection counts as dead');
  assert(limits.callTimeoutMs < limits.replayKeepMs, 'an answer is kept longer than its client waits for it');
}
