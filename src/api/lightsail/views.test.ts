import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAccountId, parseSnapshotId, parseVolumeId, regionName } from '#domain/ids.ts';
import type { Operation } from '#domain/operation.ts';
import { REGIONS } from '#domain/region.ts';
import { NO_SNAPSHOT_DETAILS, type Snapshot } from '#domain/snapshot.ts';
import { NO_VOLUME_DETAILS, type Volume } from '#domain/volume.ts';
import { present } from '#base/assert.ts';
import type { DomainError } from '#domain/errors.ts';
import { loadModel } from '#wire/aws/model.ts';
import { AwsRefusal } from '#api/aws-error.ts';
import { diskIops, diskSnapshotView, diskView, operationView, regionView } from './views.ts';
import { mapFailure } from './errors.ts';
import { admitRegion } from './regions.ts';

const scope = { account: present(parseAccountId('012345678901'), 'an account'), region: regionName('us-west-2') };
const volumeId = present(parseVolumeId('vol-0123456789abcdef0'), 'a volume');
const snapshotId = present(parseSnapshotId('snap-0123456789abcdef0'), 'a snapshot');

const disk: Volume = {
  ...scope,
  id: volumeId,
  face: 'lightsail',
  draft: false,
  name: 'Disk-1',
  zone: 'us-west-2a',
  sizeGib: 8,
  type: 'gp2',
  iops: null,
  throughputMibps: null,
  multiAttach: false,
  state: 'available',
  createdAtMs: 1_569_625_129_739,
  origin: null,
  generation: 1,
  lineage: volumeId as string as Volume['lineage'],
  ...NO_VOLUME_DETAILS,
  tags: { project: 'x', only: '' },
};

const snapshot: Snapshot = {
  ...scope,
  id: snapshotId,
  face: 'lightsail',
  name: 'DiskSnapshot-1',
  volume: volumeId,
  volumeName: 'Disk-1',
  volumeSizeGib: 8,
  state: 'pending',
  stateMessage: null,
  progressPercent: 37,
  description: '',
  startedAtMs: 1_569_625_129_739,
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
  lineage: volumeId as string as Snapshot['lineage'],
  ...NO_SNAPSHOT_DETAILS,
  tags: {},
};

const operation: Operation = {
  ...scope,
  id: 'fa74c6d2-03a3-4f42-a7c7-792f124d534b',
  subject: snapshotId,
  resourceName: 'DiskSnapshot-1',
  resourceType: 'DiskSnapshot',
  type: 'CreateDiskSnapshot',
  zone: 'all',
  details: 'Disk-1',
  createdAtMs: 1_569_625_129_739,
  status: 'Started',
  statusChangedAtMs: 1_569_625_129_739,
  errorCode: null,
  errorDetails: null,
};

test('a disk is shown as Lightsail shows it', () => {
  const { arn, ...rest } = diskView(disk);
  assert.match(arn ?? '', /^arn:aws:lightsail:us-west-2:012345678901:Disk\/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  assert.deepEqual(rest, {
    name: 'Disk-1',
    supportCode: '012345678901/vol-0123456789abcdef0',
    createdAt: new Date(1_569_625_129_739),
    location: { availabilityZone: 'us-west-2a', regionName: 'us-west-2' },
    resourceType: 'Disk',
    tags: [{ key: 'project', value: 'x' }, { key: 'only' }],
    sizeInGb: 8,
    isSystemDisk: false,
    iops: 100,
    state: 'available',
    isAttached: false,
  });
});

test('the ARN of a resource never changes, and no two are alike', () => {
  assert.equal(diskView(disk).arn, diskView({ ...disk, name: 'Renamed', tags: {} }).arn);
  assert.notEqual(diskView(disk).arn, diskView({ ...disk, id: present(parseVolumeId('vol-12345678'), 'an id') }).arn);
});

test('operations a second grow with the disk between 100 and 16000', () => {
  assert.deepEqual([8, 33, 34, 1000, 16_384].map(diskIops), [100, 100, 102, 3000, 16_000]);
});

test('a disk snapshot is shown as Lightsail shows it, also when its disk is gone', () => {
  const { arn, ...rest } = diskSnapshotView(snapshot);
  assert.match(arn ?? '', /^arn:aws:lightsail:us-west-2:012345678901:DiskSnapshot\//);
  assert.deepEqual(rest, {
    name: 'DiskSnapshot-1',
    supportCode: '012345678901/snap-0123456789abcdef0',
    createdAt: new Date(1_569_625_129_739),
    location: { availabilityZone: 'all', regionName: 'us-west-2' },
    resourceType: 'DiskSnapshot',
    tags: [],
    sizeInGb: 8,
    state: 'pending',
    progress: '37%',
    fromDiskName: 'Disk-1',
    fromDiskArn: diskView(disk).arn,
    isFromAutoSnapshot: false,
  });
  assert.equal(diskSnapshotView({ ...snapshot, state: 'completed', progressPercent: 100 }).progress, '100%');
});

test('an operation is terminal once it has ended, and says why it failed', () => {
  assert.deepEqual(operationView(operation), {
    id: 'fa74c6d2-03a3-4f42-a7c7-792f124d534b',
    resourceName: 'DiskSnapshot-1',
    resourceType: 'DiskSnapshot',
    createdAt: new Date(1_569_625_129_739),
    location: { availabilityZone: 'all', regionName: 'us-west-2' },
    isTerminal: false,
    operationDetails: 'Disk-1',
    operationType: 'CreateDiskSnapshot',
    status: 'Started',
    statusChangedAt: new Date(1_569_625_129_739),
  });
  const failed = operationView({ ...operation, status: 'Failed', errorCode: 'NoSpace', errorDetails: 'full' });
  assert.deepEqual([failed.isTerminal, failed.errorCode, failed.errorDetails], [true, 'NoSpace', 'full']);
  assert.equal(operationView({ ...operation, status: 'Succeeded' }).isTerminal, true);
});

test('every region of Lightsail is one that its model can name', () => {
  const names = loadModel('lightsail').enums.get('RegionName');
  const shown = REGIONS.map((region) => regionView(region, { zones: false, databaseZones: false }));
  const ours = shown.filter((region) => region !== null).map((region) => region.name ?? '');
  assert.deepEqual(
    ours.filter((name) => names?.has(name) !== true),
    [],
  );
  assert.ok(ours.length >= 15);
});

test('zones are shown when they are asked for', () => {
  const region = present(
    REGIONS.find(({ name }) => name === 'us-west-2'),
    'the region is there',
  );
  assert.deepEqual(regionView(region, { zones: true, databaseZones: false })?.availabilityZones?.[0], {
    zoneName: 'us-west-2a',
    state: 'available',
  });
  assert.deepEqual(regionView(region, { zones: false, databaseZones: false })?.availabilityZones, []);
  assert.equal(
    regionView(region, { zones: false, databaseZones: true })?.relationalDatabaseAvailabilityZones?.length,
    4,
  );
});

test('a region without Lightsail is refused', () => {
  admitRegion({ scope });
  assert.throws(
    () => admitRegion({ scope: { ...scope, region: regionName('af-south-1') } }),
    (error: unknown) => error instanceof AwsRefusal && error.error.code === 'InvalidInputException',
  );
});

test('every refusal has an exception of the model, a message and its further members', () => {
  const errors = loadModel('lightsail').errors;
  const failures: readonly DomainError['failure'][] = [
    { kind: 'not-found', resource: 'volume', id: 'Disk-1' },
    { kind: 'name-taken', name: 'Disk-1' },
    { kind: 'invalid-value', field: 'name', reason: 'because' },
    { kind: 'zone-not-found', zone: 'US-EAST-2A' },
    { kind: 'wrong-state', resource: 'snapshot', id: 'x', state: 'pending' },
    { kind: 'in-use', resource: 'volume', id: 'x', by: 'an NBD client' },
    { kind: 'limit', limit: 'tags', max: 50 },
    { kind: 'page-token-invalid' },
    { kind: 'unsupported', what: 'This' },
  ];
  for (const failure of failures) {
    const error = mapFailure(failure);
    assert.ok(errors.has(error.code), error.code);
    assert.ok(error.message.length > 0);
    assert.ok(
      error.members?.['code'] !== undefined &&
        error.members['docs'] !== undefined &&
        error.members['tip'] !== undefined,
    );
  }
  assert.equal(
    mapFailure({ kind: 'not-found', resource: 'volume', id: 'Disk-1' }).message,
    'The Disk does not exist: Disk-1',
  );
});
