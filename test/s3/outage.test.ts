import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';

import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { SeededRandom, systemRandom } from '#base/random.ts';
import { openS3Store } from '#chunk/s3-open.ts';
import { FakeS3Server } from '#chunk/s3-server.fake.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import { openTestStore } from '#snapshot/snapshot-store.fixture.ts';
import { cutOf, jobOf, newSnapshot, openVolume, snapshotOf } from '#volume/host-under-test.suite.ts';
import { VolumeHostError } from '#volume/host.ts';
import { PlainNbdClient } from '#volume/host-nbd.fake.ts';
import { LocalVolumeHost } from '#volume/local-host.ts';
import { NbdGrants } from '#volume/nbd-grants.ts';
import { VolumeKeys } from '#volume/volume-key.ts';

import { requireTool } from '../clients.ts';
import { runOk } from '../run.ts';
import { RunningServer } from '../running-server.ts';

const MIB = 1024 * 1024;
const never = new AbortController().signal;

async function fakeStore(t: TestContext): Promise<FakeS3Server> {
  const fake = await FakeS3Server.start();
  t.after(() => fake[Symbol.asyncDispose]());
  return fake;
}

/** A volume host whose objects are in the bucket. Requests stall after 0.15 s and are given up after `giveUpMs`. */
async function hostOn(t: TestContext, fake: FakeS3Server, giveUpMs: number): Promise<LocalVolumeHost> {
  const directory = mkdtempSync(join(tmpdir(), 'varve-outage-'));
  const objects = await openS3Store({
    location: fake.location('outage/'),
    environment: fake.environment(),
    // A put in doubt is waited for 0.3 s.
    clock: { ...systemClock, sleep: (ms, signal) => systemClock.sleep(ms > 20_000 ? ms / 100 : ms, signal) },
    random: systemRandom,
    log: silentLog,
    stallMs: 150,
    giveUpMs,
  });
  const host = await LocalVolumeHost.open({
    volumesDirectory: join(directory, 'volumes'),
    socketDirectory: directory,
    store: await openTestStore(objects),
    nbdTcp: null,
    keys: new VolumeKeys({ masterKey: Buffer.alloc(32, 1), random: systemRandom }),
    encryptVolumes: false,
    grants: await NbdGrants.open({
      path: join(directory, 'nbd-grants.json'),
      masterKey: Buffer.alloc(32, 1),
      clock: systemClock,
      random: systemRandom,
    }),
    clock: systemClock,
    log: silentLog,
  });
  t.after(async () => {
    fake.fault = () => null;
    await host[Symbol.asyncDispose]();
    await objects[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true });
  });
  return host;
}

/** Nobody answers; what is asked is done (a put, say) or not. */
function silence(fake: FakeS3Server): void {
  let count = 0;
  fake.fault = () => ({ kind: 'silence', done: (count += 1) % 2 === 0 });
}

async function settled(promise: Promise<unknown>): Promise<boolean> {
  const open = Symbol('open');
  return (await Promise.race([promise.catch(() => null), systemClock.sleep(0).then(() => open)])) !== open;
}

test('a store that does not answer stalls an upload and a cold read, which go on when it does', async (t) => {
  const fake = await fakeStore(t);
  const host = await hostOn(t, fake, 60_000);
  const bytes = new SeededRandom(1).bytes(4 * MIB);
  const source = await openVolume(host);
  using writer = await PlainNbdClient.connect({ path: source.socketPath });
  await writer.write(0, bytes);
  const { snapshot } = await snapshotOf(host, source.volume);
  const restored = await openVolume(host, { origin: snapshot });
  using reader = await PlainNbdClient.connect({ path: restored.socketPath });
  await writer.write(MIB, bytes.subarray(0, MIB));
  const later = newSnapshot();
  const [cut] = await host.cut([source.volume], cutOf(later));
  assert.ok(cut !== undefined);

  silence(fake);
  const reading = reader.read(3 * MIB, MIB);
  const uploading = host.upload(jobOf(later, source.volume, cut.epoch), never);
  await systemClock.sleep(1_500);
  assert.deepEqual([await settled(reading), await settled(uploading)], [false, false]);
  // What needs no store goes on: writes, reads of what is here, flushes, cuts.
  await writer.write(2 * MIB, bytes.subarray(0, 4096));
  await writer.flush();
  assert((await writer.read(2 * MIB, 4096)).equals(bytes.subarray(0, 4096)));
  await host.cut([source.volume], cutOf(newSnapshot()));

  fake.fault = () => null;
  assert((await reading).equals(bytes.subarray(3 * MIB)));
  await uploading;
  const chunk = await host.readBlock(later, MIB / CHUNK_BYTES);
  assert(chunk !== null && Buffer.from(chunk.bytes).equals(bytes.subarray(0, CHUNK_BYTES)), 'as it was cut');
});

test('after the deadline a cold read fails with EIO and an upload may be repeated; later both succeed', async (t) => {
  const fake = await fakeStore(t);
  const host = await hostOn(t, fake, 800);
  const bytes = new SeededRandom(2).bytes(2 * MIB);
  const source = await openVolume(host);
  using writer = await PlainNbdClient.connect({ path: source.socketPath });
  await writer.write(0, bytes);
  const { snapshot } = await snapshotOf(host, source.volume);
  const restored = await openVolume(host, { origin: snapshot });
  using reader = await PlainNbdClient.connect({ path: restored.socketPath });
  await writer.write(0, bytes.subarray(MIB));
  const later = newSnapshot();
  const [cut] = await host.cut([source.volume], cutOf(later));
  assert.ok(cut !== undefined);

  silence(fake);
  const uploading = host.upload(jobOf(later, source.volume, cut.epoch), never);
  const refused = assert.rejects(uploading, (error) => {
    assert(error instanceof VolumeHostError);
    assert.match(error.message, /nothing moved for 0.15 seconds/);
    return error.retryable;
  });
  await assert.rejects(reader.read(0, 4096), /errno 5/);
  await refused;

  fake.fault = () => null;
  assert((await reader.read(0, MIB)).equals(bytes.subarray(0, MIB)), 'the volume was not harmed by the failed read');
  await host.upload(jobOf(later, source.volume, cut.epoch), never);
  const chunk = await host.readBlock(later, 1);
  assert(chunk !== null && Buffer.from(chunk.bytes).equals(bytes.subarray(MIB + CHUNK_BYTES)));
});

interface SnapshotReply {
  readonly diskSnapshot: { readonly state: string; readonly progress?: string };
}

test('varve serve --store s3://…: the store goes away, a snapshot stays pending, and is completed when it is back', async (t) => {
  if (!requireTool(t, 'aws')) return;
  const fake = await fakeStore(t);
  const { bucket, region, endpoint } = fake.location();
  const args = ['--store', `s3://${bucket}/an/installation`, '--s3-endpoint', endpoint ?? '', '--s3-region', region];
  await using server = await RunningServer.start({ args, environment: fake.environment() });
  const lightsail = async <T>(...words: readonly string[]): Promise<T> =>
    await server.awsJson<T>(['lightsail', ...words]);
  const state = async (name: string): Promise<string> =>
    (await lightsail<SnapshotReply>('get-disk-snapshot', '--disk-snapshot-name', name)).diskSnapshot.state;
  const completed = async (name: string): Promise<void> => {
    for (let now = await state(name); now !== 'completed'; now = await state(name)) {
      assert.equal(now, 'pending');
      await systemClock.sleep(50);
    }
  };
  const open = async (name: string): Promise<PlainNbdClient> => {
    const path = /socket=([^&]+)/.exec(await server.uri(name))?.[1] ?? '';
    return await PlainNbdClient.connect({ path: decodeURIComponent(path) });
  };
  const place = ['--availability-zone', 'us-east-1a', '--size-in-gb', '8'];
  const bytes = new SeededRandom(3).bytes(24 * MIB);

  await lightsail('create-disk', '--disk-name', 'disk', ...place);
  using disk = await open('disk');
  for (let at = 0; at < bytes.length; at += MIB) await disk.write(at * 3, bytes.subarray(at, at + MIB));
  await disk.flush();
  await lightsail('create-disk-snapshot', '--disk-name', 'disk', '--disk-snapshot-name', 'one');
  await completed('one');
  assert([...fake.objects.keys()].every((key) => key.startsWith('an/installation/')));
  assert([...fake.objects.keys()].some((key) => key.startsWith('an/installation/packs/')));
  await lightsail('create-disk-from-snapshot', '--disk-name', 'copy', '--disk-snapshot-name', 'one', ...place);
  using copy = await open('copy');
  using one = await open('one');
  await disk.write(0, bytes.subarray(8 * MIB, 9 * MIB));

  // The copy is being filled in the background just then.
  await fake.down();
  await lightsail('create-disk-snapshot', '--disk-name', 'disk', '--disk-snapshot-name', 'two');
  const reading = one.read(9 * MIB, MIB);
  await systemClock.sleep(3_000);
  assert.equal(await state('two'), 'pending');
  assert.equal(await settled(reading), false);
  await disk.write(0, bytes.subarray(0, MIB));
  await disk.flush();

  await fake.up();
  assert((await reading).equals(bytes.subarray(3 * MIB, 4 * MIB)));
  await completed('two');
  for (let at = 0; at < bytes.length; at += MIB) {
    assert((await copy.read(at * 3, MIB)).equals(bytes.subarray(at, at + MIB)), `the copy at ${at * 3}`);
  }
  using two = await open('two');
  assert((await two.read(0, MIB)).equals(bytes.subarray(8 * MIB, 9 * MIB)), 'the disk as it was at the snapshot');
  assert((await two.read(3 * MIB, MIB)).equals(bytes.subarray(MIB, 2 * MIB)));

  // It stops in order while the store is away, and takes up later where it was.
  await fake.down();
  await disk.write(5 * MIB, bytes.subarray(5 * MIB, 6 * MIB));
  await lightsail('create-disk-snapshot', '--disk-name', 'disk', '--disk-snapshot-name', 'three');
  const cold = assert.rejects(one.read(30 * MIB, MIB));
  for (const client of [disk, copy, two]) await client.close();
  const stopMs = systemClock.monotonicMs();
  assert.equal(await server.stop(), 0);
  assert(systemClock.monotonicMs() - stopMs < 15_000, 'it does not wait for the store');
  await cold;
  await fake.up();
  {
    await using again = await RunningServer.start({
      data: server.dataDirectory,
      args,
      environment: fake.environment(),
    });
    for (;;) {
      const shown = ['lightsail', 'get-disk-snapshot', '--disk-snapshot-name', 'three'];
      const { diskSnapshot } = await again.awsJson<SnapshotReply>(shown);
      if (diskSnapshot.state === 'completed') break;
      assert.equal(diskSnapshot.state, 'pending');
      await systemClock.sleep(50);
    }
    assert.equal(await again.stop(), 0);
  }
  const cli = join(import.meta.dirname, '..', '..', 'src', 'cli.ts');
  const key = join(server.dataDirectory, 'master.key');
  const listed = await runOk(process.execPath, [cli, 'rescue', 'list', '--json', ...args, '--key', key], {
    env: { ...(process.env as Record<string, string>), ...fake.environment() },
  });
  assert.equal((JSON.parse(listed.stdout) as readonly unknown[]).length, 3);

  // Everything but the bucket's objects is in the data directory: another store with its index is refused.
  const elsewhere = ['--store', `s3://${bucket}/another`, ...args.slice(2)];
  const data = server.dataDirectory;
  await assert.rejects(
    RunningServer.start({ data, args: elsewhere, environment: fake.environment() }),
    /the object store is empty, but the index knows packs/,
  );
});
