import { writeSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { present } from '#base/assert.ts';
import { systemClock } from '#base/clock.ts';
import { describeError, jsonLog } from '#base/log.ts';
import { ProcessLock } from '#base/process-lock.ts';
import { systemRandom } from '#base/random.ts';
import { openRunDirectory } from '#base/run-directory.ts';
import { READY_FD, READY_LINE } from '#volume/host-process.ts';
import { HOST_PROTOCOL_VERSION } from '#volume/host-protocol.ts';
import { HostServer } from '#volume/host-server.ts';
import { decodeSettings } from '#volume/host-settings.ts';
import { HOST_LOCK_NAME, HOST_SOCKET_NAME } from '#volume/host-supervisor.ts';

import { composeHost } from './compose-host.ts';

/**
 * The volume host: the process that owns volumes and chunks and serves them over NBD.
 *
 *   lock → key → store → volumes → NBD, control socket → "ready" on descriptor 3 → … → SIGTERM, SIGINT or `stop`
 *   stop: no new control · clients cut, volumes flushed and closed · lock freed · control's connection ends · exit 0
 *
 * Standard output and error are the log. A broken invariant ends it with a stack there and code 1 (or 7); the supervisor
 * starts it again.
 */
async function main(): Promise<void> {
  process.umask(0o077);
  const { values } = parseArgs({
    options: {
      data: { type: 'string' },
      settings: { type: 'string' },
      build: { type: 'string' },
      // Say on descriptor 3 how the start went; without it that descriptor is somebody else's.
      announce: { type: 'boolean', default: false },
    },
  });
  const dataDirectory = present(values.data, '--data is given');
  const build = present(values.build, '--build is given');
  let settings = present(values.settings, '--settings is given');
  const log = jsonLog((line) => process.stdout.write(line), { process: 'volume-host', pid: process.pid });

  const stopAsked = Promise.withResolvers<string>();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stopAsked.resolve(signal));
  process.on('SIGHUP', () => {}); // The terminal of whoever started it went away.

  const run = openRunDirectory(dataDirectory);
  const lock = ProcessLock.acquire(join(run.lockDirectory, HOST_LOCK_NAME), `the data directory ${dataDirectory}`);
  await using scope = new AsyncDisposableStack();
  const host = await composeHost(
    {
      dataDirectory,
      socketDirectory: run.socketDirectory,
      ...decodeSettings(settings),
      clock: systemClock,
      random: systemRandom,
      log,
    },
    scope,
  );
  const server = await HostServer.listen({
    host,
    socketPath: join(run.socketDirectory, HOST_SOCKET_NAME),
    hello: () => ({ varve: 'volume-host', version: HOST_PROTOCOL_VERSION, build, settings, pid: process.pid }),
    log,
    onStop: () => stopAsked.resolve('control'),
    onConfigure: async (wanted) => {
      await host.configure(decodeSettings(wanted));
      settings = wanted;
      log.info('volume-host.configured', { settings });
    },
  });
  announce(READY_LINE);
  log.info('volume-host.ready', { startMs: Math.round(performance.now()), build });
  const reason = await stopAsked.promise;
  log.info('volume-host.stop', { reason });
  server.stopListening();
  try {
    await scope.disposeAsync();
  } finally {
    // Free before control sees the connection end, which tells it that the next host may start.
    lock[Symbol.dispose]();
    log.info('volume-host.stopped');
    await server[Symbol.asyncDispose]();
  }
}

function announce(line: string): void {
  if (!process.argv.includes('--announce')) return;
  try {
    writeSync(READY_FD, `${line.replaceAll('\n', ' ')}\n`);
  } catch {
    // The control that started it died meanwhile; another one finds the socket.
  }
}

// Not when it is only loaded, to be compiled ahead (warm.ts).
if (import.meta.main) {
  try {
    await main();
    process.exit(0);
  } catch (error) {
    announce(describeError(error));
    throw error;
  }
}
