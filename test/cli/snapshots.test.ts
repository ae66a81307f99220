import assert from 'node:assert/strict';
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { requireTools } from '../clients.ts';
import { runOk } from '../run.ts';
import { RunningServer } from '../running-server.ts';

interface Listed {
  readonly snapshots: readonly {
    readonly id: string;
    readonly name: string | null;
    readonly state: string;
    readonly sizeBytes: number;
    readonly fullBytes: number;
    readonly newBytes: number;
    readonly exclusiveBytes: number;
    readonly sharedBytes: number;
  }[];
  readonly total: {
    readonly snapshotCount: number;
    readonly storedBytes: number;
    readonly neededBytes: number;
    readonly fullBytes: number;
    readonly ratio: number | null;
  };
}

const MIB = 1024 ** 2;

async function list(server: RunningServer): Promise<Listed> {
  const result = await server.varve(['snapshots', '--json']);
  assert.equal(result.code, 0, result.stderr);
  return JSON.parse(result.stdout) as Listed;
}

async function snapshot(server: RunningServer, name: string): Promise<void> {
  const words = ['lightsail', 'create-disk-snapshot', '--disk-name', 'disk-1', '--disk-snapshot-name', name];
  await server.awsJson(words);
  for (;;) {
    const found = (await list(server)).snapshots.find((one) => one.name === name);
    if (found?.state === 'completed') return;
    await systemClock.sleep(50);
  }
}

/** Bytes of the files below a directory. */
async function bytesBelow(path: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(path, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) bytes += (await stat(join(entry.parentPath, entry.name))).size;
  }
  return bytes;
}

test('varve snapshots tells exact sizes, before and after a snapshot is deleted and the server started anew', async (t) => {
  if (!requireTools(t, ['aws', 'fio', 'qemu-io'])) return;
  let server = await RunningServer.start();
  const { dataDirectory } = server;
  try {
    assert.deepEqual((await list(server)).snapshots, []);
    const zone = ['--availability-zone', 'us-east-1a', '--size-in-gb', '8'];
    await server.awsJson(['lightsail', 'create-disk', '--disk-name', 'disk-1', ...zone]);
    await runOk('fio', [
      ...['--name=fill', '--ioengine=nbd', `--uri=${await server.uri('disk-1')}`, '--rw=write', '--bs=1M'],
      ...['--size=8M', '--refill_buffers', '--end_fsync=1'],
    ]);
    await snapshot(server, 'first');
    await runOk('qemu-io', ['-f', 'raw', '-c', 'write -P 5 1M 1M', '-c', 'flush', await server.uri('disk-1')]);
    await snapshot(server, 'second');

    const both = await list(server);
    const [first, second] = both.snapshots;
    assert.ok(first !== undefined && second !== undefined);
    assert.equal(first.sizeBytes, 8 * 1024 * MIB);
    assert.deepEqual([first.fullBytes, second.fullBytes], [8 * MIB, 8 * MIB]);
    // The MiB that was overwritten does not compress; what it was overwritten with does.
    assert.ok(first.exclusiveBytes > 0.9 * MIB && first.exclusiveBytes < 1.1 * MIB, String(first.exclusiveBytes));
    assert.ok(second.exclusiveBytes < 0.1 * MIB, String(second.exclusiveBytes));
    assert.ok(first.sharedBytes > 6.9 * MIB, JSON.stringify(both));
    assert.equal(first.sharedBytes, second.sharedBytes);
    assert.ok(first.newBytes > 7.9 * MIB && second.newBytes < 0.1 * MIB);
    assert.equal(both.total.snapshotCount, 2);
    assert.equal(both.total.fullBytes, 16 * MIB);
    assert.equal(both.total.neededBytes, first.exclusiveBytes + second.exclusiveBytes + first.sharedBytes);
    const objects = join(dataDirectory, 'objects');
    const storedBytes = (await bytesBelow(join(objects, 'packs'))) + (await bytesBelow(join(objects, 'snapshots')));
    assert.equal(both.total.storedBytes, storedBytes);
    const words = await server.varve(['snapshots']);
    assert.match(words.stdout, /^SNAPSHOT +NAME +DISK +SIZE +FULL +NEW +EXCLUSIVE +SHARED +STATE$/m);
    assert.match(
      words.stdout,
      /^snap-[0-9a-f]{17} +first +disk-1 +8 GiB +8 MiB +8(\.\d)? MiB +1(\.\d)? MiB +7(\.\d)? MiB +completed$/m,
    );
    assert.match(words.stdout, /2 snapshots hold 16 MiB in 8(\.\d)? MiB of store, (1\.9\d|2\.0\d) times as much/);

    assert.equal(await server.stop(), 0);
    server = await RunningServer.start({ data: dataDirectory });
    assert.deepEqual(await list(server), both);
    await server.awsJson(['lightsail', 'delete-disk-snapshot', '--disk-snapshot-name', 'first']);
    const [left, ...none] = (await list(server)).snapshots;
    assert.deepEqual(none, []);
    assert.equal(left?.exclusiveBytes, second.exclusiveBytes + second.sharedBytes);
    assert.equal(left?.sharedBytes, 0);
  } finally {
    await server[Symbol.asyncDispose]();
    await rm(dataDirectory, { recursive: true, force: true });
  }
});

test('varve snapshots without a server says so, and a wrong command line is told', async () => {
  await using server = await RunningServer.start();
  assert.equal(await server.stop(), 0);
  const away = await server.varve(['snapshots']);
  assert.equal(away.code, 1);
  assert.match(away.stderr, /no server runs/);
  assert.equal((await server.varve(['snapshots', 'what'])).code, 2);
});
