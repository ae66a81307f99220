import { isIPv6 } from 'node:net';
import { join } from 'node:path';
import { systemClock } from '#base/clock.ts';
import { makeDirectory } from '#base/make-directory.ts';
import type { Log } from '#base/log.ts';
import { CommandError } from './cli/command-error.ts';
import { credentialsPath, readCredentialsFile, writeCredentialsFile } from './cli/credentials-file.ts';
import { hostInUseWords } from './cli/host-words.ts';
import { compose } from './compose.ts';
import type { Config } from './config.ts';
import { rootAccount } from '#control/access.ts';
import type { Outpost } from '#domain/outpost.ts';
import type { NbdClients } from '#volume/host.ts';
import { type HostBeginning, HostInUseError } from '#volume/host-supervisor.ts';

/** Requests in flight may finish this long after a stop was asked for. */
const CLOSE_DEADLINE_MS = 10_000;
/** So long the start waits for the volume host to open the volumes. */
const OPEN_WAIT_MS_MAX = 10_000;

export interface RunningControl extends AsyncDisposable {
  /** `http://127.0.0.1:4577` */
  readonly endpoint: string;
  /** The first account's, whose key is in the credentials file. */
  readonly accountId: string;
  readonly adminSocket: string;
  /** Sites with chunk stores of their own. */
  readonly outposts: readonly Outpost[];
  /** What became of a volume host that was alive. */
  readonly beginning: HostBeginning;
  /** Of the volume host that serves now, or served last. */
  readonly hostProcessId: number;
  /** Who is connected over NBD now. Throws VolumeHostError. */
  clients(): Promise<NbdClients>;
  /** Instances that run now, and go on when this ends. Throws HypervisorError. */
  instanceCount(): Promise<number>;
  /** While it stops: the volume host goes on, because instances do. */
  readonly leavesHost: boolean;
}

/**
 * The control process: opens the data directory, starts or adopts the volume host, serves the APIs. Disposing stops all
 * of it in reverse, the volume host too, unless it is to be left or instances run: those go on with their disks, and are
 * found again.
 */
export async function startServer(
  config: Config,
  options: {
    readonly log: Log;
    readonly onBroken: (error: unknown) => void;
    /** Replace a living volume host that runs otherwise also while clients are connected to it. */
    readonly replaceHost: boolean;
  },
): Promise<RunningControl> {
  await makeDirectory(config.dataDirectory);
  await using scope = new AsyncDisposableStack();
  const { control, api, admin, socketDirectory, beginning, hostProcessId, leaveHost } = await compose(
    config,
    options,
    scope,
  ).catch((error: unknown) => {
    throw error instanceof HostInUseError ? new CommandError(hostInUseWords(error)) : error;
  });

  const root = await rootAccount(control.ports);
  const known = await readCredentialsFile(config.dataDirectory).catch(() => null);
  if (known?.accessKeyId !== root.accessKeyId || known.secretAccessKey !== root.secretAccessKey) {
    const { accessKeyId, secretAccessKey, account } = root;
    await writeCredentialsFile(config.dataDirectory, { accessKeyId, secretAccessKey, accountId: account });
    options.log.info('credentials written', { path: credentialsPath(config.dataDirectory) });
  }

  const opened = control.start();
  const { port } = await api.listen(config.port, config.host).catch((error: unknown) => {
    throw listenError(error, config);
  });
  scope.defer(async () => await api.close(CLOSE_DEADLINE_MS));
  const adminSocket = join(socketDirectory, 'control.sock');
  const adminServer = await admin(adminSocket);
  scope.defer(async () => await adminServer.close());

  // Who is told that the server is ready finds its disks served; many of them may take longer than anybody waits.
  const waiting = new AbortController();
  await Promise.race([opened, systemClock.sleep(OPEN_WAIT_MS_MAX, waiting.signal).catch(() => {})]);
  waiting.abort();

  const endpoint = `${config.tls === null ? 'http' : 'https'}://${isIPv6(config.host) ? `[${config.host}]` : config.host}:${port}`;
  options.log.info('ready', { endpoint, dataDirectory: config.dataDirectory });
  const owned = scope.move();
  let leavesHost = config.leaveHost;
  const instanceCount = async (): Promise<number> =>
    (await control.ports.hypervisor.list()).filter(({ state }) => state !== 'stopped').length;
  return {
    endpoint,
    accountId: root.account,
    adminSocket,
    outposts: control.ports.outposts,
    beginning,
    get hostProcessId() {
      return hostProcessId();
    },
    clients: async () => await control.ports.host.clients(),
    instanceCount,
    get leavesHost() {
      return leavesHost;
    },
    [Symbol.asyncDispose]: async () => {
      leavesHost ||= (await instanceCount().catch(() => 0)) > 0;
      if (leavesHost) leaveHost();
      await owned.disposeAsync();
    },
  };
}

/** Why the API cannot listen, and what to do then. */
function listenError(error: unknown, { host, port }: Config): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : null;
  const other = 'choose another with --port N (0: any free one; npm start -- --port N)';
  const reasons = new Map<unknown, string>([
    ['EADDRINUSE', `port ${port} of ${host} is taken (EADDRINUSE); ${other}`],
    ['EACCES', `port ${port} of ${host} is for the administrator (EACCES); ${other}`],
    ['EADDRNOTAVAIL', `--host: this machine has no address ${host} (EADDRNOTAVAIL)`],
    ['ENOTFOUND', `--host: there is no host "${host}" (ENOTFOUND)`],
    ['EAI_AGAIN', `--host: nobody can say now where "${host}" is (EAI_AGAIN)`],
  ]);
  const reason = reasons.get(code);
  return reason === undefined ? error : new CommandError(reason); // Which says all that the error does.
}
