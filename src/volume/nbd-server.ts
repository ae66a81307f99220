import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import { NbdBudget } from './nbd-budget.ts';
import { NbdBuffers } from './nbd-buffers.ts';
import type { NbdExport, NbdExports } from './nbd-export.ts';
import { NBD_LIMITS, type NbdLimits } from './nbd-limits.ts';
import { NbdPoll } from './nbd-poll.ts';
import { NbdSession } from './nbd-session.ts';
import { NbdSocket } from './nbd-socket.ts';
import { NbdStream } from './nbd-stream.ts';

/** One socket that clients connect to. */
export interface NbdListener {
  /** The TCP port, or null for a unix socket. */
  readonly port: number | null;
  /** Takes no more clients. Those connected stay; the file of a unix socket goes. */
  close(): Promise<void>;
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
  readonly #closing = new Set<string>();
  #stopped = false;

  constructor(options: { readonly clock: Clock; readonly log: Log; readonly limits?: Partial<NbdLimits> }) {
    this.#clock = options.clock;
    this.#log = options.log;
    this.#limits = { ...NBD_LIMITS, ...options.limits };
    this.#budget = new NbdBudget(this.#limits.inFlightBytesTotalMax);
    this.#poll = new NbdPoll(options.clock);
  }

  /** Listens on a unix socket, which only this user can connect to if the process's umask is 077. The path must be free. */
  async listen(options: { readonly socketPath: string; readonly exports: NbdExports }): Promise<NbdListener> {
    return this.#listen({ path: options.socketPath }, options.exports);
  }

  /** Listens on TCP, on the loopback interface unless told otherwise: the protocol as it is here has no authentication. Port 0 takes a free one. */
  async listenTcp(options: {
    readonly host?: string;
    readonly port: number;
    readonly exports: NbdExports;
  }): Promise<NbdListener> {
    return this.#listen({ host: options.host ?? '127.0.0.1', port: options.port }, options.exports);
  }

  /** How many clients have the export open. */
  clientCount(exportId: string): number {
    return this.#sessionsOf(exportId).length;
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
    await this.#finish([...this.#sessions.keys()]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #listen(
    address: { readonly path: string } | { readonly host: string; readonly port: number },
    exports: NbdExports,
  ): Promise<NbdListener> {
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true });
    // A client that came before the listener closed, and has not opened an export, opens none any more.
    const admit = (session: NbdSession, found: NbdExport): boolean =>
      this.#listeners.has(listener) && this.#admit(session, found);
    server.on('connection', (socket) => this.#accept(socket, exports, admit));
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

  #accept(socket: Socket, exports: NbdExports, admit: (session: NbdSession, found: NbdExport) => boolean): void {
    if (this.#stopped || this.#sessions.size >= this.#limits.connectionsMax) {
      this.#log.warn('nbd.refuse', { connections: this.#sessions.size });
      socket.destroy();
      return;
    }
    const session = new NbdSession({
      clock: this.#clock,
      log: this.#log,
      limits: this.#limits,
      buffers: this.#buffers,
      budget: this.#budget,
      poll: this.#poll,
      exports,
      admit,
    });
    this.#sessions.set(session, null);
    void session.done.then(() => this.#forget(session));
    session.start(NbdSocket.adopt(socket, session) ?? new NbdStream(socket, session));
  }

  #admit(session: NbdSession, found: NbdExport): boolean {
    const count = this.clientCount(found.id);
    if (this.#stopped || this.#closing.has(found.id) || count >= this.#limits.connectionsPerExportMax) return false;
    // One of them may be the same client's from before, and still have requests that wait.
    for (const other of this.#sessionsOf(found.id)) other.cutIfClientGone(Number.POSITIVE_INFINITY);
    this.#sessions.set(session, found);
    this.#log.info('nbd.connect', { export: found.id, clients: count + 1 });
    return true;
  }

  #forget(session: NbdSession): void {
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
