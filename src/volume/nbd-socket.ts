import { writeSync } from 'node:fs';
import { Socket } from 'node:net';
import { assert } from '#base/assert.ts';
import { peerIsGone } from './nbd-peer.ts';
import type { NbdSink, NbdTransport } from './nbd-transport.ts';

/** Shorter pauses of a TCP connection are not worth the milliseconds that it takes to ask the kernel. */
const TCP_PAUSE_MS_MIN = 100;

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
 * times what the system call does, so bytes go to the descriptor directly, as long as the kernel takes them; what it does
 * not take goes through the stream, which waits.
 */
export class NbdSocket implements NbdTransport {
  readonly #socket: Socket;
  readonly #handle: SocketHandle;
  readonly #sink: NbdSink;
  readonly #kind: 'unix' | 'tcp';
  /** Sends that the stream has not finished. While there are any, all goes through the stream, in order. */
  #queued = 0;

  /** Null when this version of Node keeps its handle elsewhere; then the socket is as it was. */
  static adopt(accepted: Socket, sink: NbdSink): NbdSocket | null {
    const kind = kindOf(accepted);
    const handle = detachHandle(accepted);
    return handle === null ? null : new NbdSocket(handle, kind, sink);
  }

  private constructor(handle: SocketHandle, kind: 'unix' | 'tcp', sink: NbdSink) {
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
    this.#socket.on('close', () => sink.closed());
  }

  send(bytes: Uint8Array): boolean {
    const socket = this.#socket;
    // A destroyed socket has given its descriptor back, and the number may be another file's by now.
    if (socket.destroyed || !socket.writable) return true;
    let rest = bytes;
    if (this.#queued === 0) {
      const written = this.#writeNow(bytes);
      if (written === bytes.length) return true;
      if (written < 0) return true;
      rest = bytes.subarray(written);
    }
    this.#queued += 1;
    socket.write(rest, () => {
      this.#queued -= 1;
      this.#sink.sent();
    });
    return false;
  }

  unsentBytes(): number {
    return this.#socket.destroyed ? 0 : (this.#handle.writeQueueSize ?? 0);
  }

  isClientGone(pausedMs: number): boolean {
    return !this.#socket.destroyed && isHandleClientGone(this.#handle, this.#kind, pausedMs);
  }

  resume(): void {
    if (!this.#socket.destroyed) this.#socket.resume();
  }

  end(): void {
    if (!this.#socket.destroyed) this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** How many bytes the kernel took; -1: the connection is broken. */
  #writeNow(bytes: Uint8Array): number {
    const { fd } = this.#handle;
    assert(fd >= 0, 'a socket that is not destroyed has a descriptor');
    try {
      return writeSync(fd, bytes);
    } catch (error) {
      if (isErrno(error, 'EAGAIN')) return 0;
      this.#socket.destroy();
      return -1;
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
