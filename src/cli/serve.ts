import { describeError, jsonLog } from '#base/log.ts';
import { type ConfigOptions, readConfig } from '#src/config.ts';
import { startServer } from '#src/main.ts';
import { CommandError } from './command-error.ts';
import { credentialsPath } from './credentials-file.ts';
import { removeServerFile, writeServerFile } from './server-file.ts';

/**
 * Runs the server until SIGINT or SIGTERM (SIGHUP only from a terminal: `nohup` is obeyed). Its log goes to standard
 * error, what a person needs to standard output.
 */
export async function serve(options: ConfigOptions): Promise<void> {
  process.umask(0o077);
  const config = readConfig(options, process.env);
  const log = jsonLog((line) => process.stderr.write(line));
  const stop = Promise.withResolvers<void>();
  stop.promise.catch(() => {}); // Waited for below; a start that fails comes first.
  // Before anything is started: what a start has begun is stopped in order, too. The launcher and the terminal may both
  // send a signal; once is enough.
  const signals: readonly NodeJS.Signals[] = process.stdin.isTTY
    ? ['SIGINT', 'SIGTERM', 'SIGHUP']
    : ['SIGINT', 'SIGTERM'];
  for (const signal of signals) process.on(signal, () => stop.resolve());
  const server = await startServer(config, {
    log,
    onBroken: (error) => stop.reject(new CommandError(`stopped by a broken invariant: ${describeError(error)}`)),
  });
  try {
    await writeServerFile(config.dataDirectory, {
      endpoint: server.endpoint,
      region: config.region,
      processId: process.pid,
      adminSocket: server.adminSocket,
    });
    process.stdout.write(banner(server.endpoint, server.accountId, config.region, config.dataDirectory, options));
    await stop.promise;
    log.info('stopping', {});
  } finally {
    await server[Symbol.asyncDispose]();
    await removeServerFile(config.dataDirectory);
  }
}

function banner(
  endpoint: string,
  accountId: string,
  region: string,
  dataDirectory: string,
  options: ConfigOptions,
): string {
  const data = options.data === undefined ? '' : ` --data '${dataDirectory.replaceAll("'", `'\\''`)}'`;
  return `Varve is ready.

  endpoint     ${endpoint}
  region       ${region}
  credentials  ${credentialsPath(dataDirectory)} (account ${accountId})
  data         ${dataDirectory}

In another terminal, in this directory:

  eval "$(npx varve env${data})"
  aws lightsail create-disk --disk-name disk-1 --availability-zone ${region}a --size-in-gb 8
  aws lightsail create-disk-snapshot --disk-name disk-1 --disk-snapshot-name snapshot-1
  aws lightsail get-disk-snapshots

The disk's NBD address: npx varve connect disk-1${data}

`;
}
