import { rmSync } from 'node:fs';

import { systemClock } from '#base/clock.ts';
import { describeError, jsonLog } from '#base/log.ts';
import { type Config, type ConfigOptions, readConfig } from '#src/config.ts';
import { type RunningControl, startServer } from '#src/main.ts';

import { CommandError } from './command-error.ts';
import { counted } from './counted.ts';
import { credentialsPath } from './credentials-file.ts';
import { beginningWords } from './host-words.ts';
import { removeServerFile, serverFilePath, writeServerFile } from './server-file.ts';

/** The launcher and the terminal may both send a signal for one Ctrl-C. A second one comes later than that. */
const SECOND_SIGNAL_MS = 500;
const INTERRUPTED = 130;

/**
 * Runs the server until SIGINT or SIGTERM (SIGHUP only from a terminal: `nohup` is obeyed); a second signal ends it at
 * once. Its log goes to standard error, what a person needs to standard output.
 */
export async function serve(options: ConfigOptions, how: { readonly replaceHost: boolean }): Promise<void> {
  process.umask(0o077);
  const config = readConfig(options, process.env);
  const log = jsonLog((line) => process.stderr.write(line));
  const stop = Promise.withResolvers<void>();
  stop.promise.catch(() => {}); // Waited for below; a start that fails comes first.
  // Before anything is started: what a start has begun is stopped in order, too.
  const begun: { server: RunningControl | null } = { server: null };
  onSignals({ stop: () => stop.resolve(), atOnce: () => endAtOnce(config, begun.server) });
  process.stdout.on('error', () => {}); // Whoever read it is gone; the disks are served on.
  const server = await startServer(config, {
    log,
    ...how,
    onBroken: (error) => stop.reject(new CommandError(`stopped, because it cannot go on: ${describeError(error)}`)),
  });
  begun.server = server;
  try {
    await writeServerFile(config.dataDirectory, {
      endpoint: server.endpoint,
      region: config.region,
      processId: process.pid,
      adminSocket: server.adminSocket,
    });
    process.stdout.write(banner(server, config, options));
    await stop.promise;
    log.info('stopping', {});
    process.stdout.write(await stoppingWords(server));
  } finally {
    await server[Symbol.asyncDispose]();
    await removeServerFile(config.dataDirectory);
  }
}

function onSignals(on: { readonly stop: () => void; readonly atOnce: () => void }): void {
  const signals: readonly NodeJS.Signals[] = process.stdin.isTTY
    ? ['SIGINT', 'SIGTERM', 'SIGHUP']
    : ['SIGINT', 'SIGTERM'];
  let firstMs: number | null = null;
  const onSignal = (): void => {
    const nowMs = systemClock.monotonicMs();
    firstMs ??= nowMs;
    if (nowMs - firstMs < SECOND_SIGNAL_MS) on.stop();
    else on.atOnce();
  };
  for (const signal of signals) process.on(signal, onSignal);
}

/** Loses nothing that was flushed: the volume host, in a process of its own, still stops in order. */
function endAtOnce(config: Config, server: RunningControl | null): never {
  rmSync(serverFilePath(config.dataDirectory), { force: true });
  try {
    if (server !== null && !server.leavesHost) process.kill(server.hostProcessId, 'SIGTERM');
  } catch {
    // It has ended already.
  }
  process.stderr.write('varve: ended at once; the disks are still being written out in the background\n');
  process.exit(INTERRUPTED);
}

/** What a stop does to whoever uses a disk. */
async function stoppingWords(server: RunningControl): Promise<string> {
  const { connectionCount, exportCount } = await server.clients().catch(() => ({ connectionCount: 0, exportCount: 0 }));
  const instanceCount = await server.instanceCount().catch(() => 0);
  const again = 'Ctrl-C again: end at once.';
  if (instanceCount > 0) return `Stopping the server. ${instanceWords(instanceCount)}${again}\n`;
  if (server.leavesHost) {
    const stop = `To stop them, too: kill ${server.hostProcessId}.`;
    return `Stopping the server. Its disks are served on, and the next start finds them. ${stop} ${again}\n`;
  }
  if (connectionCount === 0) return `Stopping the server and its disks; no NBD client is connected. ${again}\n`;
  const clients = `${counted(connectionCount, 'NBD client')} ${connectionCount === 1 ? 'is' : 'are'}`;
  const disks = exportCount === 1 ? '1 disk or snapshot' : `${exportCount} disks and snapshots`;
  return (
    `Stopping the server and its disks: ${clients} being disconnected from ${disks}. ` +
    `What was flushed is kept. ${again}\n`
  );
}

/** Instances outlive the server, and need their disks. */
function instanceWords(count: number): string {
  const [instances, go, their] = count === 1 ? ['1 instance', 'goes', 'its'] : [`${count} instances`, 'go', 'their'];
  return `${instances} ${go} on running, and so does the volume host with ${their} disks: the next start finds both. To stop all, stop the instances first. `;
}

function banner(server: RunningControl, config: Config, options: ConfigOptions): string {
  const { region, dataDirectory, s3 } = config;
  const data = options.data === undefined ? '' : ` --data '${dataDirectory.replaceAll("'", `'\\''`)}'`;
  // What can be copied works where this was started by npx, too.
  const varve = process.env['npm_command'] === 'exec' ? 'npx varve' : 'varve';
  const facts: [string, string][] = [
    ['endpoint', server.endpoint],
    ['region', region],
    ['credentials', `${credentialsPath(dataDirectory)} (account ${server.accountId})`],
    ['data', dataDirectory],
  ];
  if (s3 !== null) facts.push(['store', `s3://${s3.bucket}/${s3.prefix}`]);
  for (const { name, arn } of server.outposts) facts.push(['outpost', `${name}: ${arn}`]);
  if (config.encryptVolumes) facts.push(['volumes', `new ones are encrypted (${varve} volumes shows which are)`]);
  if (config.nbdTcp !== null) facts.push(['NBD', `over TCP, too: ${varve} connect disk-1 --tcp${data}`]);
  const note = beginningWords(server.beginning);
  return `Varve is ready.

${facts.map(([name, value]) => `  ${name.padEnd(11)}  ${value}`).join('\n')}
${note === null ? '' : `\n${note}\n`}
In another terminal, in this directory:

  eval "$(${varve} env${data})"
  aws lightsail create-disk --disk-name disk-1 --availability-zone ${region}a --size-in-gb 8
  aws lightsail create-disk-snapshot --disk-name disk-1 --disk-snapshot-name snapshot-1
  aws lightsail get-disk-snapshots

The disk's NBD address: ${varve} connect disk-1${data}

`;
}
