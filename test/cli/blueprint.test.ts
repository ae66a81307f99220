import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';

import { scratchDirectory } from '#base/scratch-directory.fixture.ts';

import { requireTools } from '../clients.ts';
import { runOk, type RunResult } from '../run.ts';
import { RunningServer } from '../running-server.ts';

const MIB = 1024 * 1024;
const scratch = scratchDirectory('blueprint-cli');

interface Listed {
  readonly id: string;
  readonly name: string;
  readonly group: string;
  readonly snapshot: string;
  readonly diskGibMin: number;
  readonly minimumPower: number;
  readonly userName: string;
}

async function listed(server: RunningServer): Promise<readonly Listed[]> {
  const { code, stdout, stderr } = await server.varve(['blueprint', 'list', '--json']);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as readonly Listed[];
}

function assertRefused(result: RunResult, message: RegExp, code = 1): void {
  assert.equal(result.code, code, result.stdout);
  assert.match(result.stderr, message);
}

test('images of every kind become blueprints, which are public snapshots until they are removed', async (t) => {
  if (!requireTools(t, ['aws', 'qemu-img', 'tar'])) return;
  await using server = await RunningServer.start();
  const raw = join(scratch, 'disk.raw');
  const content = Buffer.alloc(3 * MIB);
  content.write('a system disk', MIB);
  await writeFile(raw, content);
  const qcow2 = join(scratch, 'disk.qcow2');
  await runOk('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, qcow2]);
  await runOk('tar', ['-czf', join(scratch, 'disk.tar.gz'), '-C', scratch, 'disk.raw']);
  await runOk('tar', ['-cf', join(scratch, 'two.tar'), '-C', scratch, 'disk.raw', 'disk.qcow2']);
  await runOk('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', raw, '-F', 'raw', join(scratch, 'backed.qcow2')]);
  const files = createServer((request, response) => {
    if (request.url !== '/images/disk.qcow2?v=1') response.writeHead(404).end();
    else void readFile(qcow2).then((bytes) => response.end(bytes));
  });
  await new Promise<void>((resolve) => void files.listen(0, '127.0.0.1', resolve));
  t.after(() => files.close());
  const address = files.address();
  assert.ok(typeof address === 'object' && address !== null);
  const url = `http://127.0.0.1:${address.port}/images/disk.qcow2?v=1`;

  assert.match((await server.varve(['blueprint', 'list'])).stdout, /no blueprints/);
  const import_ = (source: string, ...more: readonly string[]): Promise<RunResult> =>
    server.varve(['blueprint', 'import', source, ...more]);
  const sources: readonly (readonly [string, string, ...string[]])[] = [
    [raw, 'Own Linux 7', '--user', 'me', '--minimum-power', '300', '--group', 'own'],
    [join(scratch, 'disk.tar.gz'), 'From an archive', '--size-in-gb', '2'],
    [url, 'From a URL', '--id', 'fetched'],
  ];
  for (const [source, name, ...more] of sources) {
    const made = await import_(source, '--name', name, ...more);
    assert.equal(made.code, 0, made.stderr);
    assert.match(made.stdout, /blueprint of snap-/);
  }
  const blueprints = await listed(server);
  assert.deepEqual(
    blueprints.map(({ id, name, diskGibMin }) => `${id}, ${name}, ${diskGibMin}`),
    ['own_linux_7, Own Linux 7, 1', 'from_an_archive, From an archive, 2', 'fetched, From a URL, 1'],
  );
  const [own] = blueprints;
  assert.ok(own !== undefined);
  assert.deepEqual([own.userName, own.minimumPower, own.group], ['me', 300, 'own']);
  for (const { snapshot } of blueprints) {
    // What a disk has more than the image is zeros.
    await runOk('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', raw, await server.uri(snapshot)]);
    const shared = await server.awsJson<{ readonly CreateVolumePermissions: readonly { readonly Group?: string }[] }>([
      ...['ec2', 'describe-snapshot-attribute', '--attribute', 'createVolumePermission', '--snapshot-id', snapshot],
    ]);
    assert.deepEqual(shared.CreateVolumePermissions, [{ Group: 'all' }]);
  }
  const volumes = await server.awsJson<{ readonly Volumes: readonly unknown[] }>(['ec2', 'describe-volumes']);
  assert.deepEqual(volumes.Volumes, [], 'the disks that the snapshots were taken of are gone');

  // Refused before anything is made.
  assertRefused(await import_(raw, '--name', 'Own Linux 7'), /there is a blueprint "own_linux_7" already/);
  assertRefused(await import_(join(scratch, 'backed.qcow2'), '--name', 'x1'), /has a backing file/);
  assertRefused(await import_(join(scratch, 'two.tar'), '--name', 'x1'), /several images/);
  assertRefused(await import_(join(scratch, 'none.raw'), '--name', 'x1'), /there is no file/);
  assertRefused(await import_(`${url}2`, '--name', 'x1'), /404/);
  assertRefused(await import_(raw, '--name', '...'), /give one with --id/);
  assertRefused(await import_(raw, '--name', 'x1', '--user', 'A B'), /no name of a user/);
  assertRefused(await import_(raw), /what shall the blueprint be called/, 2);
  assertRefused(await server.varve(['blueprint', 'build', 'windows']), /tiny and debian can be built/, 2);
  assertRefused(await server.varve(['blueprint', 'remove', 'x1']), /there is no blueprint "x1"/);

  const replaced = await import_(qcow2, '--name', 'Own Linux 7', '--replace');
  assert.equal(replaced.code, 0, replaced.stderr);
  const removed = await server.varve(['blueprint', 'remove', 'fetched']);
  assert.match(removed.stdout, /^fetched: removed, with its snapshot snap-/);
  const left = await listed(server);
  assert.deepEqual(left.map(({ id }) => id).toSorted(), ['from_an_archive', 'own_linux_7']);
  const { Snapshots } = await server.awsJson<{ readonly Snapshots: readonly { readonly SnapshotId: string }[] }>([
    ...['ec2', 'describe-snapshots', '--owner-ids', 'self'],
  ]);
  assert.deepEqual(
    Snapshots.map(({ SnapshotId }) => SnapshotId).toSorted(),
    left.map(({ snapshot }) => snapshot).toSorted(),
  );
});
