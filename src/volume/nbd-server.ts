import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { NbdClients } from './host.ts';
import { NbdBudget } from './nbd-budget.ts';
import { NbdBuffers } from './nbd-buffers.ts';
import type { NbdExport, NbdExports } from './nbd-export.ts';
import { NBD_LIMITS, type NbdLimits } from './nbd-limits.ts';
import { NbdPoll } from './nbd-poll.ts';
import { NbdSession } from './nbd-session.ts';
import { NbdSocket } from './nbd-socket.ts';
import { NbdStream } from './nbd-stream.ts';
import { NbdTlsGate, pskContext, type NbdThrough, type NbdTls } from './nbd-tls.ts';

/** Refused connections are told of once in this time, with their count. */
const REFUSED_LOG_MS = 1_000;

/** One socket that clients connect to. */
export interface NbdListener {
  /** The TCP port, or null for a unix socket. */
  readonly port: number | null;
  /** Takes no more clients. Those connected stay; the file of a unix socket goes. */
  close(): Promise<void>;
}

/** A connection that has not opened an export yet. */
interface Opening {
  cut(reason: string): void;
}

/** What a listener's connections share. */
interface Origin {
  readonly exports: NbdExports;
  readonly tls: NbdTls | null;
  /** In the order in which they came. When there are too many the oldest is cut: a client that means it takes milliseconds. */
  readonly opening: Set<Opening>;
  readonly admit: (session: NbdSession, found: NbdExport) => boolean;
}

/**
 * Serves block devices by the NBD protocol (newstyle; https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md)
 * on any number of unix sockets and TCP ports, each with exports of its own. All connections share one set of limits.
 */
export class NbdServer implements AsyncDisposable {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #limits: NbdLimits;
  readonly #buffers = new NbdBuffers();
  readonly #budget: NbdBudget;
  readonly #poll: NbdPoll;
  readonly #listeners = new Set<NbdListener>();
  /** Every connection, and the export that it has opened. */
  readonly #sessions = new Map<NbdSession, NbdExport | null>();
  /** TLS handshakes under way. */
  readonly #gates = new Set<NbdTlsGate>();
  readonly #identities = new Map<NbdSession, string>();
  readonly #pskContext = pskContext();
  readonly #closing = new Set<string>();
  #refusedCount = 0;
  #refusedLoggedMs = Number.NEGATIVE_INFINITY;
  #stopped = false;

  constructor(options: { readonly clock: Clock; readonly log: Log; readonly limits?: Partial<NbdLimits> }) {
    this.#clock = options.clock;
    this.#log = options.log;
    this.#limits = { ...NBD_LIMITS, ...options.limits };
    this.#budget = new NbdBudget(this.#limits.inFlightBytesTotalMax);
    this.#poll = new NbdPoll(options.clock);
  }

  /** Listens on a unix socket, which only this user can connect to if the process's umask is 077. The path must be free. */
  async listen(options: {
    readonly socketPath: string;
    readonly exports: NbdExports;
    readonly tls?: NbdTls;
  }): Promise<NbdListener> {
    return this.#listen({ path: options.socketPath }, options.exports, options.tls ?? null);
  }

  /** Listens on TCP, on the loopback interface unless told otherwise: without TLS, whoever reaches the port may open what is exported. Port 0 takes a free one. */
  async listenTcp(options: {
    readonly host?: string;
    readonly port: number;
    readonly exports: NbdExports;
    readonly tls?: NbdTls;
  }): Promise<NbdListener> {
    const address = { host: options.host ?? '127.0.0.1', port: options.port };
    return this.#listen(address, options.exports, options.tls ?? null);
  }

  /** Cuts, at once, whoever came in by this identity. */
  disconnect(identity: string): void {
    for (const [session, own] of this.#identities) if (own === identity) session.destroy();
  }

  /** How many clients have the export open. */
  clientCount(exportId: string): number {
    return this.#sessionsOf(exportId).length;
  }

  /** All that have an export open. */
  clients(): NbdClients {
    const found = [...this.#sessions.values()].filter((entry) => entry !== null);
    return { connectionCount: found.length, exportCount: new Set(found.map(({ id }) => id)).size };
  }

  /**
   * Disconnects the clients of an export, after what they began is answered, and at the latest after the linger time. Until
   * it resolves, nobody can open the export; see to it that it is not resolved afterwards. The device has nothing left to
   * do for them then, unless it took longer than the linger time, which is logged.
   */
  async close(exportId: string): Promise<void> {
    this.#closing.add(exportId);
    try {
      await this.#finish(this.#sessionsOf(exportId));
    } finally {
      this.#closing.delete(exportId);
    }
  }

  /** Closes all listeners and connections, as `close` does. Never takes much longer than the linger time. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all([...this.#listeners].map((listener) => listener.close()));
    for (const gate of this.#gates) gate.cut('server stops');
    await this.#finish([...this.#sessions.keys()]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #listen(
    address: { readonly path: string } | { readonly host: string; readonly port: number },
    exports: NbdExports,
    tls: NbdTls | null,
  ): Promise<NbdListener> {
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true });
    // A client that came before the listener closed, and has not opened an export, opens none any more.
    const admit = (session: NbdSession, found: NbdExport): boolean =>
      this.#listeners.has(listener) && this.#admit(session, found);
    const origin: Origin = { exports, tls, opening: new Set(), admit };
    server.on('connection', (socket) => this.#accept(socket, origin));
    server.listen(address);
    await once(server, 'listening');
    server.on('error', (error) => this.#log.error('nbd.listener-failed', { error }));
    const listener: NbdListener = {
      port: portOf(server),
      close: async () => {
        if (!this.#listeners.delete(listener)) return;
        // Not waited for: the listening socket is closed when this returns, and 'close' comes with the last connection.
        server.close();
      },
    };
    this.#listeners.add(listener);
    return listener;
  }

  #accept(socket: Socket, origin: Origin): void {
    const { connectionsMax, handshakesMax } = this.#limits;
    const crowded = this.#sessions.size + this.#gates.size >= connectionsMax;
    if (origin.opening.size >= handshakesMax || crowded) {
      const [oldest] = origin.opening;
      if (this.#stopped || oldest === undefined) {
        this.#refuse(socket);
        return;
      }
      origin.opening.delete(oldest);
      oldest.cut('too many handshakes');
    }
    if (this.#stopped) socket.destroy();
    else if (origin.tls === null) this.#begin(socket, origin);
    else this.#guard(socket, origin, origin.tls);
  }

  /** Warns of it, but not of each: there may be thousands in a second. */
  #refuse(socket: Socket): void {
    socket.destroy();
    this.#refusedCount += 1;
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#refusedLoggedMs < REFUSED_LOG_MS) return;
    this.#log.warn('nbd.refuse', { connections: this.#sessions.size, refused: this.#refusedCount });
    this.#refusedLoggedMs = nowMs;
    this.#refusedCount = 0;
  }

  #begin(socket: Socket, origin: Origin): void {
    const session = this.#session(origin, origin.exports, null);
    session.start(NbdSocket.adopt(socket, session, this.#clock) ?? new NbdStream(socket, session));
  }

  #guard(socket: Socket, origin: Origin, tls: NbdTls): void {
    const leave = (): void => {
      this.#gates.delete(gate);
      origin.opening.delete(gate);
    };
    const gate: NbdTlsGate = new NbdTlsGate({
      socket,
      clock: this.#clock,
      log: this.#log,
      limits: this.#limits,
      tls,
      context: this.#pskContext,
      through: (through) => {
        leave();
        const { identity } = through;
        const session = this.#session(origin, identity === null ? origin.exports : tls.exportsOf(identity), through);
        if (identity !== null) this.#identities.set(session, identity);
        session.start(new NbdStream(through.stream, session, socket));
      },
      gone: leave,
    });
    this.#gates.add(gate);
    origin.opening.add(gate);
    gate.start();
  }

  #session(origin: Origin, exports: NbdExports, through: NbdThrough | null): NbdSession {
    const opening: Opening = { cut: () => session.destroy() };
    const session: NbdSession = new NbdSession({
      clock: this.#clock,
      log: this.#log,
      limits: this.#limits,
      buffers: this.#buffers,
      budget: this.#budget,
      poll: this.#poll,
      exports,
      greeted: through?.greeted ?? null,
      admit: (self, found) => {
        if (!origin.admit(self, found)) return false;
        origin.opening.delete(opening);
        return true;
      },
    });
    // Who has shown a key does not make room for those who have not.
    if (through === null || through.identity === null) origin.opening.add(opening);
    this.#sessions.set(session, null);
    void session.done.then(() => this.#forget(session, () => origin.opening.delete(opening)));
    return session;
  }

  #admit(session: NbdSession, found: NbdExport): boolean {
    const count = this.clientCount(found.id);
    if (found.isServed?.() === false) return false;
    if (this.#stopped || this.#closing.has(found.id) || count >= this.#limits.connectionsPerExportMax) return false;
    // One of them may be the same client's from before, and still have requests that wait.
    for (const other of this.#sessionsOf(found.id)) other.cutIfClientGone(Number.POSITIVE_INFINITY);
    this.#sessions.set(session, found);
    this.#log.info('nbd.connect', { export: found.id, clients: count + 1 });
    return true;
  }

  #forget(session: NbdSession, leave: () => void): void {
    leave();
    this.#identities.delete(session);
    const found = this.#sessions.get(session);
    this.#sessions.delete(session);
    if (found === null || found === undefined) return;
    this.#log.info('nbd.disconnect', { export: found.id, clients: this.clientCount(found.id) });
  }

  #sessionsOf(exportId: string): NbdSession[] {
    const own: NbdSession[] = [];
    for (const [session, found] of this.#sessions) if (found?.id === exportId) own.push(session);
    return own;
  }

  async #finish(sessions: readonly NbdSession[]): Promise<void> {
    if (sessions.length === 0) return;
    for (const session of sessions) session.finish();
    const deadline = new AbortController();
    const late = this.#clock.sleep(this.#limits.lingerMs, deadline.signal).then(
      () => true,
      () => false,
    );
    const done = Promise.all(sessions.map((session) => session.done)).then(() => false);
    if (await Promise.race([done, late])) {
      for (const session of sessions) session.destroy();
      // A destroyed socket closes in the next turns of the loop; the device may take any time.
      const grace = this.#clock.sleep(this.#limits.lingerMs, deadline.signal).then(
        () => true,
        () => false,
      );
      if (await Promise.race([done, grace])) this.#log.error('nbd.requests-outlast-connections', {});
    }
    deadline.abort();
  }
}

function portOf(server: Server): number | null {
  const address: AddressInfo | string | null = server.address();
  return address !== null && typeof address === 'object' ? address.port : null;
}
