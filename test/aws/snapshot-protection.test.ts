import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { requireTool } from '../clients.ts';
import { RunningServer } from '../running-server.ts';

/** Locks and the recycle bin, with the real `aws`: what keeps a snapshot from being lost by a deletion. */

let server: RunningServer;

before(async () => {
  server = await RunningServer.start();
});

after(async () => {
  await server[Symbol.asyncDispose]();
});

async function ec2<T>(...words: readonly string[]): Promise<T> {
  return await server.awsJson<T>(['ec2', ...words]);
}

async function refused(...words: readonly string[]): Promise<string> {
  const result = await server.aws(['ec2', ...words]);
  assert.notEqual(result.code, 0, `refused: ${words.join(' ')}`);
  return /\((.+?)\)/.exec(result.stderr)?.[1] ?? result.stderr;
}

interface Snapshots {
  readonly Snapshots: readonly { readonly SnapshotId: string; readonly State: string }[];
}

async function stateOf(id: string): Promise<string> {
  return (await ec2<Snapshots>('describe-snapshots', '--snapshot-ids', id)).Snapshots[0]?.State ?? '';
}

async function completedSnapshot(): Promise<{ readonly volume: string; readonly snapshot: string }> {
  const made = await ec2<{ readonly VolumeId: string }>(
    'create-volume',
    '--availability-zone',
    'us-east-1a',
    '--size',
    '1',
  );
  const { SnapshotId } = await ec2<{ readonly SnapshotId: string }>(
    'create-snapshot',
    '--volume-id',
    made.VolumeId,
    '--description',
    'precious',
  );
  for (let tries = 0; tries < 100 && (await stateOf(SnapshotId)) !== 'completed'; tries += 1) {
    await systemClock.sleep(100);
  }
  return { volume: made.VolumeId, snapshot: SnapshotId };
}

test('a locked snapshot is not deleted; compliance can be ended while it cools off only', async (t) => {
  if (!requireTool(t, 'aws')) return;
  const { snapshot } = await completedSnapshot();
  const lock = ['lock-snapshot', '--snapshot-id', snapshot, '--lock-mode'];
  assert.equal(await refused(...lock, 'governance'), 'MissingParameter');
  assert.equal(
    await refused(...lock, 'governance', '--lock-duration', '1', '--expiration-date', '2099-01-01T00:00:00Z'),
    'InvalidParameterCombination',
  );
  assert.equal(await refused(...lock, 'governance', '--lock-duration', '40000'), 'InvalidParameterValue');
  assert.equal(await refused(...lock, 'forever', '--lock-duration', '1'), 'InvalidParameterValue');
  const locked = await ec2<Record<string, unknown>>(...lock, 'governance', '--lock-duration', '1');
  assert.deepEqual([locked['LockState'], locked['LockDuration']], ['governance', 1]);
  assert.equal(await refused('delete-snapshot', '--snapshot-id', snapshot), 'OperationNotPermitted');
  const cooling = await ec2<Record<string, unknown>>(
    ...lock,
    'compliance',
    '--lock-duration',
    '2',
    '--cool-off-period',
    '1',
  );
  assert.equal(cooling['LockState'], 'compliance-cooloff');
  const list = await ec2<{ readonly Snapshots: readonly { readonly LockState: string }[] }>(
    'describe-locked-snapshots',
    '--filters',
    'Name=lock-state,Values=compliance-cooloff',
  );
  assert.equal(list.Snapshots.length, 1);
  await ec2('unlock-snapshot', '--snapshot-id', snapshot);
  assert.equal(await refused('unlock-snapshot', '--snapshot-id', snapshot), 'IncorrectState');
  const result = await server.aws(['ec2', 'delete-snapshot', '--snapshot-id', snapshot]);
  assert.equal(result.code, 0, result.stderr);
});

test('D11: what a rule keeps goes to the bin, and comes back', async (t) => {
  if (!requireTool(t, 'aws')) return;
  for (const type of ['EBS_SNAPSHOT', 'EBS_VOLUME']) {
    const period = 'RetentionPeriodValue=1,RetentionPeriodUnit=DAYS';
    await server.awsJson(['rbin', 'create-rule', '--resource-type', type, '--retention-period', period]);
  }
  const { volume, snapshot } = await completedSnapshot();
  for (const words of [
    ['delete-snapshot', '--snapshot-id', snapshot],
    ['delete-volume', '--volume-id', volume],
  ]) {
    const result = await server.aws(['ec2', ...words]);
    assert.equal(result.code, 0, result.stderr);
  }
  assert.equal(await refused('describe-snapshots', '--snapshot-ids', snapshot), 'InvalidSnapshot.NotFound');
  assert.equal(
    await refused('create-volume', '--availability-zone', 'us-east-1a', '--snapshot-id', snapshot),
    'InvalidSnapshot.NotFound',
  );
  const bin = await ec2<{
    readonly Snapshots: readonly {
      readonly SnapshotId: string;
      readonly Description: string;
      readonly VolumeId: string;
    }[];
  }>('list-snapshots-in-recycle-bin');
  assert.deepEqual(
    bin.Snapshots.map(({ SnapshotId, Description, VolumeId }) => [SnapshotId, Description, VolumeId]),
    [[snapshot, 'precious', volume]],
  );
  const volumes = await ec2<{ readonly Volumes: readonly { readonly VolumeId: string }[] }>(
    'list-volumes-in-recycle-bin',
  );
  assert.deepEqual(
    volumes.Volumes.map(({ VolumeId }) => VolumeId),
    [volume],
  );

  const restored = await ec2<{ readonly State: string }>(
    'restore-snapshot-from-recycle-bin',
    '--snapshot-id',
    snapshot,
  );
  assert.equal(restored.State, 'recovering');
  for (let tries = 0; tries < 100 && (await stateOf(snapshot)) !== 'completed'; tries += 1) await systemClock.sleep(50);
  assert.equal(await stateOf(snapshot), 'completed');
  await ec2('restore-volume-from-recycle-bin', '--volume-id', volume);
  const { Volumes } = await ec2<{ readonly Volumes: readonly { readonly State: string }[] }>(
    'describe-volumes',
    '--volume-ids',
    volume,
  );
  assert.equal(Volumes[0]?.State, 'available');
  assert.equal(
    await refused('restore-snapshot-from-recycle-bin', '--snapshot-id', snapshot),
    'InvalidSnapshot.NotFound',
  );
});

test('D15: an archived snapshot must be restored before it is used, and comes back with its data', async (t) => {
  if (!requireTool(t, 'aws')) return;
  const { snapshot } = await completedSnapshot();
  interface Statuses {
    readonly SnapshotTierStatuses: readonly {
      readonly StorageTier: string;
      readonly LastTieringOperationStatus?: string;
    }[];
  }
  const until = async (operation: string): Promise<void> => {
    for (let tries = 0; tries < 100; tries += 1) {
      const words = ['describe-snapshot-tier-status', '--filters', `Name=snapshot-id,Values=${snapshot}`];
      const [status] = (await ec2<Statuses>(...words)).SnapshotTierStatuses;
      if (status?.LastTieringOperationStatus === operation) return;
      await systemClock.sleep(100);
    }
    throw new Error(`the snapshot never came to ${operation}`);
  };
  const volume = ['create-volume', '--availability-zone', 'us-east-1a', '--snapshot-id', snapshot];
  assert.equal(
    await refused('restore-snapshot-tier', '--snapshot-id', snapshot, '--permanent-restore'),
    'IncorrectState',
  );
  await ec2('modify-snapshot-tier', '--snapshot-id', snapshot, '--storage-tier', 'archive');
  await until('archival-completed');
  const described = await ec2<{
    readonly Snapshots: readonly { readonly StorageTier: string; readonly State: string }[];
  }>('describe-snapshots', '--filters', 'Name=storage-tier,Values=archive', '--owner-ids', 'self');
  assert.deepEqual(
    described.Snapshots.map(({ StorageTier, State }) => [StorageTier, State]),
    [['archive', 'completed']],
  );
  assert.equal(await refused(...volume), 'IncorrectState');
  assert.equal(await refused('restore-snapshot-tier', '--snapshot-id', snapshot), 'MissingParameter');
  assert.equal(
    await refused(
      'restore-snapshot-tier',
      '--snapshot-id',
      snapshot,
      '--permanent-restore',
      '--temporary-restore-days',
      '1',
    ),
    'InvalidParameterCombination',
  );
  assert.equal(
    await refused('restore-snapshot-tier', '--snapshot-id', snapshot, '--temporary-restore-days', '181'),
    'InvalidParameterValue',
  );
  await ec2('restore-snapshot-tier', '--snapshot-id', snapshot, '--temporary-restore-days', '3');
  await until('temporary-restore-completed');
  const [shown] = (
    await ec2<{ readonly Snapshots: readonly Record<string, unknown>[] }>(
      'describe-snapshots',
      '--snapshot-ids',
      snapshot,
    )
  ).Snapshots;
  assert.equal(shown?.['StorageTier'], 'standard');
  assert.match(String(shown?.['RestoreExpiryTime']), /^20/);
  assert.match((await ec2<{ readonly VolumeId: string }>(...volume)).VolumeId, /^vol-/);
});
