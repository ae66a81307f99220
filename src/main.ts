import { isIPv6 } from 'node:net';
import { join } from 'node:path';
import { makeDirectory } from '#base/make-directory.ts';
import type { Log } from '#base/log.ts';
import { credentialsPath, readCredentialsFile, writeCredentialsFile } from './cli/credentials-file.ts';
import { compose } from './compose.ts';
import type { Config } from './config.ts';
import { rootAccount } from '#control/access.ts';

/** Requests in flight may finish this long after a stop was asked for. */
const CLOSE_DEADLINE_MS = 10_000;

export interface RunningControl extends AsyncDisposable {
  /** `http://127.0.0.1:4577` */
  readonly endpoint: string;
  /** The first account's, whose key is in the credentials file. */
  readonly accountId: string;
  readonly adminSocket: string;
}

/**
 * The control process: opens the data directory, starts or adopts the volume host, serves the APIs. Disposing stops all
 * of it in reverse, the volume host too.
 */
export async function startServer(
  config: Config,
  options: { readonly log: Log; readonly onBroken: (error: unknown) => void },
): Promise<RunningControl> {
  await makeDirectory(config.dataDirectory);
  await using scope = new AsyncDisposableStack();
  const { control, api, admin, socketDirectory } = await compose(config, options, scope);

  const root = await rootAccount(control.ports);
  const known = await readCredentialsFile(config.dataDirectory).catch(() => null);
  if (known?.accessKeyId !== root.accessKeyId || known.secretAccessKey !== root.secretAccessKey) {
    const { accessKeyId, secretAccessKey, account } = root;
    await writeCredentialsFile(config.dataDirectory, { accessKeyId, secretAccessKey, accountId: account });
    options.log.info('credentials written', { path: credentialsPath(config.dataDirectory) });
  }

  control.start();
  const { port } = await api.listen(config.port, config.host).catch((error: unknown) => {
    throw portTaken(error, config) ?? error;
  });
  scope.defer(async () => await api.close(CLOSE_DEADLINE_MS));
  const adminSocket = join(socketDirectory, 'control.sock');
  const adminServer = await admin(adminSocket);
  scope.defer(async () => await adminServer.close());

  const endpoint = `${config.tls === null ? 'http' : 'https'}://${isIPv6(config.host) ? `[${config.host}]` : config.host}:${port}`;
  options.log.info('ready', { endpoint, dataDirectory: config.dataDirectory });
  const owned = scope.move();
  return {
    endpoint,
    accountId: root.account,
    adminSocket,
    [Symbol.asyncDispose]: async () => await owned.disposeAsync(),
  };
}

function portTaken(error: unknown, config: Config): Error | null {
  if (!(error instanceof Error && 'code' in error && error.code === 'EADDRINUSE')) return null;
  const advice = 'choose another with --port N (0: any free one; npm start -- --port N)';
  return new Error(`port ${config.port} of ${config.host} is taken (EADDRINUSE); ${advice}`);
}
