import { join } from 'node:path';

import type { Clock } from '#base/clock.ts';
import { assert } from '#base/assert.ts';
import type { Log } from '#base/log.ts';
import { ProcessLock, ProcessLockedError } from '#base/process-lock.ts';
import { openRunDirectory } from '#base/run-directory.ts';

import { type VolumeHost, VolumeHostError } from './host.ts';
import { HostClient } from './host-client.ts';
import { HostConnection } from './host-connection.ts';
import { type HostProcess, spawnHost } from './host-process.ts';
import { type Hello, HOST_PROTOCOL_VERSION, VERBS } from './host-protocol.ts';
import { differingSettings, encodeSettings, type HostDifference, type HostSettings, isLive } from './host-settings.ts';

/** Name of the control socket in the socket directory. */
export const HOST_SOCKET_NAME = 'host.sock';
/** Name of the lock file in `<data>/run`: whoever holds it is the volume host of this data directory. */
export const HOST_LOCK_NAME = 'host.lock';

const BACKOFF_MS_MIN = 100;
const BACKOFF_MS_MAX = 10_000;
/** A host that served this long before it died is started again at once. */
const HEALTHY_MS = 30_000;
/** How long a call waits for a host that is being started again before it is refused as `unavailable`. */
const WAIT_FOR_HOST_MS = 5_000;
/** Flushing every volume takes as long as the disk takes; a host that needs longer is killed, which loses nothing that was acknowledged. */
const STOP_MS_MAX = 60_000;
/** A host that another control had begun to start is looked for so often, each so long after the last: a bucket may take seconds to open. */
const STARTING_POLLS_MAX = 600;
const STARTING_POLL_MS = 50;

export interface HostSupervisorOptions {
  /** Exists already. */
  readonly dataDirectory: string;
  readonly settings: HostSettings;
  /** The version of this program: a living host of another build is replaced. */
  readonly build: string;
  /** A living host that cannot be adopted is replaced also while clients are connected, which cuts them. */
  readonly replaceInUse?: boolean;
  readonly clock: Clock;
  readonly log: Log;
  /**
   * Called after a host that died was started again: it has no volume open. Not after the first start. Volume I/O is
   * stopped until the volumes are opened here, so open them first. An error is logged; the next start calls again.
   */
  readonly onRestart: (host: VolumeHost) => Promise<void>;
}

/** How a start went. `clientCount`: connections that were cut; null: nobody could say. */
export type HostBeginning =
  | { readonly kind: 'started' | 'adopted' }
  | { readonly kind: 'configured'; readonly differing: readonly HostDifference[] }
  | { readonly kind: 'replaced'; readonly differing: readonly HostDifference[]; readonly clientCount: number | null };

/** A living host is of another kind, and clients are connected to it. It was left as it is. */
export class HostInUseError extends Error {
  override readonly name = 'HostInUseError';
  readonly living: Hello;
  readonly differing: readonly HostDifference[];
  /** Null: it is of another version, and cannot be asked. */
  readonly clientCount: number | null;

  constructor(living: Hello, differing: readonly HostDifference[], clientCount: number | null) {
    super(`the volume host (process ${living.pid}) is of another kind and in use: ${differing.join(', ')}`);
    this.living = living;
    this.differing = differing;
    this.clientCount = clientCount;
  }
}

/**
 * Keeps one volume host alive for control.
 *
 *   start: a living host of this version, build and settings is adopted as it is, volumes and clients undisturbed; one
 *     whose settings differ takes them up where it can; one of another kind is asked to stop and replaced, if no client is
 *     connected or `replaceInUse` says so, and otherwise left alone: HostInUseError; none: one is spawned.
 *   the host dies: spawned again, with growing pauses while it keeps dying; then `onRestart`.
 *   dispose: the host flushes, disconnects its clients and exits.
 *   control is killed: nothing happens here, and the host serves on, for good: the next control adopts it. Without a next
 *     control it stays until it gets SIGTERM; volumes may be in use by clients of which control knows nothing.
 */
export class HostSupervisor implements AsyncDisposable {
  /** The same object for all the lives of the process behind it. */
  readonly host: VolumeHost;
  readonly beginning: HostBeginning;
  readonly #options: HostSupervisorOptions;
  readonly #socketPath: string;
  readonly #closing = new AbortController();
  #isLeft = false;
  #current: Promise<HostConnection>;
  #life: HostLife;
  #watching: Promise<void>;

  private constructor(options: HostSupervisorOptions, socketPath: string, life: HostLife) {
    this.#options = options;
    this.#socketPath = socketPath;
    this.#life = life;
    this.beginning = life.beginning;
    this.#current = Promise.resolve(life.connection);
    this.host = new HostClient({ connection: () => this.#connection(), log: options.log });
    this.#watching = this.#watch();
  }

  /** Resolves when the host serves. Throws when it cannot be started at all, and says why. */
  static async start(options: HostSupervisorOptions): Promise<HostSupervisor> {
    const socketPath = hostSocketPath(options.dataDirectory);
    return new HostSupervisor(options, socketPath, await begin(options, socketPath));
  }

  /** True: at `start` the host was alive already, and goes on with its volumes and clients. */
  get adopted(): boolean {
    return this.beginning.kind === 'adopted' || this.beginning.kind === 'configured';
  }

  /** Of the process that serves now, or served last. */
  get pid(): number {
    return this.#life.connection.peer.pid;
  }

  /** Lets the host live on and only lets go of it, as a crash of control would. */
  async abandon(): Promise<void> {
    this.#closing.abort();
    this.#life.connection[Symbol.dispose]();
    await this.#watching;
  }

  /** From now on disposing lets the host live on: somebody else still needs its volumes. */
  leaveRunning(): void {
    this.#isLeft = true;
  }

  /** Stops the host in order and waits until it has let go of everything. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closing.signal.aborted) return;
    if (this.#isLeft) {
      await this.abandon();
    } else {
      this.#closing.abort();
      await this.#watching;
      await stop(this.#life, this.#options);
    }
  }

  async #connection(): Promise<HostConnection> {
    if (this.#closing.signal.aborted) throw new VolumeHostError('unavailable', 'the server is stopping');
    if (this.#life.connection.isOpen) return this.#life.connection;
    const waited = new AbortController();
    const late = this.#options.clock.sleep(WAIT_FOR_HOST_MS, waited.signal).then(
      () => null,
      () => null,
    );
    try {
      const connection = await Promise.race([this.#current, late]);
      if (connection === null) throw new VolumeHostError('unavailable', 'the volume host is being started again');
      return connection;
    } finally {
      waited.abort();
    }
  }

  /** Runs until `closing`: waits for the end of each life and begins the next. */
  async #watch(): Promise<void> {
    const { clock, log } = this.#options;
    const closing = this.#closing.signal;
    const closed = new Promise<void>((resolve) => {
      closing.addEventListener('abort', () => resolve(), { once: true });
    });
    let pauseMs = BACKOFF_MS_MIN;
    for (;;) {
      const startedMs = clock.monotonicMs();
      await Promise.race([this.#life.connection.closed, closed]);
      if (closing.aborted) return;

      const next = Promise.withResolvers<HostConnection>();
      next.promise.catch(() => {}); // Calls that wait hear of it; there may be none.
      this.#current = next.promise;
      log.error('volume-host.lost', { pid: this.pid });
      if (clock.monotonicMs() - startedMs >= HEALTHY_MS) pauseMs = BACKOFF_MS_MIN;
      for (;;) {
        try {
          await clock.sleep(pauseMs, closing);
          pauseMs = Math.min(pauseMs * 2, BACKOFF_MS_MAX);
          this.#life = await begin(this.#options, this.#socketPath);
          break;
        } catch (error) {
          if (closing.aborted) {
            next.reject(new VolumeHostError('unavailable', 'the server is stopping'));
            return;
          }
          log.error('volume-host.start', { error, nextTryMs: pauseMs });
        }
      }
      next.resolve(this.#life.connection);
      try {
        await this.#options.onRestart(this.host);
      } catch (error) {
        log.error('volume-host.restart', { error });
      }
    }
  }
}

/** Where a volume host of this data directory listens for control. Makes the run directory. */
export function hostSocketPath(dataDirectory: string): string {
  return join(openRunDirectory(dataDirectory).socketDirectory, HOST_SOCKET_NAME);
}

/** From when a host serves until its connection closes. */
interface HostLife {
  readonly connection: HostConnection;
  /** Null: adopted. */
  readonly process: HostProcess | null;
  readonly beginning: HostBeginning;
}

async function begin(options: HostSupervisorOptions, socketPath: string, isAgain = false): Promise<HostLife> {
  const { clock, log } = options;
  const hello: Hello = {
    varve: 'control',
    version: HOST_PROTOCOL_VERSION,
    build: options.build,
    settings: encodeSettings(options.settings),
    pid: process.pid,
  };
  const living = await HostConnection.open({ socketPath, hello, clock }).catch(nobodyThere);
  let beginning: HostBeginning = { kind: 'started' };
  if (living !== null) {
    const { version, build, settings, pid } = living.peer;
    const differing = differences(living.peer, hello);
    if (differing.length === 0) {
      log.info('volume-host.adopted', { pid });
      return { connection: living, process: null, beginning: { kind: 'adopted' } };
    }
    const life: HostLife = { connection: living, process: null, beginning: { kind: 'configured', differing } };
    try {
      if (differing.every((difference) => difference !== 'program' && isLive(difference, settings))) {
        await living.configure(hello.settings);
        log.info('volume-host.configured', { pid, differing });
        return life;
      }
      const clientCount = version === hello.version ? (await living.call(VERBS.clients, {})).connectionCount : null;
      if (clientCount !== 0 && options.replaceInUse !== true) {
        throw new HostInUseError(living.peer, differing, clientCount);
      }
      log.warn('volume-host.replaced', { pid, version, build, settings, clientCount });
      beginning = { kind: 'replaced', differing, clientCount };
    } catch (error) {
      living[Symbol.dispose]();
      throw error;
    }
    await stop(life, options);
  }
  const process_ = spawnHost(options);
  try {
    await process_.ready;
  } catch (error) {
    if (isAgain || !(await otherCameFirst(options, hello, socketPath))) throw error;
    return await begin(options, socketPath, true);
  }
  const connection = await HostConnection.open({ socketPath, hello, clock });
  log.info('volume-host.started', { pid: process_.pid });
  return { connection, process: process_, beginning };
}

/**
 * A control that was killed while it started a host leaves that one starting: it has the lock, and nobody can connect yet.
 * Answers whether it came to be, or ended, so that beginning again is worthwhile.
 */
async function otherCameFirst(
  { dataDirectory, clock }: HostSupervisorOptions,
  hello: Hello,
  socketPath: string,
): Promise<boolean> {
  if (!isLocked(dataDirectory)) return false;
  for (let count = 0; count < STARTING_POLLS_MAX; count += 1) {
    await clock.sleep(STARTING_POLL_MS);
    if (!isLocked(dataDirectory)) return true;
    const connection = await HostConnection.open({ socketPath, hello, clock }).catch(nobodyThere);
    connection?.[Symbol.dispose]();
    if (connection !== null) return true;
  }
  return false;
}

function isLocked(dataDirectory: string): boolean {
  try {
    ProcessLock.acquire(join(openRunDirectory(dataDirectory).lockDirectory, HOST_LOCK_NAME), 'it')[Symbol.dispose]();
    return false;
  } catch (error) {
    if (error instanceof ProcessLockedError) return true;
    throw error;
  }
}

function differences(living: Hello, wanted: Hello): readonly HostDifference[] {
  if (living.version !== wanted.version) return ['program'];
  const settings = differingSettings(living.settings, wanted.settings);
  return living.build === wanted.build || settings.includes('program') ? settings : ['program', ...settings];
}

function nobodyThere(error: unknown): null {
  if (error instanceof VolumeHostError && error.kind === 'unavailable') return null;
  throw error;
}

async function stop(life: HostLife, options: HostSupervisorOptions): Promise<void> {
  const { connection } = life;
  const { pid } = connection.peer;
  assert(pid > 1, 'a host says its process id');
  const waited = new AbortController();
  const late = options.clock.sleep(STOP_MS_MAX, waited.signal).then(
    () => true,
    () => false,
  );
  const stopped = connection.stop().then(async () => {
    await life.process?.exited;
    return false;
  });
  const isLate = await Promise.race([stopped, late]);
  waited.abort();
  if (isLate) {
    options.log.error('volume-host.killed', { pid, afterMs: STOP_MS_MAX });
    process.kill(pid, 'SIGKILL');
    await stopped;
  }
  connection[Symbol.dispose]();
}
