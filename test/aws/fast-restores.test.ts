import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { requireTool } from '../clients.ts';
import { RunningServer } from '../running-server.ts';

/** Fast snapshot restores with the real `aws`. */

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

interface Item {
  readonly SnapshotId: string;
  readonly AvailabilityZone: string;
  readonly State: string;
  readonly StateTransitionReason: string;
  readonly OwnerId: string;
  readonly EnablingTime: string;
  readonly EnabledTime?: string;
  readonly DisabledTime?: string;
}

interface Outcome {
  readonly Successful: readonly Item[];
  readonly Unsuccessful: readonly {
    readonly SnapshotId: string;
    readonly FastSnapshotRestoreStateErrors: readonly { readonly Error: { readonly Code: string } }[];
  }[];
}

async function describe(...filters: readonly string[]): Promise<readonly Item[]> {
  const words = filters.length === 0 ? [] : ['--filters', ...filters];
  const { FastSnapshotRestores } = await ec2<{ readonly FastSnapshotRestores: readonly Item[] }>(
    'describe-fast-snapshot-restores',
    ...words,
  );
  return FastSnapshotRestores;
}

async function until(state: string, snapshot: string, zone: string): Promise<Item> {
  const deadline = performance.now() + 20_000;
  for (;;) {
    const [item] = await describe(`Name=snapshot-id,Values=${snapshot}`, `Name=availability-zone,Values=${zone}`);
    if (item?.State === state) return item;
    assert.ok(performance.now() < deadline, `${snapshot} in ${zone} is ${item?.State}: ${item?.StateTransitionReason}`);
    await sleep(100);
  }
}

async function makeSnapshot(): Promise<string> {
  const { VolumeId } = await ec2<{ readonly VolumeId: string }>(
    'create-volume',
    '--size',
    '1',
    '--availability-zone',
    'us-east-1a',
  );
  const { SnapshotId } = await ec2<{ readonly SnapshotId: string }>('create-snapshot', '--volume-id', VolumeId);
  const done = await server.aws(['ec2', 'wait', 'snapshot-completed', '--snapshot-ids', SnapshotId]);
  assert.equal(done.code, 0, done.stderr);
  return SnapshotId;
}

async function isFast(snapshot: string, zone: string): Promise<boolean> {
  const { FastRestored = false } = await ec2<{ readonly FastRestored?: boolean }>(
    'create-volume',
    '--snapshot-id',
    snapshot,
    '--availability-zone',
    zone,
  );
  return FastRestored;
}

test('a snapshot is enabled and disabled by zone, and its volumes say so', async (t) => {
  if (!requireTool(t, 'aws')) return;
  const snapshot = await makeSnapshot();
  const zones = ['--availability-zones', 'us-east-1a', 'us-east-1b'];
  const enabling = await ec2<Outcome>('enable-fast-snapshot-restores', '--source-snapshot-ids', snapshot, ...zones);
  assert.deepEqual(enabling.Unsuccessful, []);
  assert.deepEqual(
    enabling.Successful.map(({ AvailabilityZone, State }) => [AvailabilityZone, State]),
    [
      ['us-east-1a', 'enabling'],
      ['us-east-1b', 'enabling'],
    ],
  );
  const enabled = await until('enabled', snapshot, 'us-east-1a');
  assert.equal(enabled.StateTransitionReason, 'Client.UserInitiated - Lifecycle state transition');
  assert.match(enabled.OwnerId, /^\d{12}$/);
  assert.ok(Date.parse(enabled.EnabledTime ?? '') >= Date.parse(enabled.EnablingTime));
  await until('enabled', snapshot, 'us-east-1b');
  assert.deepEqual([await isFast(snapshot, 'us-east-1a'), await isFast(snapshot, 'us-east-1c')], [true, false]);
  const fast = await ec2<{ readonly Volumes: readonly unknown[] }>(
    'describe-volumes',
    '--filters',
    'Name=fast-restored,Values=true',
  );
  assert.equal(fast.Volumes.length, 1);

  assert.equal((await describe('Name=state,Values=enabled')).length, 2);
  assert.equal((await describe(`Name=owner-id,Values=${enabled.OwnerId}`)).length, 2);
  assert.equal((await describe('Name=owner-id,Values=000000000000')).length, 0);

  const one = ['--availability-zones', 'us-east-1a'];
  const disabling = await ec2<Outcome>('disable-fast-snapshot-restores', '--source-snapshot-ids', snapshot, ...one);
  assert.deepEqual(
    disabling.Successful.map(({ State }) => State),
    ['disabling'],
  );
  const disabled = await until('disabled', snapshot, 'us-east-1a');
  assert.ok(disabled.DisabledTime !== undefined);
  assert.equal(await isFast(snapshot, 'us-east-1a'), false);
  await ec2('describe-fast-snapshot-restores');
  const gone = await server.aws(['ec2', 'delete-snapshot', '--snapshot-id', snapshot]);
  assert.equal(gone.code, 0, gone.stderr);
  await until('disabled', snapshot, 'us-east-1b');
});

test('what cannot be enabled is said item by item, what is no request at once', async (t) => {
  if (!requireTool(t, 'aws')) return;
  const snapshots: string[] = [];
  for (let count = 0; count < 6; count += 1) snapshots.push(await makeSnapshot());
  const missing = 'snap-0123456789abcdef0';
  const words = ['enable-fast-snapshot-restores', '--availability-zones', 'us-east-1a', '--source-snapshot-ids'];
  const outcome = await ec2<Outcome>(...words, missing, ...snapshots);
  assert.equal(outcome.Successful.length, 5);
  assert.deepEqual(
    outcome.Unsuccessful.map(({ SnapshotId, FastSnapshotRestoreStateErrors: [first] }) => [
      SnapshotId,
      first?.Error.Code,
    ]),
    [
      [missing, 'InvalidSnapshot.NotFound'],
      [snapshots[5], 'ResourceLimitExceeded'],
    ],
  );
  for (const [id, zone, code] of [
    ['snap-1', 'us-east-1a', 'InvalidSnapshotID.Malformed'],
    [missing, 'eu-west-1a', 'InvalidZone.NotFound'],
  ] as const) {
    const refused = await server.aws([
      'ec2',
      'enable-fast-snapshot-restores',
      '--source-snapshot-ids',
      id,
      '--availability-zones',
      zone,
    ]);
    assert.match(refused.stderr, new RegExp(code));
  }
});
