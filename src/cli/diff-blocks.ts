import { askServer, otherVersion } from './admin-client.ts';
import type { NbdClient } from './image-nbd-client.ts';

/** Snapshots are stored in pieces of this size, and compared in them first. */
export const CHUNK_BYTES = 512 * 1024;
/** A change is told in blocks of this size, as guests write them. */
export const BLOCK_BYTES = 4096;
const MAP_BYTES = 1024 * 1024 * 1024;
/** Chunks of which both sides are being read. */
const CHUNKS_AT_ONCE = 6;
const ZEROS = Buffer.alloc(CHUNK_BYTES);

export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/** How two disks differ. */
export interface BlockDiff {
  /** Bytes that are not the same. */
  readonly changedBytes: number;
  /** Runs of blocks (4 KiB) with such bytes, ascending; neighbours are one. */
  readonly ranges: readonly ByteRange[];
}

/**
 * The chunks in which two snapshots may differ, as the server knows by their addresses: costs what differs. Null: it cannot
 * tell.
 */
export async function changedChunks(
  data: string | undefined,
  first: string,
  second: string,
): Promise<readonly number[] | null> {
  const indexes: number[] = [];
  for (let after: number | null = 0; after !== null;) {
    const query = new URLSearchParams({ first, second, after: String(after) });
    const page = await askServer({ data }, 'GET', `/changes?${query.toString()}`);
    if (typeof page !== 'object' || page === null || !('changes' in page) || !('next' in page)) throw otherVersion();
    const { changes, next } = page;
    if (changes === null) return null;
    if (!Array.isArray(changes) || !changes.every((one) => typeof one === 'number')) throw otherVersion();
    if (next !== null && typeof next !== 'number') throw otherVersion();
    for (const index of changes) indexes.push(index);
    after = next;
  }
  return indexes;
}

/** The chunks in which either of two disks holds something. */
export async function heldChunks(clients: readonly NbdClient[]): Promise<readonly number[]> {
  const held = new Set<number>();
  for (const client of clients) {
    for (let offset = 0; offset < client.sizeBytes;) {
      for (const { length, zero } of await client.runs(offset, Math.min(MAP_BYTES, client.sizeBytes - offset))) {
        const end = Math.min(offset + length, client.sizeBytes);
        if (!zero) {
          for (let chunk = Math.floor(offset / CHUNK_BYTES); chunk * CHUNK_BYTES < end; chunk += 1) held.add(chunk);
        }
        offset = end;
      }
    }
  }
  return [...held].sort((one, other) => one - other);
}

/** Reads the chunks of both disks and compares them. A disk that ends earlier goes on with zeros. */
export async function diffChunks(
  before: NbdClient,
  after: NbdClient,
  chunks: readonly number[],
  options: { readonly signal: AbortSignal; readonly onProgress: (doneCount: number) => void },
): Promise<BlockDiff> {
  const ranges: { offset: number; length: number }[] = [];
  let changedBytes = 0;
  for (let start = 0; start < chunks.length; start += CHUNKS_AT_ONCE) {
    options.signal.throwIfAborted();
    const batch = chunks.slice(start, start + CHUNKS_AT_ONCE);
    const pairs = await Promise.all(
      batch.map(
        async (chunk) => await Promise.all([before, after].map(async (client) => await readChunk(client, chunk))),
      ),
    );
    for (const [index, [one = ZEROS, other = ZEROS]] of pairs.entries()) {
      changedBytes += compareChunk(one, other, (batch[index] ?? 0) * CHUNK_BYTES, ranges);
    }
    options.onProgress(start + batch.length);
  }
  return { changedBytes, ranges };
}

async function readChunk(client: NbdClient, chunk: number): Promise<Buffer> {
  const offset = chunk * CHUNK_BYTES;
  const length = Math.min(CHUNK_BYTES, client.sizeBytes - offset);
  if (length <= 0) return ZEROS;
  const bytes = await client.read(offset, length);
  return length === CHUNK_BYTES ? bytes : Buffer.concat([bytes, ZEROS.subarray(length)]);
}

/** Adds to `ranges`; the number of bytes that differ. */
function compareChunk(
  one: Buffer,
  other: Buffer,
  offset: number,
  ranges: { offset: number; length: number }[],
): number {
  if (one.equals(other)) return 0;
  let changed = 0;
  for (let at = 0; at < CHUNK_BYTES; at += BLOCK_BYTES) {
    if (one.compare(other, at, at + BLOCK_BYTES, at, at + BLOCK_BYTES) === 0) continue;
    for (let byte = at; byte < at + BLOCK_BYTES; byte += 1) if (one[byte] !== other[byte]) changed += 1;
    const last = ranges.at(-1);
    if (last !== undefined && last.offset + last.length === offset + at) last.length += BLOCK_BYTES;
    else ranges.push({ offset: offset + at, length: BLOCK_BYTES });
  }
  return changed;
}

/** Whether a range has any byte of sorted ranges that do not overlap. */
export function touches(ranges: readonly ByteRange[], offset: number, length: number): boolean {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const range = ranges[middle];
    if (range !== undefined && range.offset + range.length <= offset) low = middle + 1;
    else high = middle;
  }
  const found = ranges[low];
  return found !== undefined && found.offset < offset + length;
}
