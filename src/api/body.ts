import type { IncomingMessage } from 'node:http';
import type { Clock } from '#base/clock.ts';

/** Why a body did not arrive whole. */
export type BodyTrouble =
  /** Longer than the service allows. */
  | 'too-large'
  /** Not whole within its time. */
  | 'too-slow'
  /** The bodies of all requests in flight together fill the memory set aside for them. */
  | 'no-room'
  /** The client went away. */
  | 'gone';

export type BodyResult =
  | { readonly kind: 'whole'; readonly bytes: Buffer }
  | { readonly kind: 'trouble'; readonly trouble: BodyTrouble };

/** Memory that bodies of requests in flight may hold together. Counts bytes received, not bytes announced: who only promises holds nothing. */
export class BodyBudget {
  readonly #bytesMax: number;
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  take(bytes: number): boolean {
    if (this.#bytes + bytes > this.#bytesMax) return false;
    this.#bytes += bytes;
    return true;
  }

  giveBack(bytes: number): void {
    this.#bytes -= bytes;
  }

  get bytesTaken(): number {
    return this.#bytes;
  }
}

export interface BodyLimits {
  /** Of this body. */
  readonly bytesMax: number;
  /** From the call to the last byte. */
  readonly timeoutMs: number;
  /** Of a body that is refused, this much more is read and dropped, so that the client gets to read the answer. */
  readonly dropBytesMax: number;
}

/**
 * Reads a request's body into memory. The caller gives the bytes back to the budget when it is done with them. A body in trouble is read on and dropped,
 * within limits, before this resolves: closing at once would reset the connection under a client that is still sending.
 */
export async function readBody(
  request: IncomingMessage,
  limits: BodyLimits,
  budget: BodyBudget,
  clock: Clock,
): Promise<BodyResult> {
  const announced = contentLength(request);
  if (announced !== null && announced > limits.bytesMax + limits.dropBytesMax)
    return { kind: 'trouble', trouble: 'too-large' };
  const pieces: Buffer[] = [];
  let held = 0;
  let dropped = 0;
  let trouble: BodyTrouble | null = announced !== null && announced > limits.bytesMax ? 'too-large' : null;
  let settled = false;
  const settle = (): void => {
    settled = true;
    done.resolve();
  };
  const done = Promise.withResolvers<void>();
  const timer = new AbortController();

  const fail = (what: BodyTrouble): void => {
    if (settled) return; // A request closes after its end, too.
    trouble ??= what;
    budget.giveBack(held);
    held = 0;
    pieces.length = 0;
  };
  const onData = (piece: Buffer): void => {
    if (trouble === null && held + piece.length > limits.bytesMax) fail('too-large');
    else if (trouble === null && !budget.take(piece.length)) fail('no-room');
    if (trouble === null) {
      pieces.push(piece);
      held += piece.length;
      return;
    }
    dropped += piece.length;
    if (dropped > limits.bytesMax + limits.dropBytesMax) settle();
  };
  const onGone = (): void => {
    fail('gone');
    settle();
  };
  request.on('data', onData).on('end', settle).on('error', onGone).on('close', onGone);
  if (request.destroyed) onGone(); // Gone before anybody listened.
  const expire = async (): Promise<void> => {
    await clock.sleep(limits.timeoutMs, timer.signal);
    fail('too-slow');
    settle();
  };
  expire().catch(() => {}); // The body came first.
  await done.promise;
  timer.abort();
  request.off('data', onData).off('end', settle).off('close', onGone); // 'error' stays: without a listener it would be thrown.
  if (trouble !== null) {
    request.pause();
    return { kind: 'trouble', trouble };
  }
  return {
    kind: 'whole',
    bytes: pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces, held),
  };
}

/** What the client says, or null (chunked). node:http refuses one that is not a number. */
export function contentLength(request: IncomingMessage): number | null {
  const text = request.headers['content-length'];
  return text === undefined ? null : Number(text);
}
