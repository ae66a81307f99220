import assert from 'node:assert/strict';
import { open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '#base/clock.ts';
import type { VerifyReport } from '#snapshot/verify-report.ts';
import { requireTools } from '../clients.ts';
import { runOk } from '../run.ts';
import { RunningServer } from '../running-server.ts';

type JsonReport = VerifyReport & { readonly clean: boolean; readonly snapshot: string | null };

/** A disk with 3 MiB of content at 1 GiB, and its snapshot's id. */
async function snapshotOfDisk(server: RunningServer): Promise<string> {
  const zone = ['--availability-zone', 'us-east-1a', '--size-in-gb', '8'];
  await server.awsJson(['lightsail', 'create-disk', '--disk-name', 'disk-1', ...zone]);
  await runOk('qemu-io', ['-f', 'raw', '-c', 'write -P 5 1G 3M', '-c', 'flush', await server.uri('disk-1')]);
  const words = ['--disk-name', 'disk-1', '--disk-snapshot-name', 'shot-1'];
  await server.awsJson(['lightsail', 'create-disk-snapshot', ...words]);
  for (;;) {
    type Reply = { readonly diskSnapshot: { readonly state: string; readonly supportCode: string } };
    const { diskSnapshot } = await server.awsJson<Reply>([
      ...['lightsail', 'get-disk-snapshot', '--disk-snapshot-name', 'shot-1'],
    ]);
    if (diskSnapshot.state === 'completed') return diskSnapshot.supportCode.split('/')[1] ?? '';
    await systemClock.sleep(20);
  }
}

async function flipByte(path: string, offset: number): Promise<void> {
  const file = await open(path, 'r+');
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, offset);
  byte.writeUInt8(byte.readUInt8(0) ^ 0x10, 0);
  await file.write(byte, 0, 1, offset);
  await file.close();
}

async function filesBelow(path: string): Promise<string[]> {
  const names = await readdir(path, { recursive: true, withFileTypes: true });
  return names.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

test('a whole store is verified beside its server and without it; a damaged one tells what is affected', async (t) => {
  if (!requireTools(t, ['aws', 'qemu-io'])) return;
  await using server = await RunningServer.start();
  const snapshot = await snapshotOfDisk(server);

  const beside = await server.varve(['verify']);
  assert.equal(beside.code, 0, beside.stderr);
  assert.match(beside.stdout, /snapshots 1, packs \d+, chunks 1, /);
  assert.match(beside.stdout, /read in \d/);
  assert.match(beside.stdout, /all is whole/);
  const one = await server.varve(['verify', snapshot, '--json']);
  assert.equal(one.code, 0, one.stderr);
  const clean = JSON.parse(one.stdout) as JsonReport;
  assert.equal(clean.snapshot, snapshot);
  assert.equal(clean.clean, true);
  // Six equal chunks are stored once.
  assert.equal(clean.counts.chunks, 1);

  assert.equal(await server.stop(), 0);
  const [pack] = await filesBelow(join(server.dataDirectory, 'objects', 'packs'));
  assert.ok(pack !== undefined);
  await flipByte(pack, 64 + 60);
  const damaged = await server.varve(['verify', '--json']);
  assert.equal(damaged.code, 1);
  assert.match(damaged.stderr, /damage found/);
  const report = JSON.parse(damaged.stdout) as JsonReport;
  assert.equal(report.damageCount, 1);
  const [damage] = report.damages;
  assert.equal(damage?.what, 'record');
  assert.ok(pack.endsWith(damage.object));
  assert.deepEqual(damage.affects, [
    {
      kind: 'snapshot',
      id: snapshot,
      ranges: [{ offset: 1024 ** 3, length: 3 * 1024 ** 2 }],
      rangeCount: 1,
      bytes: 3 * 1024 ** 2,
    },
  ]);
  const words = await server.varve(['verify', snapshot]);
  assert.equal(words.code, 1);
  assert.ok(words.stdout.includes(`affects ${snapshot}: 3 MiB, bytes 1073741824 to 1076887551`), words.stdout);

  await flipByte(pack, 64 + 60);
  await flipByte(pack, (await stat(pack)).size - 1);
  const trailer = await server.varve(['verify']);
  assert.equal(trailer.code, 1);
  assert.match(trailer.stdout, /the pack’s trailer is damaged; 3 records in it are whole/);
});

test('verify changes nothing, and refuses what it cannot verify', async () => {
  await using server = await RunningServer.start();
  assert.equal(await server.stop(), 0);
  const before = await filesBelow(server.dataDirectory);
  assert.equal((await server.varve(['verify'])).code, 0);
  assert.deepEqual(await filesBelow(server.dataDirectory), before);
  for (const words of [['nonsense'], ['snap-0123456789abcdef0', 'two'], ['--what']]) {
    assert.equal((await server.varve(['verify', ...words])).code, 2, words.join(' '));
  }
  const absent = await server.varve(['verify', 'snap-0123456789abcdef0']);
  assert.equal(absent.code, 1);
  assert.match(absent.stderr, /there is no snapshot snap-0123456789abcdef0/);
});

test('a snapshot of which nothing is left in the store is told, as the metadata knows it, with the server and without', async (t) => {
  if (!requireTools(t, ['aws', 'qemu-io'])) return;
  await using server = await RunningServer.start();
  const snapshot = await snapshotOfDisk(server);
  await rm(join(server.dataDirectory, 'objects', 'snapshots', snapshot));
  const assertTold = async (): Promise<void> => {
    const told = await server.varve(['verify']);
    assert.equal(told.code, 1, told.stdout + told.stderr);
    assert.match(told.stdout, new RegExp(`is gone: ${snapshot} is known as completed`));
    assert.match(told.stdout, new RegExp(`affects ${snapshot}: 8 GiB`));
    const one = await server.varve(['verify', snapshot]);
    assert.equal(one.code, 1);
    assert.match(one.stderr, /is known as completed, and the store has no such snapshot/);
  };
  await assertTold();
  assert.equal(await server.stop(), 0);
  await assertTold();
});
