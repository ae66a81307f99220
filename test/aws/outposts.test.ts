import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { requireTools } from '../clients.ts';
import { run, runOk } from '../run.ts';
import { RunningServer } from '../running-server.ts';
import { rawCall } from './raw-call.ts';

interface Snapshot {
  readonly SnapshotId: string;
  readonly OutpostArn?: string;
  readonly Encrypted: boolean;
}

const ZONE = ['--availability-zone', 'us-east-1a'] as const;

/** Objects of a store: the snapshots in it, and how many packs. */
async function contentOf(store: string): Promise<{ readonly snapshots: readonly string[]; readonly packs: number }> {
  const below = async (name: string): Promise<readonly string[]> => {
    if (!existsSync(join(store, name))) return [];
    const entries = await readdir(join(store, name), { recursive: true, withFileTypes: true });
    return entries.filter((entry) => entry.isFile()).map((entry) => entry.name);
  };
  return { snapshots: (await below('snapshots')).toSorted(), packs: (await below('packs')).length };
}

/** Where a snapshot is shown to be, once it is completed; null: in the region. The `aws` takes seconds for each look. */
async function placeOf(server: RunningServer, id: string): Promise<string | null> {
  for (;;) {
    const body = `SnapshotId.1=${id}`;
    const { status, text } = await rawCall(server, { service: 'ec2', operation: 'DescribeSnapshots', body });
    assert.equal(status, 200, text);
    if (text.includes('<status>completed</status>')) return /<outpostArn>([^<]+)</.exec(text)?.[1] ?? null;
    assert.match(text, /<status>pending</);
    await systemClock.sleep(50);
  }
}

async function refused(server: RunningServer, operation: string, body: string, code: string): Promise<void> {
  const { status, text } = await rawCall(server, { service: 'ec2', operation, body });
  assert.equal(status, 400, text);
  assert.match(text, new RegExp(`<Code>${code}</Code>`));
}

test('D2 D3: a volume on an Outpost; its snapshots are in the store that was asked for, and nowhere else', async (t) => {
  if (!requireTools(t, ['aws', 'qemu-io'])) return;
  const root = scratchDirectory('outpost');
  const [data, site] = [join(root, 'data'), join(root, 'plant-7')];
  const file = [{ name: 'plant-7', region: 'us-east-1', zone: 'us-east-1a', store: site }];
  const args = ['--outposts', JSON.stringify(file)];
  const region = join(data, 'objects');
  let local: string;
  let restored: string;
  {
    await using server = await RunningServer.start({ data, args });
    const [id] = await readdir(join(data, 'outposts'));
    const arn = `arn:aws:outposts:us-east-1:${server.credentials.accountId}:outpost/${id}`;
    const create = async (...more: readonly string[]): Promise<string> =>
      (await server.awsJson<{ readonly VolumeId: string }>(['ec2', 'create-volume', ...ZONE, ...more])).VolumeId;
    const snapshot = async (volume: string, ...more: readonly string[]): Promise<Snapshot> =>
      await server.awsJson<Snapshot>(['ec2', 'create-snapshot', '--volume-id', volume, ...more]);
    const volume = await create('--size', '1', '--outpost-arn', arn);
    const shown = ['ec2', 'describe-volumes', '--filters', `Name=outpost-arn,Values=${arn}`];
    const { Volumes } = await server.awsJson<{ readonly Volumes: readonly object[] }>(shown);
    assert.equal(Volumes.length, 1);
    await runOk('qemu-io', ['-f', 'raw', '-c', 'write -P 7 5M 1M', '-c', 'flush', await server.uri(volume)]);

    // D2, and what it refuses.
    const made = await snapshot(volume, '--outpost-arn', arn);
    local = made.SnapshotId;
    assert.deepEqual([made.OutpostArn, made.Encrypted], [arn, true]);
    assert.equal(await placeOf(server, local), arn);
    assert.deepEqual((await contentOf(site)).snapshots, [local]);
    assert.ok((await contentOf(site)).packs > 0);
    assert.deepEqual(await contentOf(region), { snapshots: [], packs: 0 });
    const inRegion = await create('--size', '1');
    const onOutpost = ['create-snapshot', '--volume-id', inRegion, '--outpost-arn', arn];
    assert.match((await server.aws(['ec2', ...onOutpost])).stderr, /\(InvalidParameterValue\).*is not on an Outpost/);
    const place = encodeURIComponent(arn.replace(/.{17}$/, '0123456789abcdef0'));
    await refused(server, 'CreateSnapshot', `VolumeId=${volume}&OutpostArn=${place}`, 'InvalidParameterValue');
    const there = 'AvailabilityZone=us-east-1a';
    await refused(server, 'CreateVolume', `${there}&SnapshotId=${local}`, 'InvalidParameterValue');
    const again = `SourceRegion=us-east-1&SourceSnapshotId=${local}`;
    await refused(server, 'CopySnapshot', again, 'UnsupportedOperation');

    // D3, and back by a copy.
    const regional = await snapshot(volume);
    assert.equal(await placeOf(server, regional.SnapshotId), null);
    assert.deepEqual((await contentOf(region)).snapshots, [regional.SnapshotId]);
    assert.ok((await contentOf(region)).packs > 0);
    const from = ['--source-region', 'us-east-1', '--source-snapshot-id'];
    const copied = await server.awsJson<Snapshot>([
      ...['ec2', 'copy-snapshot', ...from, regional.SnapshotId, '--destination-outpost-arn', arn],
    ]);
    assert.equal(await placeOf(server, copied.SnapshotId), arn);
    assert.deepEqual((await contentOf(site)).snapshots, [local, copied.SnapshotId].toSorted());

    restored = await create('--snapshot-id', local, '--outpost-arn', arn);
    const body = `SnapshotId=${copied.SnapshotId}`;
    assert.equal((await rawCall(server, { service: 'ec2', operation: 'DeleteSnapshot', body })).status, 200);
    for (;;) {
      const { snapshots } = await contentOf(site);
      if (snapshots.length === 1) break;
      await systemClock.sleep(50);
    }
  }
  // Without the Outpost, what is on it would seem to be gone.
  await assert.rejects(RunningServer.start({ data }), /the Outpost plant-7 .*--outposts/);

  await using server = await RunningServer.start({ data, args });
  for (const name of [restored, local]) {
    const read = await run('qemu-io', ['-r', '-f', 'raw', '-c', 'read -P 7 5M 1M', await server.uri(name)]);
    assert.equal(read.code, 0, read.stdout + read.stderr);
    assert.doesNotMatch(read.stdout, /verification failed/);
  }
  const listed = (await server.varve(['snapshots', '--all'])).stdout;
  assert.match(listed, new RegExp(`^${local} .* us-east-1 +op-[0-9a-f]{17} `, 'm'));
  const verified = await server.varve(['verify', ...args]);
  assert.equal(verified.code, 0, verified.stdout + verified.stderr);
  assert.match(verified.stdout, /Outpost plant-7/);
  assert.equal(verified.stdout.match(/snapshots 1, /g)?.length, 2, verified.stdout);
  const one = await server.varve(['verify', local, ...args]);
  assert.equal(one.code, 0, one.stderr);
  assert.match((await server.varve(['verify'])).stderr, /--outposts does not name it/);
  const bare = ['rescue', 'list', '--store', site, '--key', join(data, 'master.key')];
  const rescued = await run(process.execPath, [join(import.meta.dirname, '..', '..', 'src', 'cli.ts'), ...bare]);
  assert.match(rescued.stdout, new RegExp(local), rescued.stderr);
  // What is damaged there is told, and where.
  const packs = await readdir(join(site, 'packs'), { recursive: true, withFileTypes: true });
  for (const pack of packs.filter((entry) => entry.isFile())) await rm(join(pack.parentPath, pack.name));
  const damaged = await server.varve(['verify', ...args, '--json']);
  assert.equal(damaged.code, 1, damaged.stdout);
  type Report = { readonly clean: boolean; readonly damages: readonly unknown[] };
  const report = JSON.parse(damaged.stdout) as Report & { readonly outposts: readonly (Report & { name: string })[] };
  assert.deepEqual(
    [report.clean, ...report.outposts.map(({ name, clean }) => `${name}: ${clean}`)],
    [true, 'plant-7: false'],
  );
  assert.match(JSON.stringify(report.outposts), new RegExp(local));
});
