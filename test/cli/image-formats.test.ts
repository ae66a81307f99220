import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { requireTools } from '../clients.ts';
import { run, runOk, type RunResult } from '../run.ts';
import { RunningServer } from '../running-server.ts';

const CLI = join(import.meta.dirname, '..', '..', 'src', 'cli.ts');

async function scratchOf(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'varve-formats-'));
  t.after(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** What qemu-img finds by looking, and how large the disk is. */
async function probe(path: string): Promise<readonly [string, number]> {
  const info = JSON.parse((await runOk('qemu-img', ['info', '--output=json', path])).stdout) as {
    readonly format: string;
    readonly 'virtual-size': number;
  };
  return [info.format, info['virtual-size']];
}

test('an image is of the format that its name says, from a server and from a bare store alike', async (t) => {
  if (!requireTools(t, ['aws', 'qemu-io', 'qemu-img'])) return;
  const scratch = await scratchOf(t);
  await using server = await RunningServer.start();
  const made = await server.awsJson<{ readonly VolumeId: string }>([
    ...['ec2', 'create-volume', '--availability-zone', 'us-east-1a', '--size', '3'],
  ]);
  const uri = await server.uri(made.VolumeId);
  await runOk('qemu-io', ['-f', 'raw', '-c', 'write -P 9 1M 1M', '-c', 'write -P 8 3071M 1M', '-c', 'flush', uri]);
  const { SnapshotId: id } = await server.awsJson<{ readonly SnapshotId: string }>([
    ...['ec2', 'create-snapshot', '--volume-id', made.VolumeId],
  ]);
  while ((await server.varve(['connect', id])).code !== 0) await systemClock.sleep(50);

  const place = ['--store', join(server.dataDirectory, 'objects'), '--key', join(server.dataDirectory, 'master.key')];
  const rescue = (...words: readonly string[]) => run(process.execPath, [CLI, 'rescue', 'export', ...words, ...place]);
  const all = [
    ['img', 'raw'],
    ['qcow2', 'qcow2'],
    ['vmdk', 'vmdk'],
    ['vhd', 'vpc'],
    ['VHDX', 'vhdx'],
    ['vdi', 'vdi'],
  ] as const;
  type Write = (path: string, ...more: readonly string[]) => Promise<RunResult>;
  const fromServer: Write = (path, ...more) => server.varve(['export', id, path, ...more]);
  const fromStore: Write = (path, ...more) => rescue(id, path, ...more);
  const from = [
    { name: 'server', write: fromServer, formats: all },
    { name: 'store', write: fromStore, formats: all.filter(([, format]) => format === 'vmdk' || format === 'vpc') },
  ];
  for (const { name, write, formats } of from) {
    for (const [extension, format] of formats) {
      const path = join(scratch, `${name}.${extension}`);
      const result = await write(path);
      assert.equal(result.code, 0, `${path}: ${result.stderr}`);
      assert.equal(result.stderr, '');
      assert.deepEqual(await probe(path), [format, 3 * 1024 ** 3], path);
      const reads = ['-c', 'read -P 9 1M 1M', '-c', 'read -P 8 3071M 1M', '-c', 'read -P 0 2M 64M'];
      const read = await runOk('qemu-io', ['-f', format, '-r', ...reads, path]);
      assert.doesNotMatch(read.stdout, /verification failed/, path);
      await rm(path);
    }

    // A name that tells nothing: raw, and a sentence. --format decides in any case, and a stream is raw.
    const plain = join(scratch, `${name}.disk`);
    assert.match((await write(plain)).stderr, /is written as a raw image: its name tells no format/);
    assert.deepEqual(await probe(plain), ['raw', 3 * 1024 ** 3]);
    const odd = join(scratch, `${name}.qcow2`);
    assert.match((await write(odd, '--format', 'vpc')).stderr, /is written as vhd, as --format says/);
    assert.deepEqual(await probe(odd), ['vpc', 3 * 1024 ** 3]);
    await Promise.all([plain, odd].map((path) => rm(path)));
    for (const [words, expected] of [
      [['-', '--format', 'vdi'], /vdi cannot be written to a stream/],
      [[odd, '--format', 'zip'], /--format is one of raw, qcow2, vmdk, vhd, vpc, vhdx, vdi/],
      [[odd, '--format', 'raw', '--format', 'vdi'], /--format is given twice/],
    ] as const) {
      const [path, ...more] = words;
      const refused = await write(path, ...more);
      assert.equal(refused.code, 2);
      assert.match(refused.stderr, expected);
    }
  }
  assert.deepEqual(await readdir(scratch), [], 'nothing is left of what was refused');

  // What is only written is not read as the bytes of a disk.
  const vhd = join(scratch, 'in.vhd');
  await runOk('qemu-img', ['create', '-f', 'vpc', vhd, '8M']);
  const imported = await server.varve(['import', vhd, '--name', 'in']);
  assert.equal(imported.code, 1);
  assert.match(imported.stderr, /is a vhd image by its name, and raw, qcow2 and vmdk are read/);
});
