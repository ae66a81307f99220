import { Agent as HttpAgent, type ClientRequest, type IncomingMessage, request as httpRequest } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';

import type { Clock } from '#base/clock.ts';
import type { HeaderList } from '#wire/aws/http.ts';

import type { S3Answer } from './s3-answer.ts';
import type { S3Address } from './s3-location.ts';
import { S3TimeoutError } from './s3-trouble.ts';

/** Bytes given to a socket at once: that each piece goes shows that the other side takes them. */
const PIECE_BYTES = 256 * 1024;
/** A connection slower than this is not worth waiting for: an attempt on one of 16 MiB ends after four minutes. */
const BYTES_PER_SECOND_MIN = 64 * 1024;
/** Larger than any object; a server that answers more is not a store of ours. */
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;

export interface S3HttpOptions {
  readonly address: S3Address;
  /** Connections at once. */
  readonly connectionCountMax: number;
  /** An attempt in which nothing moves for so long is given up. */
  readonly stallMs: number;
  readonly clock: Clock;
}

export interface S3HttpRequest {
  readonly method: string;
  /** With the query. */
  readonly target: string;
  /** All of them, `Host` and `Content-Length` too. */
  readonly headers: HeaderList;
  readonly body: readonly Uint8Array[];
  /** Bytes that the answer may have, as far as is known: what sets how long it may take. */
  readonly answerBytes: number;
}

/** One attempt at a request over connections that are kept: no retries, no meaning. Throws S3TimeoutError or what node reports. */
export class S3Http implements Disposable {
  readonly #options: S3HttpOptions;
  readonly #agent: HttpAgent;

  constructor(options: S3HttpOptions) {
    this.#options = options;
    const settings = {
      keepAlive: true,
      maxSockets: options.connectionCountMax,
      maxFreeSockets: options.connectionCountMax,
    };
    this.#agent = options.address.secure ? new HttpsAgent(settings) : new HttpAgent(settings);
  }

  async send(request: S3HttpRequest, signal: AbortSignal): Promise<S3Answer> {
    signal.throwIfAborted();
    const bodyBytes = request.body.reduce((sum, part) => sum + part.length, 0);
    const watch = new StallWatch(this.#options, bodyBytes + request.answerBytes);
    const outgoing = this.#open(request);
    const stop = (reason: unknown): void =>
      void outgoing.destroy(reason instanceof Error ? reason : new Error('aborted'));
    const onAbort = (): void => stop(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    void watch.stalled.then((error) => error !== null && stop(error));
    try {
      const answered = new Promise<IncomingMessage>((resolve, reject) => {
        outgoing.once('response', resolve);
        outgoing.on('error', reject);
      });
      answered.catch(() => {}); // Awaited below, after the body.
      const sent = sendBody(outgoing, request.body, watch);
      const incoming = await answered;
      const body = await readBody(incoming, watch);
      // A refusal may come before the body has gone; the rest need not go.
      if (!outgoing.writableFinished) outgoing.destroy();
      await sent;
      return { status: incoming.statusCode ?? 0, headers: incoming.headers, body };
    } catch (error) {
      outgoing.destroy();
      if (signal.aborted) throw signal.reason;
      if (watch.error === null) throw error;
      this.#dropIdle();
      throw watch.error;
    } finally {
      watch.end();
      signal.removeEventListener('abort', onAbort);
    }
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }

  /** What is idle may be as dead as the connection that stalled (the store was restarted, a router forgot them): the next attempt begins anew. */
  #dropIdle(): void {
    for (const sockets of Object.values(this.#agent.freeSockets)) for (const socket of sockets ?? []) socket.destroy();
  }

  #open(request: S3HttpRequest): ClientRequest {
    const { secure, hostname, port } = this.#options.address;
    return (secure ? httpsRequest : httpRequest)({
      agent: this.#agent,
      method: request.method,
      hostname,
      port: port ?? (secure ? 443 : 80),
      path: request.target,
      headers: request.headers.flatMap(([name, value]) => [name, value]),
    });
  }
}

/** Resolves when the body has gone, or cannot go: then the request itself says why. */
async function sendBody(outgoing: ClientRequest, parts: readonly Uint8Array[], watch: StallWatch): Promise<void> {
  const closed = new Promise<boolean>((resolve) => {
    outgoing.once('close', () => resolve(false));
  });
  for (const part of parts) {
    for (let at = 0; at < part.length; at += PIECE_BYTES) {
      const taken = new Promise<boolean>((resolve) => {
        outgoing.write(part.subarray(at, at + PIECE_BYTES), (error) => resolve(error === null || error === undefined));
      });
      if (!(await Promise.race([taken, closed]))) return;
      watch.moved();
    }
  }
  outgoing.end();
}

async function readBody(incoming: IncomingMessage, watch: StallWatch): Promise<Buffer> {
  watch.moved();
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of incoming as AsyncIterable<Buffer>) {
    watch.moved();
    pieces.push(piece);
    length += piece.length;
    if (length > ANSWER_BYTES_MAX) throw new Error(`an answer of more than ${ANSWER_BYTES_MAX} bytes`);
  }
  const [only] = pieces;
  return pieces.length === 1 && only !== undefined ? only : Buffer.concat(pieces, length);
}

/** Ends an attempt in which nothing moves, or which takes longer than any connection of use would. */
class StallWatch {
  readonly #clock: Clock;
  readonly #stallMs: number;
  readonly #untilMs: number;
  readonly #over = new AbortController();
  #movedMs: number;
  /** Why it stalled; null: it did not. */
  error: S3TimeoutError | null = null;
  /** Resolves with the error when it stalls, with null when it ended before. */
  readonly stalled: Promise<S3TimeoutError | null>;

  constructor({ clock, stallMs }: S3HttpOptions, bytes: number) {
    this.#clock = clock;
    this.#stallMs = stallMs;
    this.#movedMs = clock.monotonicMs();
    this.#untilMs = this.#movedMs + 3 * stallMs + (bytes / BYTES_PER_SECOND_MIN) * 1000;
    this.stalled = this.#watch();
  }

  moved(): void {
    this.#movedMs = this.#clock.monotonicMs();
  }

  end(): void {
    this.#over.abort();
  }

  async #watch(): Promise<S3TimeoutError | null> {
    for (;;) {
      const dueMs = Math.min(this.#movedMs + this.#stallMs, this.#untilMs);
      const waitMs = dueMs - this.#clock.monotonicMs();
      if (waitMs <= 0) {
        const seconds = this.#stallMs / 1000;
        this.error = new S3TimeoutError(
          dueMs === this.#untilMs ? 'the store answers too slowly' : `nothing moved for ${seconds} seconds`,
        );
        return this.error;
      }
      try {
        await this.#clock.sleep(waitMs, this.#over.signal);
      } catch {
        return null;
      }
    }
  }
}
