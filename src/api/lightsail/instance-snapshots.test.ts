import assert from 'node:assert/strict';
import { test } from 'node:test';
import { instance, openWithInstance } from './instances.fixture.ts';
import type { Json, Scene } from './scene.fake.ts';

const ZONE = 'us-east-1a';
const DAY_MS = 86_400_000;

async function snapshot(scene: Scene, name: string): Promise<readonly Json[]> {
  const made = await scene.ok('CreateInstanceSnapshot', { instanceName: 'web', instanceSnapshotName: name });
  await scene.world.settle();
  return made['operations'] as readonly Json[];
}

const source = { availabilityZone: ZONE, bundleId: 'nano_3_0', instanceSnapshotName: 'web-1' };

test('CreateInstanceSnapshot answers the snapshot and then the instance, and comes to its end', async () => {
  await using scene = await openWithInstance();
  const operations = await snapshot(scene, 'web-1');
  assert.deepEqual(
    operations.map((one) => [
      one['resourceType'],
      one['resourceName'],
      one['operationDetails'],
      one['operationType'],
      one['status'],
      one['isTerminal'],
      (one['location'] as Json)['availabilityZone'],
    ]),
    [
      ['InstanceSnapshot', 'web-1', 'web', 'CreateInstanceSnapshot', 'Started', false, 'all'],
      ['Instance', 'web', 'web-1', 'CreateInstanceSnapshot', 'Started', false, ZONE],
    ],
  );
  const { instanceSnapshot } = await scene.ok('GetInstanceSnapshot', { instanceSnapshotName: 'web-1' });
  const { arn, supportCode, createdAt, fromInstanceArn, ...rest } = instanceSnapshot as Json;
  assert.match(String(arn), /:InstanceSnapshot[/]/);
  assert.match(String(fromInstanceArn), /:Instance[/]/);
  assert.ok(String(supportCode).length > 0 && typeof createdAt === 'number');
  assert.deepEqual(rest, {
    name: 'web-1',
    location: { availabilityZone: 'all', regionName: 'us-east-1' },
    resourceType: 'InstanceSnapshot',
    tags: [],
    state: 'available',
    progress: '100%',
    fromAttachedDisks: [{ name: 'data', path: '/dev/xvdf', sizeInGb: 8, isSystemDisk: false }],
    fromInstanceName: 'web',
    fromBlueprintId: 'tiny',
    fromBundleId: 'nano_3_0',
    isFromAutoSnapshot: false,
    sizeInGb: 20,
  });
  for (const one of operations) {
    const { operation } = await scene.ok('GetOperation', { operationId: one['id'] });
    assert.equal((operation as Json)['status'], 'Succeeded');
  }
  assert.deepEqual((await scene.ok('GetDiskSnapshots'))['diskSnapshots'], [], 'its parts are no disk snapshots');
  assert.equal(((await scene.ok('GetInstanceSnapshots'))['instanceSnapshots'] as readonly Json[]).length, 1);
  for (const input of [
    { instanceName: 'web', instanceSnapshotName: 'web-1' },
    { instanceName: 'web', instanceSnapshotName: '-' },
    { instanceName: 'web' },
    { instanceSnapshotName: 'web-2' },
  ]) {
    assert.equal(await scene.refused('CreateInstanceSnapshot', input), 'InvalidInputException');
  }
  const nobody = { instanceName: 'nobody', instanceSnapshotName: 'web-2' };
  assert.equal(await scene.refused('CreateInstanceSnapshot', nobody), 'NotFoundException');
  await scene.ok('TagResource', { resourceName: 'web-1', tags: [{ key: 'keep', value: 'yes' }, { key: 'only' }] });
  await scene.ok('UntagResource', { resourceName: 'web-1', tagKeys: ['only'] });
  const tagged = (await scene.ok('GetInstanceSnapshot', { instanceSnapshotName: 'web-1' }))['instanceSnapshot'] as Json;
  assert.deepEqual(tagged['tags'], [{ key: 'keep', value: 'yes' }]);
  await scene.ok('DeleteInstanceSnapshot', { instanceSnapshotName: 'web-1' });
  const { body } = await scene.call('GetInstanceSnapshot', { instanceSnapshotName: 'web-1' });
  assert.deepEqual(
    [body['__type'], body['message']],
    ['NotFoundException', 'The InstanceSnapshot does not exist: web-1'],
  );
});

test('instances come from a snapshot with their disks, under the names that the mapping gives', async () => {
  await using scene = await openWithInstance();
  await snapshot(scene, 'web-1');
  const made = await scene.ok('CreateInstancesFromSnapshot', {
    ...source,
    instanceNames: ['one', 'two'],
    attachedDiskMapping: { one: [{ originalDiskPath: '/dev/xvdf', newDiskName: 'one-data' }] },
    userData: '#!/bin/sh\ntrue\n',
    tags: [{ key: 'team', value: 'a' }],
    addOns: [{ addOnType: 'AutoSnapshot', autoSnapshotAddOnRequest: { snapshotTimeOfDay: '06:00' } }],
  });
  assert.deepEqual(
    (made['operations'] as readonly Json[]).map((one) => [one['resourceName'], one['operationType'], one['status']]),
    [
      ['one', 'CreateInstancesFromSnapshot', 'Started'],
      ['two', 'CreateInstancesFromSnapshot', 'Started'],
    ],
  );
  await scene.world.settle();
  for (const [name, disk] of [
    ['one', 'one-data'],
    ['two', 'two-xvdf'],
  ] as const) {
    const found = await instance(scene, name);
    assert.deepEqual(found['state'], { code: 16, name: 'running' });
    assert.equal(found['blueprintId'], 'tiny');
    const [addOn] = found['addOns'] as readonly Json[];
    assert.deepEqual(
      [addOn?.['name'], addOn?.['status'], addOn?.['snapshotTimeOfDay']],
      ['AutoSnapshot', 'Enabled', '06:00'],
    );
    const { disk: shown } = await scene.ok('GetDisk', { diskName: disk });
    assert.deepEqual([(shown as Json)['attachedTo'], (shown as Json)['path']], [name, '/dev/xvdf']);
  }
});

test('CreateInstancesFromSnapshot refuses what contradicts itself or the snapshot', async () => {
  await using scene = await openWithInstance();
  await snapshot(scene, 'web-1');
  const mapping = (map: Json) => ({ attachedDiskMapping: map });
  for (const some of [
    { sourceInstanceName: 'web' },
    { instanceSnapshotName: undefined },
    { instanceSnapshotName: undefined, sourceInstanceName: 'web' },
    { restoreDate: '2026-01-01' },
    { useLatestRestorableAutoSnapshot: true },
    {
      instanceSnapshotName: undefined,
      sourceInstanceName: 'web',
      restoreDate: '2026-01-01',
      useLatestRestorableAutoSnapshot: true,
    },
    { instanceSnapshotName: undefined, sourceInstanceName: 'web', restoreDate: '01.01.2026' },
    { bundleId: 'pico_1_0' },
    { bundleId: 'none_1_0' },
    { availabilityZone: 'US-EAST-1A' },
    { instanceNames: ['one', 'one'] },
    { instanceNames: ['web'] },
    { addOns: [{}] },
    { addOns: [{ addOnType: 'AutoSnapshot', autoSnapshotAddOnRequest: { snapshotTimeOfDay: '06:30' } }] },
    mapping({ two: [{ originalDiskPath: '/dev/xvdf', newDiskName: 'x1' }] }),
    mapping({ one: [{ originalDiskPath: '/dev/xvdz', newDiskName: 'x1' }] }),
    mapping({ one: [{ originalDiskPath: '/dev/xvdf', newDiskName: 'data' }] }),
    mapping({ one: [{ originalDiskPath: '/dev/xvdf' }] }),
  ]) {
    const input = Object.fromEntries(
      Object.entries({ ...source, instanceNames: ['one'], ...some }).filter(([, value]) => value !== undefined),
    );
    assert.equal(
      await scene.refused('CreateInstancesFromSnapshot', input),
      'InvalidInputException',
      JSON.stringify(some),
    );
  }
  for (const some of [
    { instanceSnapshotName: 'nothing' },
    { keyPairName: 'nobodys' },
    { instanceSnapshotName: 'data' },
  ]) {
    const input = { ...source, instanceNames: ['one'], ...some };
    assert.equal(await scene.refused('CreateInstancesFromSnapshot', input), 'NotFoundException', JSON.stringify(some));
  }
  assert.equal(((await scene.ok('GetInstances'))['instances'] as readonly Json[]).length, 1);
});

test('automatic snapshots are listed, restored by their day or as the latest, and deleted', async () => {
  await using scene = await openWithInstance();
  const on = { addOnType: 'AutoSnapshot', autoSnapshotAddOnRequest: { snapshotTimeOfDay: '06:00' } };
  for (const resourceName of ['web', 'data']) {
    const { operations } = await scene.ok('EnableAddOn', { resourceName, addOnRequest: on });
    assert.deepEqual(
      (operations as readonly Json[]).map((one) => [one['operationType'], one['status']]),
      [['EnableAddOn', 'Succeeded']],
    );
    assert.deepEqual((await scene.ok('GetAutoSnapshots', { resourceName }))['autoSnapshots'], []);
  }
  const dates: string[] = [];
  for (let day = 0; day < 2; day += 1) {
    await scene.world.clock.advance(DAY_MS);
    await scene.world.control.run('run-add-ons');
    await scene.world.settle();
  }
  for (const resourceName of ['web', 'data']) {
    const listed = await scene.ok('GetAutoSnapshots', { resourceName });
    assert.equal(listed['resourceType'], resourceName === 'web' ? 'Instance' : 'Disk');
    const all = listed['autoSnapshots'] as readonly Json[];
    assert.deepEqual(
      all.map(({ status }) => status),
      ['Success', 'Success'],
    );
    dates.push(...all.map(({ date }) => String(date)));
  }
  const [newest, oldest] = dates;
  const { instanceSnapshotName: _, ...from } = source;
  const restore = { ...from, sourceInstanceName: 'web' };
  await scene.ok('CreateInstancesFromSnapshot', { ...restore, instanceNames: ['one'], restoreDate: oldest });
  await scene.ok('CreateInstancesFromSnapshot', {
    ...restore,
    instanceNames: ['two'],
    useLatestRestorableAutoSnapshot: true,
  });
  await scene.ok('CreateDiskFromSnapshot', {
    diskName: 'again',
    availabilityZone: ZONE,
    sizeInGb: 8,
    sourceDiskName: 'data',
    restoreDate: newest,
  });
  const unknown = { ...restore, instanceNames: ['three'], restoreDate: '2020-01-01' };
  assert.equal(await scene.refused('CreateInstancesFromSnapshot', unknown), 'NotFoundException');
  assert.deepEqual((await scene.ok('GetInstanceSnapshots'))['instanceSnapshots'], []);
  assert.deepEqual((await scene.ok('GetDiskSnapshots'))['diskSnapshots'], []);
  await scene.world.settle();
  const deleted = await scene.ok('DeleteAutoSnapshot', { resourceName: 'web', date: oldest });
  const [deletion] = deleted['operations'] as readonly Json[];
  assert.equal(deletion?.['operationDetails'], `DeleteAutoSnapshot-${oldest}`);
  assert.equal(await scene.refused('DeleteAutoSnapshot', { resourceName: 'web', date: oldest }), 'NotFoundException');
  const left = (await scene.ok('GetAutoSnapshots', { resourceName: 'web' }))['autoSnapshots'] as readonly Json[];
  assert.deepEqual(
    left.map(({ date }) => date),
    [newest],
  );
  await scene.ok('DisableAddOn', { resourceName: 'web', addOnType: 'AutoSnapshot' });
  assert.deepEqual((await instance(scene, 'web'))['addOns'], []);
});

test('a disk snapshot by instanceName is of the system volume, and says so', async () => {
  await using scene = await openWithInstance();
  const made = await scene.ok('CreateDiskSnapshot', { instanceName: 'web', diskSnapshotName: 'root-1' });
  assert.deepEqual(
    (made['operations'] as readonly Json[]).map((one) => [
      one['resourceType'],
      one['resourceName'],
      one['operationDetails'],
    ]),
    [
      ['DiskSnapshot', 'root-1', 'web'],
      ['Instance', 'web', 'root-1'],
    ],
  );
  await scene.world.settle();
  const { diskSnapshot } = await scene.ok('GetDiskSnapshot', { diskSnapshotName: 'root-1' });
  const shown = diskSnapshot as Json;
  assert.deepEqual([shown['sizeInGb'], shown['fromInstanceName'], shown['fromDiskName']], [20, 'web', undefined]);
  await scene.ok('CreateDiskFromSnapshot', {
    diskName: 'rescue',
    availabilityZone: ZONE,
    sizeInGb: 20,
    diskSnapshotName: 'root-1',
  });
});
