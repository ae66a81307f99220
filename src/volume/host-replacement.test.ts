import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';

import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { MemoryHost } from '#control/memory-host.fake.ts';

import { VolumeHostError } from './host.ts';
import { HOST_PROTOCOL_VERSION, type Hello } from './host-protocol.ts';
import { HostServer } from './host-server.ts';
import { encodeSettings } from './host-settings.ts';
import { HostInUseError, HostSupervisor, hostSocketPath } from './host-supervisor.ts';

/** A host that only answers hello, `clients` and what the process answers; it ends when it is told to stop. */
async function livingHost(t: TestContext, hello: Partial<Hello>, configure: (settings: string) => Promise<void>) {
  const dataDirectory = mkdtempSync(join(tmpdir(), 'varve-living-'));
  t.after(() => rmSync(dataDirectory, { recursive: true }));
  const told = { stopped: false };
  const own: Hello = {
    varve: 'volume-host',
    version: HOST_PROTOCOL_VERSION,
    build: 'test',
    settings: encodeSettings({ nbdTcp: null }),
    pid: process.pid,
    ...hello,
  };
  const server: HostServer = await HostServer.listen({
    host: new MemoryHost(),
    socketPath: hostSocketPath(dataDirectory),
    hello: () => own,
    log: silentLog,
    onStop: () => {
      told.stopped = true;
      void server[Symbol.asyncDispose]();
    },
    onConfigure: configure,
  });
  t.after(() => server[Symbol.asyncDispose]());
  const options = {
    dataDirectory,
    settings: { nbdTcp: null },
    build: 'test',
    clock: systemClock,
    log: silentLog,
    onRestart: async () => {},
  };
  return { told, options };
}

test('a host of another version cannot be asked who is connected: it is left alone until that is wanted', async (t) => {
  const { told, options } = await livingHost(t, { version: HOST_PROTOCOL_VERSION + 1 }, async () => {});
  await assert.rejects(HostSupervisor.start(options), (error: unknown) => {
    assert.ok(error instanceof HostInUseError);
    assert.deepEqual([error.differing, error.clientCount], [['program'], null]);
    return true;
  });
  assert.equal(told.stopped, false);
  await using supervisor = await HostSupervisor.start({ ...options, replaceInUse: true });
  assert.equal(told.stopped, true);
  assert.deepEqual(supervisor.beginning, { kind: 'replaced', differing: ['program'], clientCount: null });
});

test('a host that cannot take up what it is told is left as it is, and its reason is told', async (t) => {
  const { told, options } = await livingHost(t, {}, async () => {
    throw new VolumeHostError('internal', 'port 80 is not for it');
  });
  const wanted = { nbdTcp: { host: '127.0.0.1', port: 80 } };
  await assert.rejects(HostSupervisor.start({ ...options, settings: wanted }), /port 80 is not for it/);
  assert.equal(told.stopped, false);
});
