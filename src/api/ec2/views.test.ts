import assert from 'node:assert/strict';
import { test } from 'node:test';
import { present } from '#base/assert.ts';
import { parseAccountId, parseSnapshotId, parseVolumeId, regionName } from '#domain/ids.ts';
import { TEST_OUTPOSTS } from '#control/outposts.fake.ts';
import { NO_SNAPSHOT_DETAILS, type Snapshot } from '#domain/snapshot.ts';
import { NO_VOLUME_DETAILS, type Volume } from '#domain/volume.ts';
import { parseFilters } from './filters.ts';
import { createdSnapshotView, snapshotFilters, snapshotView } from './snapshot-views.ts';
import { createdVolumeView, volumeFilters, volumeView } from './volume-views.ts';

const scope = { account: present(parseAccountId('012345678910'), 'an account'), region: regionName('us-east-1') };
const volumeId = present(parseVolumeId('vol-1234567890abcdef0'), 'a volume');
const snapshotId = present(parseSnapshotId('snap-066877671789bd71b'), 'a snapshot');

const volume: Volume = {
  ...scope,
  id: volumeId,
  face: 'ec2',
  draft: false,
  name: null,
  zone: 'us-east-1a',
  sizeGib: 8,
  type: 'gp3',
  iops: 3000,
  throughputMibps: 125,
  multiAttach: false,
  state: 'available',
  createdAtMs: Date.UTC(2014, 1, 28, 21, 6, 1),
  origin: null,
  generation: 1,
  lineage: volumeId as string as Volume['lineage'],
  ...NO_VOLUME_DETAILS,
  tags: { Name: 'root', Env: 'prod' },
};

const [{ arn: outpost }] = TEST_OUTPOSTS;

const snapshot: Snapshot = {
  ...scope,
  id: snapshotId,
  face: 'ec2',
  name: null,
  volume: volumeId,
  volumeName: null,
  volumeSizeGib: 8,
  state: 'pending',
  stateMessage: null,
  progressPercent: 37,
  description: 'This is my root volume snapshot.',
  startedAtMs: Date.UTC(2014, 1, 28, 21, 6, 1),
  completedAtMs: null,
  cut: snapshotId as string as Snapshot['cut'],
  epoch: 1,
  parent: null,
  fullBytes: null,
  changedBytes: null,
  storedBytes: null,
  direct: false,
  sealed: true,
  released: false,
  timeoutMinutes: null,
  touchedAtMs: null,
  lineage: volume.lineage,
  ...NO_SNAPSHOT_DETAILS,
  tags: {},
};

test('CreateSnapshot answers what its reference page shows, and nothing that only DescribeSnapshots has', () => {
  assert.deepEqual(createdSnapshotView(snapshot), {
    Description: 'This is my root volume snapshot.',
    Encrypted: false,
    OwnerId: '012345678910',
    Progress: '',
    SnapshotId: 'snap-066877671789bd71b',
    StartTime: new Date('2014-02-28T21:06:01.000Z'),
    State: 'pending',
    Tags: [],
    VolumeId: 'vol-1234567890abcdef0',
    VolumeSize: 8,
  });
});

test('DescribeSnapshots shows progress while pending, and time and size once completed', () => {
  const pending = snapshotView(snapshot);
  assert.equal(pending.State, 'pending');
  assert.equal(pending.Progress, '37%');
  assert.equal(pending.StorageTier, 'standard');
  for (const absent of ['CompletionTime', 'FullSnapshotSizeInBytes', 'StateMessage', 'OwnerAlias', 'TransferType']) {
    assert.ok(!Object.hasOwn(pending, absent), `${absent} is absent`);
  }
  const completed = snapshotView({
    ...snapshot,
    state: 'completed',
    progressPercent: 100,
    completedAtMs: Date.UTC(2014, 1, 28, 21, 7),
    fullBytes: 1_048_576,
  });
  assert.equal(completed.State, 'completed');
  assert.equal(completed.Progress, '100%');
  assert.deepEqual(completed.CompletionTime, new Date('2014-02-28T21:07:00.000Z'));
  assert.equal(completed.FullSnapshotSizeInBytes, 1_048_576);
});

test('a failed snapshot says why, one that waits for what, and another nothing', () => {
  assert.equal(snapshotView({ ...snapshot, state: 'error', stateMessage: 'damaged' }).StateMessage, 'damaged');
  assert.equal(snapshotView({ ...snapshot, state: 'pending', stateMessage: 'no space' }).StateMessage, 'no space');
  assert.ok(!Object.hasOwn(snapshotView({ ...snapshot, stateMessage: null }), 'StateMessage'));
});

test('a snapshot that came from no volume shows the placeholder of AWS, in filters too', () => {
  const direct = { ...snapshot, direct: true };
  assert.equal(snapshotView(direct).VolumeId, 'vol-ffffffff');
  assert.ok(parseFilters([{ Name: 'volume-id', Values: ['vol-ffffffff'] }], snapshotFilters)(direct));
  assert.ok(!parseFilters([{ Name: 'volume-id', Values: [volumeId] }], snapshotFilters)(direct));
});

test('DescribeVolumes shows a volume, with its tags in the order of their keys', () => {
  assert.deepEqual(volumeView(volume), {
    Attachments: [],
    AvailabilityZone: 'us-east-1a',
    AvailabilityZoneId: 'use1-az1',
    CreateTime: new Date('2014-02-28T21:06:01.000Z'),
    Encrypted: false,
    Iops: 3000,
    MultiAttachEnabled: false,
    Size: 8,
    SnapshotId: '',
    State: 'available',
    Tags: [
      { Key: 'Env', Value: 'prod' },
      { Key: 'Name', Value: 'root' },
    ],
    Throughput: 125,
    VolumeId: 'vol-1234567890abcdef0',
    VolumeType: 'gp3',
  });
});

test('a volume without iops or throughput shows none, and CreateVolume shows no attachments', () => {
  const view = createdVolumeView({ ...volume, type: 'st1', iops: null, throughputMibps: null, origin: snapshotId });
  assert.ok(!Object.hasOwn(view, 'Iops') && !Object.hasOwn(view, 'Throughput') && !Object.hasOwn(view, 'Attachments'));
  assert.equal(view.SnapshotId, snapshotId);
});

test('every filter of DescribeVolumes takes what the view shows', () => {
  const copied: Volume = { ...volume, sourceVolume: volumeId, outpost };
  const fitting: Record<string, string> = {
    'availability-zone': 'us-east-1?',
    'availability-zone-id': 'use1-az1',
    'create-time': '2014-02-28T21:06:01.000Z',
    encrypted: 'false',
    'fast-restored': 'false',
    'multi-attach-enabled': 'false',
    'operator.managed': 'false',
    'outpost-arn': outpost,
    size: '8',
    'snapshot-id': '',
    'source-volume-id': volumeId,
    status: 'available',
    'tag:Name': 'root',
    'tag-key': 'Env',
    'volume-id': 'vol-*',
    'volume-type': 'gp3',
  };
  for (const [name, value] of Object.entries(fitting)) {
    assert.ok(parseFilters([{ Name: name, Values: [value] }], volumeFilters)(copied), name);
    assert.ok(!parseFilters([{ Name: name, Values: ['other'] }], volumeFilters)(copied), name);
  }
  const never = ['attach-time', 'delete-on-termination', 'device', 'instance-id', 'status'].map(
    (name) => `attachment.${name}`,
  );
  for (const name of [...never, 'operator.principal']) {
    assert.ok(!parseFilters([{ Name: name, Values: ['*'] }], volumeFilters)(volume), name);
  }
  assert.equal(Object.keys(fitting).length - 1 + never.length + 1, volumeFilters.named.size, 'no filter is left out');
});

test('every filter of DescribeSnapshots takes what the view shows', () => {
  const tagged = { ...snapshot, tags: { Name: 'daily' }, outpost };
  const fitting: Record<string, string> = {
    description: 'This is my * snapshot.',
    encrypted: 'false',
    'outpost-arn': outpost,
    'owner-id': '012345678910',
    progress: '37%',
    'snapshot-id': snapshotId,
    'start-time': '2014-02-28T*',
    status: 'pending',
    'storage-tier': 'standard',
    'tag:Name': 'daily',
    'tag-key': 'Name',
    'volume-id': volumeId,
    'volume-size': '8',
  };
  for (const [name, value] of Object.entries(fitting)) {
    assert.ok(parseFilters([{ Name: name, Values: [value] }], snapshotFilters)(tagged), name);
    assert.ok(!parseFilters([{ Name: name, Values: ['other'] }], snapshotFilters)(tagged), name);
  }
  const never = ['owner-alias', 'transfer-type'];
  for (const name of never) assert.ok(!parseFilters([{ Name: name, Values: ['*'] }], snapshotFilters)(tagged), name);
  assert.equal(Object.keys(fitting).length - 1 + never.length, snapshotFilters.named.size, 'no filter is left out');
});
