import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { systemRandom } from '#base/random.ts';
import { openRunDirectory } from '#base/run-directory.ts';
import { composeHost } from '#src/compose-host.ts';

import { HostClient } from './host-client.ts';
import { HostConnection } from './host-connection.ts';
import { type Hello, HOST_PROTOCOL_VERSION } from './host-protocol.ts';
import { HostServer } from './host-server.ts';
import { volumeHostSuite } from './host.suite.ts';

async function local(t: TestContext) {
  const dataDirectory = mkdtempSync(join(tmpdir(), 'varve-host-'));
  mkdirSync(dataDirectory, { recursive: true });
  const scope = new AsyncDisposableStack();
  t.after(async () => {
    await scope.disposeAsync();
    rmSync(dataDirectory, { recursive: true });
  });
  const { socketDirectory } = openRunDirectory(dataDirectory);
  const options = { dataDirectory, socketDirectory, nbdTcp: null, s3: null, clock: systemClock, random: systemRandom };
  const host = await composeHost({ ...options, log: silentLog }, scope);
  return { host, dataDirectory, socketDirectory };
}

volumeHostSuite('in this process', local);

volumeHostSuite('through the seam', async (t) => {
  const { host, dataDirectory, socketDirectory } = await local(t);
  const socketPath = join(socketDirectory, 'host.sock');
  const hello: Hello = { varve: 'control', version: HOST_PROTOCOL_VERSION, build: '', settings: '', pid: 1 };
  const server = await HostServer.listen({ host, socketPath, hello, log: silentLog, onStop: () => {} });
  const connection = await HostConnection.open({ socketPath, hello, clock: systemClock });
  t.after(async () => {
    connection[Symbol.dispose]();
    await server[Symbol.asyncDispose]();
  });
  return { host: new HostClient({ connection: async () => connection, log: silentLog }), dataDirectory };
});
