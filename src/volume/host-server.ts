import { createServer, type Server, type Socket } from 'node:net';

import { assert, AssertionError } from '#base/assert.ts';
import { describeError, type Log } from '#base/log.ts';
import { removeStaleSocket } from '#base/run-directory.ts';

import { type VolumeHost, VolumeHostError } from './host.ts';
import { DecodeError } from './host-decode.ts';
import { encodeFrame, type Frame, FrameReader } from './host-frame.ts';
import {
  type Answer,
  configuration,
  CONFIGURE,
  decodeRequest,
  type Hello,
  type Verb,
  verbNamed,
} from './host-protocol.ts';

/** Connections at once: one control, and those that it replaces. */
const CONNECTIONS_MAX = 16;
/** Payload bytes of calls that run; then no more is read until some are done. */
const PAYLOAD_BYTES_MAX = 32 * 1024 * 1024;
/** Answers that control has not taken; then no more is read until it does. */
const UNSENT_BYTES_MAX = 16 * 1024 * 1024;

/**
 * The volume host's end of the seam: serves a VolumeHost to one control at a time.
 *
 * A control that says hello replaces the one before it (which is dead, or frozen): the older connection is cut, so that
 * nothing more is read from it, and its calls that change things settle before the new one hears hello. So a call of a
 * dead control never takes effect after a call of its successor. Uploads go on: the successor joins them.
 */
export class HostServer implements AsyncDisposable {
  readonly #server: Server;
  readonly #context: SessionContext;

  private constructor(server: Server, context: SessionContext) {
    this.#server = server;
    this.#context = context;
  }

  /** Listens on `socketPath`; a socket file that is there is stale (the caller holds the data directory's lock). `onStop`: control asked the process to end. */
  static async listen(options: {
    readonly host: VolumeHost;
    readonly socketPath: string;
    /** Asked for each time: its settings may have been taken up since. */
    readonly hello: () => Hello;
    readonly log: Log;
    readonly onStop: () => void;
    /** Control's settings are others, and a living host can take them up. Rejects with the reason why it does not. */
    readonly onConfigure: (settings: string) => Promise<void>;
  }): Promise<HostServer> {
    removeStaleSocket(options.socketPath);
    const context: SessionContext = { ...options, sessions: new Set() };
    const server = createServer({ noDelay: true }, (socket) => context.sessions.add(new Session(socket, context)));
    server.maxConnections = CONNECTIONS_MAX;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(options.socketPath, () => {
        server.off('error', reject);
        resolve();
      });
    });
    server.on('error', (error) => options.log.error('host-server.error', { error }));
    return new HostServer(server, context);
  }

  /** Nobody new; the connections that are there stay, and who asked for the stop sees the process go. */
  stopListening(): void {
    if (this.#server.listening) this.#server.close(() => {});
  }

  /** Cuts all connections. Calls that run go on to their end, unheard. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.stopListening();
    for (const session of this.#context.sessions) session.cut();
    await Promise.all([...this.#context.sessions].map((session) => session.gone));
  }
}

interface SessionContext {
  readonly host: VolumeHost;
  readonly hello: () => Hello;
  readonly log: Log;
  readonly onStop: () => void;
  readonly onConfigure: (settings: string) => Promise<void>;
  readonly sessions: Set<Session>;
}

class Session {
  /** The connection is closed. */
  readonly gone: Promise<void>;
  readonly #socket: Socket;
  readonly #context: SessionContext;
  readonly #reader = new FrameReader();
  readonly #aborts = new Map<number, AbortController>();
  readonly #settling = new Set<Promise<void>>();
  #payloadBytes = 0;
  #state: 'new' | 'greeting' | 'serving' | 'other-version' = 'new';
  #waiting: Frame[] = [];

  constructor(socket: Socket, context: SessionContext) {
    this.#socket = socket;
    this.#context = context;
    const gone = Promise.withResolvers<void>();
    this.gone = gone.promise;
    socket.on('data', (bytes: Buffer) => this.#receive(bytes));
    socket.on('drain', () => this.#pace());
    socket.on('error', (error) => context.log.warn('host-server.connection', { error }));
    socket.on('close', () => {
      // Uploads go on: the next control joins them by the snapshot's id.
      gone.resolve();
      if (this.#settling.size === 0) context.sessions.delete(this);
    });
  }

  cut(): void {
    this.#socket.destroy();
  }

  /** Resolves when every call that changes things is done. */
  async settled(): Promise<void> {
    await Promise.all(this.#settling);
  }

  #receive(bytes: Buffer): void {
    try {
      for (const frame of this.#reader.push(bytes)) {
        if (this.#state === 'greeting') this.#waiting.push(frame);
        else this.#accept(frame);
      }
    } catch (error) {
      this.#context.log.error('host-server.protocol', { error });
      this.#socket.destroy();
    }
  }

  #accept(frame: Frame): void {
    const request = decodeRequest(frame.header);
    switch (request.kind) {
      case 'hello':
        if (this.#state !== 'new') throw new DecodeError('hello came twice');
        this.#state = 'greeting';
        void this.#greet(request.hello);
        return;
      case 'abort':
        this.#aborts.get(request.id)?.abort(new VolumeHostError('aborted', 'aborted by control'));
        return;
      case 'call':
        if (this.#state === 'new') throw new DecodeError('a call came before hello');
        if (request.verb === 'stop') {
          this.#context.onStop(); // No answer: the end of the connection is the answer.
          return;
        }
        if (this.#state === 'other-version') throw new DecodeError('a call came from a control of another version');
        this.#call(request.id, request.verb, request.params, frame.payload);
    }
  }

  async #greet(hello: Hello): Promise<void> {
    const { sessions, log } = this.#context;
    const own = this.#context.hello();
    const same = hello.version === own.version;
    if (same) {
      const older = [...sessions].filter((session) => session !== this);
      for (const session of older) session.cut();
      await Promise.all(older.map((session) => session.settled()));
    }
    if (this.#socket.destroyed) return;
    log.info('host-server.control', { pid: hello.pid, build: hello.build, version: hello.version });
    this.#state = same ? 'serving' : 'other-version';
    this.#send({ hello: own }, null);
    const waiting = this.#waiting;
    this.#waiting = [];
    try {
      for (const frame of waiting) this.#accept(frame);
    } catch (error) {
      log.error('host-server.protocol', { error });
      this.#socket.destroy();
    }
  }

  #call(id: number, name: string, params: unknown, payload: Buffer | null): void {
    const verb = name === CONFIGURE ? this.#configure : verbNamed(name);
    if (verb === null) throw new DecodeError('a verb that there is not');
    const abort = new AbortController();
    this.#aborts.set(id, abort);
    const payloadBytes = payload?.length ?? 0;
    this.#payloadBytes += payloadBytes;
    this.#pace();
    const done: Promise<void> = verb
      .run(this.#context.host, params, payload, abort.signal)
      .then(
        (answer) => this.#answer(id, name, answer),
        (error: unknown) => this.#refuse(id, name, error),
      )
      .finally(() => {
        this.#aborts.delete(id);
        this.#payloadBytes -= payloadBytes;
        this.#settling.delete(done);
        if (this.#socket.destroyed && this.#settling.size === 0) this.#context.sessions.delete(this);
        this.#pace();
      });
    if (verb.settlesFirst) this.#settling.add(done);
  }

  readonly #configure: Pick<Verb<unknown, unknown>, 'run' | 'settlesFirst'> = {
    settlesFirst: true,
    run: async (_host, params) => {
      await this.#context.onConfigure(configuration(params, CONFIGURE).settings);
      return { value: null, payload: null };
    },
  };

  #answer(id: number, name: string, answer: Answer): void {
    const sent = this.#send({ id, value: answer.value }, answer.payload);
    if (!sent) this.#refuse(id, name, new Error('the answer is larger than a frame'));
  }

  #refuse(id: number, name: string, error: unknown): void {
    if (error instanceof AssertionError) throw error; // Unhandled: the process stops, and starts again in order.
    const known = error instanceof VolumeHostError;
    // What only this process knows of an unexpected error stays here, in the log.
    if (!known || error.kind === 'internal') this.#context.log.error('host-server.call', { verb: name, error });
    const kind = known ? error.kind : 'internal';
    this.#send({ id, error: { kind, message: describeError(error).slice(0, 4096) } }, null);
  }

  /** False when it does not fit in a frame. */
  #send(header: unknown, payload: Uint8Array | null): boolean {
    const pieces = encodeFrame(header, payload);
    if (pieces === null) return false;
    if (this.#socket.destroyed) return true; // Nobody listens any more.
    this.#socket.cork();
    for (const piece of pieces) this.#socket.write(piece);
    this.#socket.uncork();
    this.#pace();
    return true;
  }

  #pace(): void {
    assert(this.#payloadBytes >= 0, 'a payload is given back once');
    const full = this.#payloadBytes >= PAYLOAD_BYTES_MAX || this.#socket.writableLength >= UNSENT_BYTES_MAX;
    if (full) this.#socket.pause();
    else if (this.#socket.isPaused()) this.#socket.resume();
  }
}
