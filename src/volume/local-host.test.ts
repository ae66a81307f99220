import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setImmediate } from 'node:timers/promises';

import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { systemRandom } from '#base/random.ts';
import { openRunDirectory } from '#base/run-directory.ts';
import { SECTOR_KEY_BYTES } from '#base/sector-cipher.ts';
import { addressOfDigests, DIGESTS_BYTES } from '#chunk/chunk-digests.ts';
import { accountKeys } from '#chunk/seal.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { SnapshotId, VolumeId } from '#domain/ids.ts';
import { composeHost } from '#src/compose-host.ts';

import { HostClient } from './host-client.ts';
import { HostConnection } from './host-connection.ts';
import { type Hello, HOST_PROTOCOL_VERSION } from './host-protocol.ts';
import { HostServer } from './host-server.ts';
import { PlainNbdClient } from './host-nbd.fake.ts';
import { account, openVolume, randomChunk, rejectsAs, snapshotOf } from './host-under-test.suite.ts';
import { volumeHostSuite } from './host.suite.ts';
import { decodeVolumeRecord } from './volume-file.ts';
import { VolumeKeys } from './volume-key.ts';

async function local(t: TestContext, encryptVolumes = false) {
  const dataDirectory = mkdtempSync(join(tmpdir(), 'varve-host-'));
  mkdirSync(dataDirectory, { recursive: true });
  const scope = new AsyncDisposableStack();
  t.after(async () => {
    await scope.disposeAsync();
    rmSync(dataDirectory, { recursive: true });
  });
  const { socketDirectory } = openRunDirectory(dataDirectory);
  const options = {
    dataDirectory,
    socketDirectory,
    nbdTcp: null,
    s3: null,
    encryptVolumes,
    clock: systemClock,
    random: systemRandom,
  };
  const host = await composeHost({ ...options, log: silentLog }, scope);
  return { host, dataDirectory, socketDirectory };
}

volumeHostSuite('in this process', (t) => local(t));

volumeHostSuite('with encrypted volumes', (t) => local(t, true));

volumeHostSuite('through the seam', async (t) => {
  const { host, dataDirectory, socketDirectory } = await local(t);
  const socketPath = join(socketDirectory, 'host.sock');
  const hello: Hello = { varve: 'control', version: HOST_PROTOCOL_VERSION, build: '', settings: '', pid: 1 };
  const server = await HostServer.listen({
    host,
    socketPath,
    hello: () => hello,
    log: silentLog,
    onStop: () => {},
    onConfigure: async () => {},
  });
  const connection = await HostConnection.open({ socketPath, hello, clock: systemClock });
  t.after(async () => {
    connection[Symbol.dispose]();
    await server[Symbol.asyncDispose]();
  });
  return { host: new HostClient({ connection: async () => connection, log: silentLog }), dataDirectory };
});

test('a snapshot is made ready when somebody asks for it, until it is let go or deleted', async (t) => {
  const { host, dataDirectory } = await local(t);
  const { volume } = await openVolume(host);
  await host.writeBlock(volume, 1, 0, randomChunk());
  const { snapshot } = await snapshotOf(host, volume);
  const untilWarm = async (): Promise<void> => {
    for (let status = await host.warmSnapshot(snapshot); !status.isWarm; status = await host.warmSnapshot(snapshot)) {
      assert.equal(status.trouble, null);
      await setImmediate();
    }
  };
  const kept = (): readonly string[] => readdirSync(join(dataDirectory, 'warm', 'snapshots'));
  await untilWarm();
  assert.deepEqual(kept(), [`${snapshot}.json`]);
  await host.coolSnapshot(snapshot);
  await host.coolSnapshot(snapshot);
  assert.deepEqual(kept(), []);
  await untilWarm();
  await host.deleteSnapshot(snapshot);
  assert.deepEqual(kept(), []);
  await rejectsAs('snapshot-not-found', host.warmSnapshot(snapshot));
});

test('nothing that a client writes to an encrypted volume is in its files, and another master key does not open it', async (t) => {
  const { host, dataDirectory } = await local(t, true);
  const { volume, socketPath } = await openVolume(host);
  const marker = Buffer.from('what nobody else is to read, sixteen at a time. ');
  using client = await PlainNbdClient.connect({ path: socketPath }, volume);
  await client.write(CHUNK_BYTES - 1024, Buffer.alloc(64 * 1024, marker));
  await client.flush();
  assert((await client.read(CHUNK_BYTES - 1024, 48)).equals(marker.subarray(0, 48)));
  const directory = join(dataDirectory, 'volumes', volume);
  for (const name of readdirSync(directory)) {
    const bytes = readFileSync(join(directory, name));
    assert.equal(bytes.indexOf(marker.subarray(0, 16)), -1, name);
  }
  const record = decodeVolumeRecord(readFileSync(join(directory, 'volume.json')));
  const other = new VolumeKeys({ masterKey: Buffer.alloc(32, 9), random: systemRandom });
  assert.throws(() => other.open(volume, record.sealedKey ?? ''), /does not open with/);
  const moved = new VolumeKeys({ masterKey: readFileSync(join(dataDirectory, 'master.key')), random: systemRandom });
  assert.equal(moved.open(volume, record.sealedKey ?? '').length, SECTOR_KEY_BYTES);
  assert.throws(() => moved.open('vol-00000000000000001' as VolumeId, record.sealedKey ?? ''), /does not open with/);
});

test('a volume remembers the digests of what its snapshots hold, encrypted or not', async (t) => {
  for (const encryptVolumes of [false, true]) {
    const { host, dataDirectory } = await local(t, encryptVolumes);
    const { volume, socketPath } = await openVolume(host);
    using client = await PlainNbdClient.connect({ path: socketPath }, volume);
    const keys = accountKeys(readFileSync(join(dataDirectory, 'master.key')), account);
    let base: { readonly snapshot: SnapshotId; readonly epoch: number } | null = null;
    for (const bytes of [randomChunk(), randomChunk().subarray(0, 4096), randomChunk().subarray(0, 4096)]) {
      await client.write(3 * CHUNK_BYTES, bytes);
      base = await snapshotOf(host, volume, { base });
      const { blocks } = await host.listBlocks(base.snapshot, 0, 10);
      const digests = readFileSync(join(dataDirectory, 'volumes', volume, 'digests'));
      const own = digests.subarray(3 * DIGESTS_BYTES, 4 * DIGESTS_BYTES);
      assert.deepEqual(blocks, [{ index: 3, key: addressOfDigests(keys, own).toString('hex') }]);
    }
  }
});
