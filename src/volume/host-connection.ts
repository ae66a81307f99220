import { createConnection, type Socket } from 'node:net';

import type { Clock } from '#base/clock.ts';
import { assert } from '#base/assert.ts';

import { VolumeHostError } from './host.ts';
import { encodeFrame, type Frame, FrameReader } from './host-frame.ts';
import { CONFIGURE, decodeResponse, type Hello, type Response, type Verb } from './host-protocol.ts';

/** How long a host may take to say hello. It waits for what an earlier control asked of it, so seconds, not more. */
const HELLO_MS_MAX = 15_000;

interface Pending {
  readonly settle: (response: Exclude<Response, { kind: 'hello' }>, payload: Buffer | null) => void;
  readonly fail: (error: VolumeHostError) => void;
}

/** One connection to a volume host, control's side: hello, then calls, until it closes. It does not come back; HostSupervisor makes another. */
export class HostConnection implements Disposable {
  /** Who answered. Only `stop` may be called where the version is not ours. */
  readonly peer: Hello;
  /** Resolves when the connection is of no more use, for whatever reason. */
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #pending: Map<number, Pending>;
  #nextId = 1;

  private constructor(socket: Socket, peer: Hello, closed: Promise<void>, pending: Map<number, Pending>) {
    this.#socket = socket;
    this.peer = peer;
    this.closed = closed;
    this.#pending = pending;
  }

  /** Connects and exchanges hellos. Throws VolumeHostError `unavailable` when nobody answers there. */
  static async open(options: {
    readonly socketPath: string;
    readonly hello: Hello;
    readonly clock: Clock;
  }): Promise<HostConnection> {
    const socket = createConnection(options.socketPath);
    const pending = new Map<number, Pending>();
    const answered = Promise.withResolvers<Hello>();
    const closed = Promise.withResolvers<void>();
    const reader = new FrameReader();
    let reason = 'the volume host closed the connection';

    socket.on('data', (bytes: Buffer) => {
      try {
        for (const frame of reader.push(bytes)) receive(frame, pending, answered.resolve);
      } catch (error) {
        socket.destroy(error instanceof Error ? error : new Error(String(error)));
      }
    });
    socket.on('error', (error) => {
      reason = `the connection to the volume host: ${error.message}`;
    });
    socket.on('close', () => {
      const calls = [...pending.values()];
      pending.clear();
      for (const call of calls) call.fail(new VolumeHostError('unavailable', reason));
      answered.reject(new VolumeHostError('unavailable', reason));
      closed.resolve();
    });

    write(socket, { hello: options.hello }, null);
    const late = new AbortController();
    const deadline = options.clock.sleep(HELLO_MS_MAX, late.signal).then(
      () => socket.destroy(new Error('no hello in time')),
      () => {}, // The hello came.
    );
    try {
      return new HostConnection(socket, await answered.promise, closed.promise, pending);
    } finally {
      late.abort();
      await deadline;
    }
  }

  get isOpen(): boolean {
    return !this.#socket.destroyed;
  }

  /**
   * Calls a verb. Rejects with VolumeHostError: the host's own; `unavailable` when the connection was lost before the
   * answer; `aborted` at once when the signal fires (the host is told).
   */
  async call<P, R>(
    verb: Verb<P, R>,
    params: P,
    options: { readonly payload?: Uint8Array; readonly signal?: AbortSignal } = {},
  ): Promise<R> {
    return this.#request(
      { verb: verb.name, params },
      (value, payload) => verb.result(value, payload),
      options.payload ?? null,
      options.signal,
    );
  }

  /** Asks the process to take up settings without a restart, and answers when it has. */
  async configure(settings: string): Promise<void> {
    await this.#request({ verb: CONFIGURE, params: { settings } }, () => {}, null);
  }

  /** Asks the process to flush, close and exit; resolves when the connection has closed, which is when it is gone. */
  async stop(): Promise<void> {
    await this.#request({ verb: 'stop', params: null }, () => {}, null).catch(() => {}); // It may be gone before it answers.
    await this.closed;
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  #request<R>(
    request: { readonly verb: string; readonly params: unknown },
    decode: (value: unknown, payload: Buffer | null) => R,
    payload: Uint8Array | null,
    signal?: AbortSignal,
  ): Promise<R> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(aborted(request.verb));
        return;
      }
      if (this.#socket.destroyed) {
        reject(new VolumeHostError('unavailable', 'the connection to the volume host is closed'));
        return;
      }
      const id = this.#nextId;
      this.#nextId += 1;
      const forget = (): void => {
        signal?.removeEventListener('abort', onAbort);
        this.#pending.delete(id);
      };
      const onAbort = (): void => {
        forget();
        write(this.#socket, { id, abort: true }, null);
        reject(aborted(request.verb));
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#pending.set(id, {
        settle: (response, bytes) => {
          forget();
          if (response.kind === 'error') {
            reject(new VolumeHostError(response.error.kind, response.error.message));
            return;
          }
          try {
            resolve(decode(response.value, bytes));
          } catch (error) {
            reject(new VolumeHostError('internal', `the answer to ${request.verb}`, { cause: error }));
          }
        },
        fail: (error) => {
          forget();
          reject(error);
        },
      });
      write(this.#socket, { id, ...request }, payload);
    });
  }
}

function receive(frame: Frame, pending: ReadonlyMap<number, Pending>, greet: (hello: Hello) => void): void {
  const response = decodeResponse(frame.header);
  // An answer to a call that was aborted finds nobody waiting.
  if (response.kind === 'hello') greet(response.hello);
  else pending.get(response.id)?.settle(response, frame.payload);
}

function write(socket: Socket, header: unknown, payload: Uint8Array | null): void {
  const pieces = encodeFrame(header, payload);
  assert(pieces !== null, 'what control asks fits in a frame');
  socket.cork();
  for (const piece of pieces) socket.write(piece);
  socket.uncork();
}

function aborted(verb: string): VolumeHostError {
  return new VolumeHostError('aborted', `${verb} was aborted`);
}
