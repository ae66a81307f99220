import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VolumeHostError } from '#volume/host.ts';
import { type Json, Scene } from './scene.fake.ts';

const DISK = { diskName: 'Disk-1', availabilityZone: 'us-east-1a', sizeInGb: 8 };
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

function operationsOf(body: Json): readonly Json[] {
  return body['operations'] as readonly Json[];
}

function diskOf(body: Json): Json {
  return body['disk'] as Json;
}

function snapshotOf(body: Json): Json {
  return body['diskSnapshot'] as Json;
}

function namesOf(list: unknown): readonly unknown[] {
  return (list as readonly Json[]).map((item) => item['name']);
}

test('CreateDisk answers one started operation, and the disk is there', async () => {
  await using scene = await Scene.open();
  const [operation, ...others] = operationsOf(
    await scene.ok('CreateDisk', { ...DISK, tags: [{ key: 'a', value: 'b' }, { key: 'only' }] }),
  );
  assert.deepEqual(others, []);
  assert.match(String(operation?.['id']), UUID);
  const { id: _, createdAt, statusChangedAt, ...rest } = operation ?? {};
  assert.equal(createdAt, statusChangedAt);
  assert.equal(createdAt, Date.UTC(2026, 0, 1) / 1000);
  assert.deepEqual(rest, {
    resourceName: 'Disk-1',
    resourceType: 'Disk',
    location: { availabilityZone: 'us-east-1a', regionName: 'us-east-1' },
    isTerminal: false,
    operationType: 'CreateDisk',
    status: 'Started',
  });
  const disk = diskOf(await scene.ok('GetDisk', { diskName: 'Disk-1' }));
  assert.match(
    String(disk['arn']),
    new RegExp(`^arn:aws:lightsail:us-east-1:${scene.key.account}:Disk/[0-9a-f-]{36}$`),
  );
  assert.match(String(disk['supportCode']), new RegExp(`^${scene.key.account}/vol-[0-9a-f]{17}$`));
  assert.deepEqual(disk['tags'], [{ key: 'a', value: 'b' }, { key: 'only' }]);
  assert.equal(disk['state'], 'available');
  assert.equal(disk['sizeInGb'], 8);
  const ended = (await scene.ok('GetOperation', { operationId: operation?.['id'] }))['operation'] as Json;
  assert.deepEqual([ended['status'], ended['isTerminal']], ['Succeeded', true]);
});

test('CreateDiskSnapshot answers the snapshot’s operation and then the disk’s, as its reference page shows', async () => {
  await using scene = await Scene.open();
  await scene.ok('CreateDisk', DISK);
  scene.world.host.holdUploads();
  const operations = operationsOf(
    await scene.ok('CreateDiskSnapshot', { diskName: 'Disk-1', diskSnapshotName: 'DiskSnapshot-1' }),
  );
  const times = operations.flatMap(({ createdAt, statusChangedAt }) => [createdAt, statusChangedAt]);
  assert.equal(new Set(times).size, 1);
  for (const { id } of operations) assert.match(String(id), UUID);
  assert.deepEqual(
    operations.map(({ id: _id, createdAt: _createdAt, statusChangedAt: _statusChangedAt, ...rest }) => rest),
    [
      {
        resourceName: 'DiskSnapshot-1',
        resourceType: 'DiskSnapshot',
        location: { availabilityZone: 'all', regionName: 'us-east-1' },
        isTerminal: false,
        operationDetails: 'Disk-1',
        operationType: 'CreateDiskSnapshot',
        status: 'Started',
      },
      {
        resourceName: 'Disk-1',
        resourceType: 'Disk',
        location: { availabilityZone: 'us-east-1a', regionName: 'us-east-1' },
        isTerminal: false,
        operationDetails: 'DiskSnapshot-1',
        operationType: 'CreateDiskSnapshot',
        status: 'Started',
      },
    ],
  );
  const pending = snapshotOf(await scene.ok('GetDiskSnapshot', { diskSnapshotName: 'DiskSnapshot-1' }));
  assert.equal(pending['state'], 'pending');
  assert.match(String(pending['progress']), /^\d+%$/);

  scene.world.host.releaseUploads();
  await scene.world.settle();
  const completed = snapshotOf(await scene.ok('GetDiskSnapshot', { diskSnapshotName: 'DiskSnapshot-1' }));
  assert.deepEqual([completed['state'], completed['progress']], ['completed', '100%']);
  for (const { id } of operations) {
    const ended = (await scene.ok('GetOperation', { operationId: id }))['operation'] as Json;
    assert.equal(ended['isTerminal'], true);
    assert.equal(ended['status'], 'Succeeded');
    assert.ok(Number(ended['statusChangedAt']) >= Number(ended['createdAt']));
  }
});

test('a snapshot that fails says so in its state and its operations', async () => {
  await using scene = await Scene.open();
  await scene.ok('CreateDisk', DISK);
  scene.world.host.failUploads(new VolumeHostError('damaged', 'a chunk is damaged'));
  const operations = operationsOf(
    await scene.ok('CreateDiskSnapshot', { diskName: 'Disk-1', diskSnapshotName: 'Snap-1' }),
  );
  assert.equal(operations.length, 2);
  await scene.world.clock.advance(3000);
  await scene.world.settle();
  assert.equal(snapshotOf(await scene.ok('GetDiskSnapshot', { diskSnapshotName: 'Snap-1' }))['state'], 'error');
  for (const { id, createdAt } of operations) {
    const ended = (await scene.ok('GetOperation', { operationId: id }))['operation'] as Json;
    assert.deepEqual([ended['status'], ended['isTerminal'], ended['errorCode']], ['Failed', true, 'SnapshotFailed']);
    assert.equal(ended['errorDetails'], 'The snapshot could not be stored: a chunk is damaged');
    assert.deepEqual([ended['createdAt'], ended['statusChangedAt']], [createdAt, Number(createdAt) + 3]);
  }
});

test('the source of a snapshot is a disk or an instance, exactly one, and it exists', async () => {
  await using scene = await Scene.open();
  await scene.ok('CreateDisk', DISK);
  const name = { diskSnapshotName: 'Snap-1' };
  assert.equal(
    await scene.refused('CreateDiskSnapshot', { ...name, diskName: 'Disk-1', instanceName: 'I-1' }),
    'InvalidInputException',
  );
  assert.equal(await scene.refused('CreateDiskSnapshot', name), 'InvalidInputException');
  assert.equal(await scene.refused('CreateDiskSnapshot', { ...name, diskName: 'Disk-2' }), 'NotFoundException');
  assert.equal(await scene.refused('CreateDiskSnapshot', { ...name, instanceName: 'Web-1' }), 'NotFoundException');
  assert.equal(await scene.refused('CreateDiskSnapshot', { diskName: 'Disk-1' }), 'InvalidInputException');
});

test('names are unique over disks and snapshots of an account and region, and have Lightsail’s form', async () => {
  await using scene = await Scene.open();
  await scene.ok('CreateDisk', DISK);
  await scene.ok('CreateDiskSnapshot', { diskName: 'Disk-1', diskSnapshotName: 'Snap-1' });
  assert.equal(await scene.refused('CreateDisk', DISK), 'InvalidInputException');
  assert.equal(await scene.refused('CreateDisk', { ...DISK, diskName: 'Snap-1' }), 'InvalidInputException');
  assert.equal(
    await scene.refused('CreateDiskSnapshot', { diskName: 'Disk-1', diskSnapshotName: 'Snap-1' }),
    'InvalidInputException',
  );
  assert.equal(
    await scene.refused('CreateDiskSnapshot', { diskName: 'Disk-1', diskSnapshotName: 'Disk-1' }),
    'InvalidInputException',
  );
  for (const diskName of ['', 'a', '-a', 'a-', 'a b', 'a/b', 'a!', '../x', 'é1', 'a\nb', 'x'.repeat(256)]) {
    assert.equal(await scene.refused('CreateDisk', { ...DISK, diskName }), 'InvalidInputException', diskName);
  }
  await scene.ok('CreateDisk', { ...DISK, diskName: 'x'.repeat(255) });
  for (const diskName of ['constructor', '__proto__', 'a_-_b', '12']) {
    assert.equal(await scene.refused('GetDisk', { diskName }), 'NotFoundException', diskName);
    await scene.ok('CreateDisk', { ...DISK, diskName });
    assert.equal(diskOf(await scene.ok('GetDisk', { diskName }))['name'], diskName);
  }
});

test('accounts and regions do not see each other', async () => {
  await using scene = await Scene.open();
  const key = await scene.newKey();
  await scene.ok('CreateDisk', DISK);
  await scene.ok('CreateDisk', { ...DISK, sizeInGb: 9 }, { key });
  await scene.ok('CreateDisk', { ...DISK, availabilityZone: 'eu-west-1b', sizeInGb: 10 }, { region: 'eu-west-1' });
  const sizes = [{}, { key }, { region: 'eu-west-1' }].map(
    async (options) => diskOf(await scene.ok('GetDisk', { diskName: 'Disk-1' }, options))['sizeInGb'],
  );
  assert.deepEqual(await Promise.all(sizes), [8, 9, 10]);
  await scene.ok('DeleteDisk', { diskName: 'Disk-1' }, { key });
  assert.equal(await scene.refused('GetDisk', { diskName: 'Disk-1' }, { key }), 'NotFoundException');
  await scene.ok('GetDisk', { diskName: 'Disk-1' });
  const [own] = operationsOf(await scene.ok('GetOperations'));
  assert.equal(await scene.refused('GetOperation', { operationId: own?.['id'] }, { key }), 'NotFoundException');
  const arn = diskOf(await scene.ok('GetDisk', { diskName: 'Disk-1' }))['arn'];
  assert.equal(
    await scene.refused('TagResource', { resourceName: 'Disk-1', resourceArn: arn, tags: [] }, { key }),
    'NotFoundException',
  );
});

test('zones are of the region, and case matters', async () => {
  await using scene = await Scene.open();
  for (const availabilityZone of ['US-EAST-1A', 'us-east-1z', 'us-west-2a', 'all', 'us-east-1']) {
    assert.equal(
      await scene.refused('CreateDisk', { ...DISK, availabilityZone }),
      'InvalidInputException',
      availabilityZone,
    );
  }
  const regions = (await scene.ok('GetRegions', { includeAvailabilityZones: true }))['regions'] as readonly Json[];
  const virginia = regions.find(({ name }) => name === 'us-east-1');
  assert.deepEqual((virginia?.['availabilityZones'] as readonly Json[] | undefined)?.[0], {
    zoneName: 'us-east-1a',
    state: 'available',
  });
});

test('a disk has from 8 to 16384 GB', async () => {
  await using scene = await Scene.open();
  for (const sizeInGb of [7, 0, -8, 16_385, 2_147_483_647]) {
    assert.equal(await scene.refused('CreateDisk', { ...DISK, sizeInGb }), 'InvalidInputException', String(sizeInGb));
  }
  await scene.ok('CreateDisk', { ...DISK, sizeInGb: 16_384 });
});

test('tags keep to Lightsail’s rules', async () => {
  await using scene = await Scene.open();
  const create = (index: number, tags: readonly Json[]): [string, Json] => [
    'CreateDisk',
    { ...DISK, diskName: `Disk-${index}`, tags },
  ];
  const fine: readonly (readonly Json[])[] = [
    [{ key: 'k'.repeat(128), value: 'v'.repeat(256) }],
    [{ key: 'ключ é 数 + - = . _ : / @', value: 'значение + - = . _ : / @' }],
    [
      { key: '__proto__', value: 'x' },
      { key: 'constructor', value: 'y' },
    ],
    Array.from({ length: 50 }, (_, index) => ({ key: `key ${index}` })),
  ];
  for (const [index, tags] of fine.entries()) {
    await scene.ok(...create(index, tags));
    const shown = diskOf(await scene.ok('GetDisk', { diskName: `Disk-${index}` }))['tags'];
    const sorted = (list: unknown): unknown =>
      (list as readonly Json[]).toSorted((a, b) => (String(a['key']) < String(b['key']) ? -1 : 1));
    assert.deepEqual(sorted(shown), sorted(tags));
  }
  const wrong: readonly (readonly Json[])[] = [
    [{ key: 'k'.repeat(129) }],
    [{ key: 'k', value: 'v'.repeat(257) }],
    [{ key: 'k!' }],
    [{ key: 'k', value: 'v;' }],
    [{ key: '' }],
    [{ value: 'v' }],
    [{ key: 'aws:k' }],
    [{ key: 'k' }, { key: 'k' }],
    Array.from({ length: 51 }, (_, index) => ({ key: `key ${index}` })),
  ];
  for (const tags of wrong) {
    const type = await scene.refused(...create(99, tags));
    assert.match(type, /^(InvalidInputException|OperationFailureException)$/, JSON.stringify(tags).slice(0, 60));
  }
  assert.equal(await scene.refused('GetDisk', { diskName: 'Disk-99' }), 'NotFoundException');
});

test('tags change after creation, of disks and of snapshots', async () => {
  await using scene = await Scene.open();
  await scene.ok('CreateDisk', { ...DISK, tags: [{ key: 'a', value: '1' }] });
  await scene.ok('CreateDiskSnapshot', {
    diskName: 'Disk-1',
    diskSnapshotName: 'Snap-1',
    tags: [{ key: 's', value: '1' }],
  });
  const arn = diskOf(await scene.ok('GetDisk', { diskName: 'Disk-1' }))['arn'];
  const [operation] = operationsOf(
    await scene.ok('TagResource', {
      resourceName: 'Disk-1',
      resourceArn: arn,
      tags: [{ key: 'a', value: '2' }, { key: 'b' }],
    }),
  );
  assert.deepEqual(
    [operation?.['status'], operation?.['isTerminal'], operation?.['operationType']],
    ['Succeeded', true, 'TagResource'],
  );
  assert.deepEqual(diskOf(await scene.ok('GetDisk', { diskName: 'Disk-1' }))['tags'], [
    { key: 'a', value: '2' },
    { key: 'b' },
  ]);
  await scene.ok('UntagResource', { resourceName: 'Disk-1', tagKeys: ['a', 'not there'] });
  await scene.ok('UntagResource', { resourceName: 'Disk-1', tagKeys: [] });
  assert.deepEqual(diskOf(await scene.ok('GetDisk', { diskName: 'Disk-1' }))['tags'], [{ key: 'b' }]);
  await scene.ok('TagResource', { resourceName: 'Snap-1', tags: [{ key: 't', value: '2' }] });
  assert.deepEqual(snapshotOf(await scene.ok('GetDiskSnapshot', { diskSnapshotName: 'Snap-1' }))['tags'], [
    { key: 's', value: '1' },
    { key: 't', value: '2' },
  ]);
  assert.equal(
    await scene.refused('TagResource', { resourceName: 'Nothing', tags: [{ key: 'a' }] }),
    'NotFoundException',
  );
  assert.equal(
    await scene.refused('TagResource', { resourceName: 'Snap-1', resourceArn: arn, tags: [{ key: 'a' }] }),
    'InvalidInputException',
  );
  assert.equal(
    await scene.refused('TagResource', { resourceName: 'Snap-1', tags: [{ key: 'bad!' }] }),
    'InvalidInputException',
  );
});

test('a change of tags is an operation that has ended, and is found afterwards', async () => {
  await using scene = await Scene.open();
  await scene.ok('CreateDisk', DISK);
  await scene.ok('CreateDiskSnapshot', { diskName: 'Disk-1', diskSnapshotName: 'Snap-1' });
  await scene.world.clock.advance(1000);
  const answers = [
    await scene.ok('TagResource', { resourceName: 'Disk-1', tags: [{ key: 'a' }] }),
    await scene.ok('TagResource', { resourceName: 'Snap-1', tags: [{ key: 'a' }] }),
    await scene.ok('UntagResource', { resourceName: 'Snap-1', tagKeys: ['a'] }),
  ];
  const operations = answers.flatMap(operationsOf);
  const zones = operations.map(({ location }) => (location as Json)['availabilityZone']);
  assert.deepEqual(zones, ['us-east-1a', 'all', 'all']);
  assert.deepEqual(
    operations.map(({ operationType, resourceName, resourceType, status, isTerminal }) => [
      operationType,
      resourceName,
      resourceType,
      status,
      isTerminal,
    ]),
    [
      ['TagResource', 'Disk-1', 'Disk', 'Succeeded', true],
      ['TagResource', 'Snap-1', 'DiskSnapshot', 'Succeeded', true],
      ['UntagResource', 'Snap-1', 'DiskSnapshot', 'Succeeded', true],
    ],
  );
  for (const operation of operations) {
    assert.deepEqual((await scene.ok('GetOperation', { operationId: operation['id'] }))['operation'], operation);
  }
  const refused = { resourceName: 'Snap-1', tags: [{ key: 'bad!' }] };
  assert.equal(await scene.refused('TagResource', refused), 'InvalidInputException');
  const ofSnapshot = operationsOf(await scene.ok('GetOperationsForResource', { resourceName: 'Snap-1' }));
  assert.deepEqual(ofSnapshot.slice(1), operations.slice(1));
});

test('a disk made from a snapshot names it, and snapshot and disk survive the source', async () => {
  await using scene = await Scene.open();
  await scene.ok('CreateDisk', DISK);
  scene.world.host.holdUploads();
  await scene.ok('CreateDiskSnapshot', { diskName: 'Disk-1', diskSnapshotName: 'Snap-1' });
  const restore = { diskName: 'Disk-2', diskSnapshotName: 'Snap-1', availabilityZone: 'us-east-1b', sizeInGb: 16 };
  assert.equal(await scene.refused('CreateDiskFromSnapshot', restore), 'OperationFailureException', 'still pending');
  scene.world.host.releaseUploads();
  await scene.world.settle();
  const before = snapshotOf(await scene.ok('GetDiskSnapshot', { diskSnapshotName: 'Snap-1' }));
  assert.equal(before['fromDiskName'], 'Disk-1');
  const [deleted] = operationsOf(await scene.ok('DeleteDisk', { diskName: 'Disk-1' }));
  assert.deepEqual([deleted?.['operationType'], deleted?.['resourceName']], ['DeleteDisk', 'Disk-1']);
  assert.equal(await scene.refused('GetDisk', { diskName: 'Disk-1' }), 'NotFoundException');
  assert.equal(await scene.refused('DeleteDisk', { diskName: 'Disk-1' }), 'NotFoundException');
  assert.deepEqual(snapshotOf(await scene.ok('GetDiskSnapshot', { diskSnapshotName: 'Snap-1' })), before);

  const [created] = operationsOf(await scene.ok('CreateDiskFromSnapshot', restore));
  assert.deepEqual(
    [created?.['operationType'], created?.['operationDetails'], created?.['status']],
    ['CreateDiskFromSnapshot', 'Snap-1', 'Started'],
  );
  assert.equal(diskOf(await scene.ok('GetDisk', { diskName: 'Disk-2' }))['sizeInGb'], 16);
  assert.equal(
    await scene.refused('CreateDiskFromSnapshot', { ...restore, diskName: 'Disk-3', diskSnapshotName: 'Snap-9' }),
    'NotFoundException',
  );

  const [gone] = operationsOf(await scene.ok('DeleteDiskSnapshot', { diskSnapshotName: 'Snap-1' }));
  assert.deepEqual([gone?.['operationType'], gone?.['resourceType']], ['DeleteDiskSnapshot', 'DiskSnapshot']);
  assert.equal(await scene.refused('GetDiskSnapshot', { diskSnapshotName: 'Snap-1' }), 'NotFoundException');
  await scene.ok('GetDisk', { diskName: 'Disk-2' });
});

test('a restored disk is not smaller than its snapshot', async () => {
  await using scene = await Scene.open();
  await scene.ok('CreateDisk', { ...DISK, sizeInGb: 16 });
  await scene.ok('CreateDiskSnapshot', { diskName: 'Disk-1', diskSnapshotName: 'Snap-1' });
  await scene.world.settle();
  const restore = { diskName: 'Disk-2', diskSnapshotName: 'Snap-1', availabilityZone: 'us-east-1a' };
  assert.equal(await scene.refused('CreateDiskFromSnapshot', { ...restore, sizeInGb: 15 }), 'InvalidInputException');
  await scene.ok('CreateDiskFromSnapshot', { ...restore, sizeInGb: 16 });
});

test('the ways to name the snapshot of a new disk exclude each other, and there are no automatic ones', async () => {
  await using scene = await Scene.open();
  await scene.ok('CreateDisk', DISK);
  const base = { diskName: 'Disk-2', availabilityZone: 'us-east-1a', sizeInGb: 8 };
  const invalid: readonly Json[] = [
    {},
    { diskSnapshotName: 'Snap-1', sourceDiskName: 'Disk-1' },
    { diskSnapshotName: 'Snap-1', restoreDate: '2026-01-01' },
    { diskSnapshotName: 'Snap-1', useLatestRestorableAutoSnapshot: true },
    { sourceDiskName: 'Disk-1' },
    { sourceDiskName: 'Disk-1', useLatestRestorableAutoSnapshot: false },
    { sourceDiskName: 'Disk-1', restoreDate: '2026-01-01', useLatestRestorableAutoSnapshot: true },
    { sourceDiskName: 'Disk-1', restoreDate: '2026-02-30' },
    { sourceDiskName: 'Disk-1', restoreDate: 'yesterday' },
  ];
  for (const some of invalid) {
    assert.equal(
      await scene.refused('CreateDiskFromSnapshot', { ...base, ...some }),
      'InvalidInputException',
      JSON.stringify(some),
    );
  }
  for (const some of [{ restoreDate: '2026-01-01' }, { useLatestRestorableAutoSnapshot: true }]) {
    assert.equal(
      await scene.refused('CreateDiskFromSnapshot', { ...base, sourceDiskName: 'Disk-1', ...some }),
      'NotFoundException',
    );
  }
});

test('a disk with clients connected is not deleted', async () => {
  await using scene = await Scene.open();
  await scene.ok('CreateDisk', DISK);
  const id = String(diskOf(await scene.ok('GetDisk', { diskName: 'Disk-1' }))['supportCode']).split('/')[1] ?? '';
  const volume = [...scene.world.host.volumes.values()].find(({ spec }) => spec.volume === id);
  assert.ok(volume !== undefined);
  volume.clientCount = 1;
  assert.equal(await scene.refused('DeleteDisk', { diskName: 'Disk-1' }), 'OperationFailureException');
  volume.clientCount = 0;
  await scene.ok('DeleteDisk', { diskName: 'Disk-1' });
});

test('lists come in pages, in the order of creation, and foreign tokens are refused', async () => {
  await using scene = await Scene.open();
  const names = Array.from({ length: 203 }, (_, index) => `Disk-${index}`);
  for (const diskName of names) await scene.ok('CreateDisk', { ...DISK, diskName });
  const first = await scene.ok('GetDisks');
  assert.equal((first['disks'] as readonly Json[]).length, 200);
  const second = await scene.ok('GetDisks', { pageToken: first['nextPageToken'] });
  assert.deepEqual([...namesOf(first['disks']), ...namesOf(second['disks'])], names);
  assert.equal(second['nextPageToken'], undefined);
  const operations = await scene.ok('GetOperations');
  assert.equal(operationsOf(operations).length, 200);
  assert.equal(operationsOf(operations)[0]?.['resourceName'], 'Disk-0');
  assert.equal(operationsOf(await scene.ok('GetOperations', { pageToken: operations['nextPageToken'] })).length, 3);

  const token = String(first['nextPageToken']);
  for (const pageToken of ['x', 'AAAA', '__proto__', `${token}x`, token.slice(1)]) {
    assert.equal(await scene.refused('GetDisks', { pageToken }), 'InvalidInputException', pageToken);
  }
  assert.equal(await scene.refused('GetOperations', { pageToken: token }), 'InvalidInputException');
  const key = await scene.newKey();
  assert.equal(await scene.refused('GetDisks', { pageToken: token }, { key }), 'InvalidInputException');
  assert.deepEqual(namesOf((await scene.ok('GetDisks', {}, { key }))['disks']), []);
});

test('the operations of a resource are found by its name, also when it is gone', async () => {
  await using scene = await Scene.open();
  await scene.ok('CreateDisk', DISK);
  await scene.ok('CreateDiskSnapshot', { diskName: 'Disk-1', diskSnapshotName: 'Snap-1' });
  await scene.world.settle();
  await scene.ok('DeleteDisk', { diskName: 'Disk-1' });
  const list = operationsOf(await scene.ok('GetOperationsForResource', { resourceName: 'Disk-1' }));
  assert.deepEqual(
    list.map(({ operationType }) => operationType),
    ['CreateDisk', 'CreateDiskSnapshot', 'DeleteDisk'],
  );
  assert.equal(await scene.refused('GetOperationsForResource', { resourceName: 'Disk-9' }), 'NotFoundException');
});

test('a call whose answer was lost is not done twice: at once, later, and after a restart of the server', async () => {
  await using scene = await Scene.open();
  const invocationId = 'a1b2c3d4-0000-4000-8000-000000000001';
  const [first, second] = await Promise.all([
    scene.ok('CreateDisk', DISK, { invocationId }),
    scene.ok('CreateDisk', DISK, { invocationId }),
  ]);
  assert.deepEqual(operationsOf(first), operationsOf(second));
  await scene.restart();
  const [operation] = operationsOf(await scene.ok('CreateDisk', DISK, { invocationId }));
  assert.equal(operation?.['id'], operationsOf(first)[0]?.['id']);
  assert.equal(namesOf((await scene.ok('GetDisks'))['disks']).length, 1);

  const snapshot = { diskName: 'Disk-1', diskSnapshotName: 'Snap-1' };
  const cut = { invocationId: 'a1b2c3d4-0000-4000-8000-000000000003' };
  const made = operationsOf(await scene.ok('CreateDiskSnapshot', snapshot, cut));
  await scene.restart();
  const repeated = operationsOf(await scene.ok('CreateDiskSnapshot', snapshot, cut));
  assert.deepEqual(
    repeated.map(({ id, resourceName }) => [id, resourceName]),
    made.map(({ id, resourceName }) => [id, resourceName]),
  );
  assert.equal(repeated.length, 2);
  assert.equal(namesOf((await scene.ok('GetDiskSnapshots'))['diskSnapshots']).length, 1);
  assert.equal(await scene.refused('CreateDiskSnapshot', snapshot), 'InvalidInputException', 'a new call');

  const gone = 'a1b2c3d4-0000-4000-8000-000000000002';
  const deleted = await scene.ok('DeleteDisk', { diskName: 'Disk-1' }, { invocationId: gone });
  assert.deepEqual(await scene.ok('DeleteDisk', { diskName: 'Disk-1' }, { invocationId: gone }), deleted);
  const end = { invocationId: 'a1b2c3d4-0000-4000-8000-000000000004' };
  const ended = operationsOf(await scene.ok('DeleteDiskSnapshot', { diskSnapshotName: 'Snap-1' }, end));
  await scene.world.settle();
  await scene.restart();
  const [deletedAgain] = operationsOf(await scene.ok('DeleteDisk', { diskName: 'Disk-1' }, { invocationId: gone }));
  assert.equal(deletedAgain?.['id'], operationsOf(deleted)[0]?.['id']);
  const [endedAgain] = operationsOf(await scene.ok('DeleteDiskSnapshot', { diskSnapshotName: 'Snap-1' }, end));
  assert.equal(endedAgain?.['id'], ended[0]?.['id']);
  assert.equal(await scene.refused('DeleteDisk', { diskName: 'Disk-1' }), 'NotFoundException', 'a new call');
});

test('a region without Lightsail is refused', async () => {
  await using scene = await Scene.open();
  assert.equal(await scene.refused('GetDisks', {}, { region: 'af-south-1' }), 'InvalidInputException');
});

test('GetCallerIdentity names the account of the key', async () => {
  await using scene = await Scene.open();
  const reply = await scene.client().form('sts', { Action: 'GetCallerIdentity', Version: '2011-06-15' });
  assert.equal(reply.status, 200);
  assert.match(reply.text, new RegExp(`<Arn>arn:aws:iam::${scene.key.account}:root</Arn>`));
  assert.match(reply.text, new RegExp(`<Account>${scene.key.account}</Account>`));
  assert.match(reply.text, /<ResponseMetadata><RequestId>[0-9a-f-]{36}</);
  const other = await scene.client().form('sts', { Action: 'GetFederationToken', Version: '2011-06-15' });
  assert.equal(other.status, 400);
  assert.match(other.text, /GetFederationToken is not supported/);
});
