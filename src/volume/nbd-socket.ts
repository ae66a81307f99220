import { writeSync } from 'node:fs';
import { Socket } from 'node:net';
import { setImmediate } from 'node:timers';
import { assert, present } from '#base/assert.ts';
import type { Clock } from '#base/clock.ts';
import { peerIsGone } from './nbd-peer.ts';
import type { NbdSink, NbdTransport } from './nbd-transport.ts';

/** Shorter pauses of a TCP connection are not worth the milliseconds that it takes to ask the kernel. */
const TCP_PAUSE_MS_MIN = 100;
/** How long bytes that the kernel does not take are offered again, before the stream waits for room: a client that has not made any by then may be waiting for the processor. */
const OFFER_MS = 0.06;
/** Between two offers, while the kernel takes nothing: being refused costs half of that. */
const OFFER_GAP_MS = 0.01;

/** What Node keeps under an accepted socket. Not documented, so every use of it is here, and `detachHandle` looks before. */
interface SocketHandle {
  readonly fd: number;
  /** Bytes of writes that the kernel has not taken; where Node has no such number, none. */
  readonly writeQueueSize?: number;
}

/**
 * A transport for a socket that a server with `pauseOnConnect` accepted.
 *
 * Node lets a socket receive into a buffer of ours (`onread`) only when the socket is made, and makes accepted sockets
 * itself; so the handle is taken out of the accepted one and put into one of ours. And a stream's `write` costs several
 * times what the system call does, so bytes go to the descriptor directly, as long as the kernel takes them. What it does
 * not take is offered again in the next turns of the loop: a client that reads makes room within microseconds, and the
 * kernel would say so only when three quarters of what it holds are gone. From a client that takes nothing for a while, the
 * rest goes through the stream, which waits.
 */
export class NbdSocket implements NbdTransport {
  readonly #socket: Socket;
  readonly #handle: SocketHandle;
  readonly #sink: NbdSink;
  readonly #kind: 'unix' | 'tcp';
  /** Offered to the kernel again and again, oldest first. While there are any, all goes behind them. */
  readonly #kept: Uint8Array[] = [];
  /** Of those that were kept, how many the kernel has taken since the sink was told. */
  #keptGone = 0;
  #offers = false;
  #progressMs = 0;
  #refusedMs = 0;
  readonly #clock: Clock;
  /** Sends that the stream has not finished. While there are any, all goes through the stream, in order. */
  #queued = 0;

  /** Null when this version of Node keeps its handle elsewhere; then the socket is as it was. */
  static adopt(accepted: Socket, sink: NbdSink, clock: Clock): NbdSocket | null {
    const kind = kindOf(accepted);
    const handle = detachHandle(accepted);
    return handle === null ? null : new NbdSocket(handle, kind, sink, clock);
  }

  private constructor(handle: SocketHandle, kind: 'unix' | 'tcp', sink: NbdSink, clock: Clock) {
    this.#clock = clock;
    this.#handle = handle;
    this.#kind = kind;
    this.#sink = sink;
    const options = {
      handle,
      allowHalfOpen: true,
      onread: { buffer: () => sink.target(), callback: (count: number) => sink.received(count) },
    };
    this.#socket = new Socket(options);
    this.#socket.on('end', () => sink.ended());
    this.#socket.on('error', () => {}); // A client that vanishes; 'close' follows.
    this.#socket.on('close', () => {
      this.#kept.length = 0;
      sink.closed();
    });
  }

  send(bytes: Uint8Array): boolean {
    const socket = this.#socket;
    // A destroyed socket has given its descriptor back, and the number may be another file's by now.
    if (socket.destroyed || !socket.writable) return true;
    if (this.#queued > 0) {
      this.#queue(bytes);
      return false;
    }
    if (this.#kept.length > 0) {
      this.#kept.push(bytes);
      this.#drain();
      return false;
    }
    const written = this.#writeNow(bytes);
    if (written === bytes.length || written < 0) return true;
    this.#kept.push(written === 0 ? bytes : bytes.subarray(written));
    this.#progressMs = this.#clock.monotonicMs();
    if (!this.#offers) {
      this.#offers = true;
      setImmediate(this.#offer);
    }
    return false;
  }

  unsentBytes(): number {
    if (this.#socket.destroyed) return 0;
    return this.#kept.reduce((sum, { length }) => sum + length, this.#handle.writeQueueSize ?? 0);
  }

  isClientGone(pausedMs: number): boolean {
    return !this.#socket.destroyed && isHandleClientGone(this.#handle, this.#kind, pausedMs);
  }

  resume(): void {
    if (!this.#socket.destroyed) this.#socket.resume();
  }

  end(): void {
    if (this.#socket.destroyed) return;
    this.#handOver();
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** A turn of the loop has gone by: the kernel may have room. */
  readonly #offer = (): void => {
    this.#offers = false;
    if (!this.#socket.destroyed) {
      this.#drain();
      if (this.#kept.length > 0 && this.#clock.monotonicMs() - this.#progressMs > OFFER_MS) this.#handOver();
    }
    for (; this.#keptGone > 0; this.#keptGone -= 1) this.#sink.sent();
    if (this.#kept.length === 0) return;
    this.#offers = true;
    setImmediate(this.#offer);
  };

  /** Writes what it can of what was kept. */
  #drain(): void {
    if (this.#clock.monotonicMs() - this.#refusedMs < OFFER_GAP_MS) return;
    while (this.#kept.length > 0) {
      const oldest = present(this.#kept[0], 'something is kept');
      const written = this.#writeNow(oldest);
      if (written < 0) return;
      if (written > 0) this.#progressMs = this.#clock.monotonicMs();
      if (written < oldest.length) {
        if (written > 0) this.#kept[0] = oldest.subarray(written);
        return;
      }
      this.#kept.shift();
      this.#keptGone += 1;
    }
  }

  /** From here on the stream waits for room. */
  #handOver(): void {
    for (const bytes of this.#kept.splice(0)) this.#queue(bytes);
  }

  #queue(bytes: Uint8Array): void {
    this.#queued += 1;
    this.#socket.write(bytes, () => {
      this.#queued -= 1;
      this.#sink.sent();
    });
  }

  /** How many bytes the kernel took; -1: the connection is broken. */
  #writeNow(bytes: Uint8Array): number {
    const { fd } = this.#handle;
    assert(fd >= 0, 'a socket that is not destroyed has a descriptor');
    // That there is no room is told as an error. It comes often, and collecting its stack would be most of what it costs.
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    try {
      return writeSync(fd, bytes);
    } catch (error) {
      if (isErrno(error, 'EAGAIN')) {
        this.#refusedMs = this.#clock.monotonicMs();
        return 0;
      }
      this.#socket.destroy();
      return -1;
    } finally {
      Error.stackTraceLimit = stackTraceLimit;
    }
  }
}

/** What Node keeps under a socket, or null when this version keeps it elsewhere or the socket is closed. */
export function handleOf(socket: Socket): SocketHandle | null {
  const handle: unknown = Reflect.get(socket, '_handle');
  return isHandle(handle) ? handle : null;
}

/** See NbdTransport.isClientGone; for a socket that something else reads from. */
export function isSocketClientGone(socket: Socket, pausedMs: number): boolean {
  const handle = handleOf(socket);
  return handle !== null && isHandleClientGone(handle, kindOf(socket), pausedMs);
}

function isHandleClientGone(handle: SocketHandle, kind: 'unix' | 'tcp', pausedMs: number): boolean {
  if (kind === 'tcp' && pausedMs < TCP_PAUSE_MS_MIN) return false;
  return peerIsGone(handle.fd, kind);
}

/** A socket with a remote address is one of TCP. */
function kindOf(socket: Socket): 'unix' | 'tcp' {
  return socket.remoteAddress === undefined ? 'unix' : 'tcp';
}

function detachHandle(accepted: Socket): SocketHandle | null {
  const handle = handleOf(accepted);
  if (handle === null) return null;
  Reflect.set(accepted, '_handle', null);
  accepted.destroy(); // The empty shell; the server's count of connections is told.
  return handle;
}

function isHandle(value: unknown): value is SocketHandle {
  return typeof value === 'object' && value !== null && 'fd' in value && typeof value.fd === 'number' && value.fd >= 0;
}

function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
