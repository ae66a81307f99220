import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';

import { present } from '#base/assert.ts';
import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { ProcessLock } from '#base/process-lock.ts';
import { openRunDirectory } from '#base/run-directory.ts';
import { CHUNK_BYTES, GIB_BYTES } from '#domain/geometry.ts';

import type { VolumeHost } from './host.ts';
import { PlainNbdClient } from './host-nbd.fake.ts';
import { encodeSettings } from './host-settings.ts';
import { HOST_LOCK_NAME, HostInUseError, HostSupervisor, type HostSupervisorOptions } from './host-supervisor.ts';
import {
  chunkOf,
  cutOf,
  jobOf,
  never,
  newSnapshot,
  openVolume,
  randomChunk,
  rejectsAs,
  snapshotOf,
} from './host-under-test.suite.ts';
import { volumeHostSuite } from './host.suite.ts';

function temporary(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'varve-host-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return directory;
}

function optionsFor(dataDirectory: string, more: Partial<HostSupervisorOptions> = {}): HostSupervisorOptions {
  return {
    dataDirectory,
    settings: { nbdTcp: null },
    build: 'test',
    clock: systemClock,
    log: silentLog,
    onRestart: async () => {},
    ...more,
  };
}

async function supervised(t: TestContext, dataDirectory: string, more: Partial<HostSupervisorOptions> = {}) {
  const supervisor = await HostSupervisor.start(optionsFor(dataDirectory, more));
  const { pid } = supervisor;
  t.after(async () => {
    await supervisor[Symbol.asyncDispose]();
    await Promise.all([gone(pid), gone(supervisor.pid)]); // No host outlives its test.
  });
  return supervisor;
}

/** A host that is killed as often as wanted; `restarted` waits for the next life, in which the volumes are open again. */
async function mortal(t: TestContext, reopen: (host: VolumeHost) => Promise<unknown>) {
  let next = Promise.withResolvers<void>();
  const dataDirectory = temporary(t);
  const supervisor = await supervised(t, dataDirectory, {
    onRestart: async (host) => {
      await reopen(host);
      next.resolve();
    },
  });
  const killed = async (): Promise<void> => {
    next = Promise.withResolvers<void>();
    process.kill(supervisor.pid, 'SIGKILL');
    await next.promise;
  };
  return { supervisor, host: supervisor.host, killed, dataDirectory };
}

/** It has let go of everything before; only its number is left for a moment. */
async function gone(pid: number): Promise<void> {
  while (isAlive(pid)) await setImmediate();
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    // A process that nobody has waited for yet still has its number.
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

volumeHostSuite('in a process of its own', async (t) => {
  const dataDirectory = temporary(t);
  // Not filled in the background: the facts say when a volume reads through to its origin, and when no more.
  const settings = { nbdTcp: null, hydration: { bytesPerSecond: 0 } };
  return { host: (await supervised(t, dataDirectory, { settings })).host, dataDirectory };
});

test('a host that dies is started again, and what was acknowledged is there', async (t) => {
  let volume = '';
  const { supervisor, host, killed } = await mortal(t, (again) => again.open(volume as never, 1));
  const opened = await openVolume(host);
  volume = opened.volume;
  using client = await PlainNbdClient.connect({ path: opened.socketPath });
  await client.write(12_345, Buffer.from('acknowledged'));
  const before = supervisor.pid;
  await killed();
  assert.notEqual(supervisor.pid, before);
  using again = await PlainNbdClient.connect({ path: opened.socketPath });
  assert.equal(String(await again.read(12_345, 12)), 'acknowledged');
});

test('kill -9 in the middle of an upload: the next life completes it', async (t) => {
  let volume = '';
  const { host, killed } = await mortal(t, (again) => again.open(volume as never, 1));
  const sizeBytes = 128 * CHUNK_BYTES;
  volume = (await openVolume(host, { sizeBytes })).volume;
  const content = new Map<number, Buffer>();
  for (let index = 0; index < 128; index += 1) {
    const bytes = randomChunk();
    content.set(index, bytes);
    await host.writeBlock(volume as never, 1, index, bytes);
  }
  const snapshot = newSnapshot();
  const [cut] = await host.cut([volume as never], cutOf(snapshot));
  const job = jobOf(snapshot, volume as never, cut?.epoch ?? 0, { sizeBytes });
  const lost = rejectsAs('unavailable', host.upload(job, never));
  for (;;) {
    const progress = (await host.progress())[snapshot];
    if (progress !== undefined && progress.doneBytes > 0) break;
    await setImmediate();
  }
  await killed();
  await lost;
  const result = await host.upload(job, never);
  assert.equal(result.fullBytes, sizeBytes);
  for (const [index, bytes] of content) {
    const read = await host.readBlock(snapshot, index);
    assert.ok(read !== null && bytes.equals(read.bytes), `chunk ${index}`);
  }
});

test('control dies: the host serves on, and the next control adopts it without disturbing clients', async (t) => {
  const dataDirectory = temporary(t);
  const first = await HostSupervisor.start(optionsFor(dataDirectory));
  const { volume, socketPath } = await openVolume(first.host);
  using client = await PlainNbdClient.connect({ path: socketPath });
  await first.abandon();
  await client.write(0, Buffer.from('without control'));
  await client.flush();
  const second = await supervised(t, dataDirectory);
  assert.equal(second.adopted, true);
  assert.equal(second.pid, first.pid);
  assert.deepEqual(await second.host.open(volume, 1), { socketPath });
  assert.equal(String(await client.read(0, 15)), 'without control');
  assert.equal((await second.host.status([volume]))[0]?.clientCount, 1);
});

test('a host of another build or with other settings is replaced in order', async (t) => {
  const dataDirectory = temporary(t);
  const first = await HostSupervisor.start(optionsFor(dataDirectory));
  const { volume } = await openVolume(first.host);
  await first.host.writeBlock(volume, 1, 0, chunkOf(7));
  await first.abandon();
  const second = await supervised(t, dataDirectory, {
    build: 'newer',
    settings: { nbdTcp: { host: '127.0.0.1', port: 0 } },
  });
  assert.equal(second.adopted, false);
  assert.notEqual(second.pid, first.pid);
  await gone(first.pid);
  const { socketPath } = await second.host.open(volume, 1);
  using client = await PlainNbdClient.connect({ path: socketPath });
  assert.deepEqual(await client.read(0, CHUNK_BYTES), chunkOf(7));
});

test('settings that need no restart are taken up by a living host, and its clients notice nothing', async (t) => {
  const dataDirectory = temporary(t);
  const first = await HostSupervisor.start(optionsFor(dataDirectory));
  const { volume, socketPath } = await openVolume(first.host);
  using client = await PlainNbdClient.connect({ path: socketPath });
  await first.abandon();
  const settings = { nbdTcp: { host: '127.0.0.1', port: 0 }, encryptVolumes: true, hydration: { bytesPerSecond: 7 } };
  const second = await HostSupervisor.start(optionsFor(dataDirectory, { settings }));
  assert.equal(second.pid, first.pid);
  assert.deepEqual(second.beginning, { kind: 'configured', differing: ['nbdTcp', 'encryptVolumes', 'hydration'] });
  await client.write(0, Buffer.from('undisturbed'));
  assert.deepEqual(await second.host.clients(), { connectionCount: 1, exportCount: 1 });
  const { port } = await second.host.issueGrant(volume, null);
  assert.ok(port > 0, 'it listens on TCP now');
  const made = await openVolume(second.host);
  const encrypted = (await second.host.status([volume, made.volume])).map((status) => status.encrypted);
  assert.deepEqual(encrypted, [false, true]);
  await second.abandon();
  // The host itself says what it has now: the same settings again are no difference.
  const third = await supervised(t, dataDirectory, { settings });
  assert.deepEqual(third.beginning, { kind: 'adopted' });
  assert.equal(String(await client.read(0, 11)), 'undisturbed');
});

test('a living host that cannot be adopted is not replaced under its clients, unless that is asked for', async (t) => {
  const dataDirectory = temporary(t);
  const settings = { nbdTcp: { host: '127.0.0.1', port: 0 } };
  const first = await HostSupervisor.start(optionsFor(dataDirectory, { settings }));
  const { volume, socketPath } = await openVolume(first.host);
  const client = await PlainNbdClient.connect({ path: socketPath });
  await first.abandon();
  const other = optionsFor(dataDirectory, { build: 'newer' });
  await assert.rejects(HostSupervisor.start(other), (error: unknown) => {
    assert.ok(error instanceof HostInUseError);
    assert.deepEqual([error.differing, error.clientCount], [['program', 'nbdTcp'], 1]);
    assert.equal(error.living.pid, first.pid);
    return true;
  });
  await client.write(0, Buffer.from('still here'));
  await client.flush();
  const second = await supervised(t, dataDirectory, { build: 'newer', replaceInUse: true });
  assert.deepEqual(second.beginning, { kind: 'replaced', differing: ['program', 'nbdTcp'], clientCount: 1 });
  await gone(first.pid);
  await assert.rejects(client.read(0, 1));
  client[Symbol.dispose]();
  using again = await PlainNbdClient.connect({ path: (await second.host.open(volume, 1)).socketPath });
  assert.equal(String(await again.read(0, 10)), 'still here');
});

test('the TCP port serves volumes and snapshots to who has a grant for them, and nothing to others', async (t) => {
  const dataDirectory = temporary(t);
  const { host } = await supervised(t, dataDirectory, { settings: { nbdTcp: { host: '127.0.0.1', port: 0 } } });
  const { volume } = await openVolume(host);
  await host.writeBlock(volume, 1, 0, chunkOf(1));
  const { snapshot } = await snapshotOf(host, volume);
  await host.writeBlock(volume, 1, 0, chunkOf(2));
  const grants = await Promise.all([volume, snapshot].map((id) => host.issueGrant(id, null)));
  const psk = (index: number) => {
    const { grant, key } = present(grants[index], 'a grant was issued');
    return { identity: grant.id, key: Buffer.from(key, 'hex') };
  };
  const address = { host: '127.0.0.1', port: present(grants[0], 'a grant was issued').port };
  for (const [index, byte] of [2, 1].entries()) {
    using client = await PlainNbdClient.connectSecurely(address, psk(index));
    assert.deepEqual(await client.read(0, 3), Buffer.alloc(3, byte));
  }
  await assert.rejects(PlainNbdClient.connectSecurely(address, psk(0), snapshot), /refused/);
  await assert.rejects(PlainNbdClient.connectSecurely(address, { ...psk(0), key: psk(1).key }));
  await assert.rejects(PlainNbdClient.connect(address, volume), /refused/);
  await assert.rejects(PlainNbdClient.connect(address), /refused/);
  assert.equal((await host.grants(volume)).length, 1);
  using cut = await PlainNbdClient.connectSecurely(address, psk(0));
  assert.equal(await host.revokeGrant(psk(0).identity), true);
  await assert.rejects(cut.read(0, 3));
  await assert.rejects(PlainNbdClient.connectSecurely(address, psk(0)));
});

test('stopping in order leaves no process, no socket and no lock, and loses nothing', async (t) => {
  const dataDirectory = temporary(t);
  const supervisor = await HostSupervisor.start(optionsFor(dataDirectory));
  const { volume, socketPath } = await openVolume(supervisor.host, { sizeBytes: GIB_BYTES });
  using client = await PlainNbdClient.connect({ path: socketPath });
  await client.write(0, Buffer.from('last words'));
  await supervisor[Symbol.asyncDispose]();
  await supervisor[Symbol.asyncDispose]();
  await assert.rejects(client.read(0, 1));
  await rejectsAs('unavailable', supervisor.host.progress());
  assert.ok(!isAlive(supervisor.pid));
  assert.ok(!existsSync(socketPath));
  const { lockDirectory } = openRunDirectory(dataDirectory);
  ProcessLock.acquire(join(lockDirectory, HOST_LOCK_NAME), 'it')[Symbol.dispose]();
  const { host } = await supervised(t, dataDirectory);
  using again = await PlainNbdClient.connect({ path: (await host.open(volume, 1)).socketPath });
  assert.equal(String(await again.read(0, 10)), 'last words');
});

test('SIGTERM stops a host in order', async (t) => {
  const dataDirectory = temporary(t);
  const entry = new URL('../volume-host.ts', import.meta.url).pathname;
  const args = [entry, '--data', dataDirectory, '--settings', encodeSettings({ nbdTcp: null }), '--build', 'test'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  t.after(() => child.kill('SIGKILL'));
  const exited = once(child, 'exit');
  let output = '';
  for await (const piece of present(child.stdout, 'its output is a pipe')) {
    output += String(piece);
    if (output.includes('volume-host.ready')) child.kill('SIGTERM');
  }
  assert.deepEqual(await exited, [0, null]);
  assert.match(output, /volume-host\.stopped/);
});

test('a host that a killed control had begun to start is waited for, and adopted', async (t) => {
  const dataDirectory = temporary(t);
  const entry = new URL('../volume-host.ts', import.meta.url).pathname;
  const { settings, build } = optionsFor(dataDirectory);
  const args = [entry, '--data', dataDirectory, '--settings', encodeSettings(settings), '--build', build];
  const child = spawn(process.execPath, args, { stdio: 'ignore' });
  t.after(() => child.kill('SIGKILL'));
  const { lockDirectory } = openRunDirectory(dataDirectory);
  while (!existsSync(join(lockDirectory, `${HOST_LOCK_NAME}.holder`))) await systemClock.sleep(1);
  await using supervisor = await HostSupervisor.start(optionsFor(dataDirectory));
  assert.equal(supervisor.beginning.kind, 'adopted');
  assert.equal(supervisor.pid, child.pid);
});

test('a host that cannot start says why', async (t) => {
  const dataDirectory = temporary(t);
  const { lockDirectory } = openRunDirectory(dataDirectory);
  {
    using _lock = ProcessLock.acquire(join(lockDirectory, HOST_LOCK_NAME), 'it');
    const clock = { ...systemClock, sleep: () => setImmediate() }; // It waits in vain, for long.
    await assert.rejects(
      HostSupervisor.start(optionsFor(dataDirectory, { clock })),
      new RegExp(`did not start.*is in use by process ${process.pid} `),
    );
  }
  writeFileSync(join(dataDirectory, 'master.key'), 'short');
  await assert.rejects(HostSupervisor.start(optionsFor(dataDirectory)), /did not start.*master\.key/);
});
