import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openWithSnapshots } from './instances.fixture.ts';
import type { Json } from './scene.fake.ts';

const DAY_MS = 86_400_000;
const FAR = { region: 'eu-west-1' };

test('CopySnapshot answers one operation of the copy, which comes to the region of the request and to its end', async () => {
  await using scene = await openWithSnapshots();
  const copy = await scene.ok(
    'CopySnapshot',
    { sourceSnapshotName: 'web-1', targetSnapshotName: 'web-copy', sourceRegion: 'us-east-1' },
    FAR,
  );
  const operations = copy['operations'] as readonly Json[];
  assert.deepEqual(
    operations.map((one) => [
      one['resourceName'],
      one['resourceType'],
      one['operationType'],
      one['operationDetails'],
      one['location'],
      one['status'],
      one['isTerminal'],
    ]),
    [
      [
        'web-copy',
        'InstanceSnapshot',
        'CopySnapshot',
        'us-east-1:web-1',
        { availabilityZone: 'all', regionName: 'eu-west-1' },
        'Started',
        false,
      ],
    ],
  );
  const before = await scene.ok('GetInstanceSnapshot', { instanceSnapshotName: 'web-copy' }, FAR);
  assert.equal((before['instanceSnapshot'] as Json)['state'], 'pending');
  await scene.world.settle();
  const { instanceSnapshot } = await scene.ok('GetInstanceSnapshot', { instanceSnapshotName: 'web-copy' }, FAR);
  const shown = instanceSnapshot as Json;
  const source = (await scene.ok('GetInstanceSnapshot', { instanceSnapshotName: 'web-1' }))['instanceSnapshot'] as Json;
  assert.deepEqual(shown['location'], { availabilityZone: 'all', regionName: 'eu-west-1' });
  for (const member of ['state', 'progress', 'sizeInGb', 'fromAttachedDisks', 'fromInstanceName', 'fromInstanceArn']) {
    assert.deepEqual(shown[member], source[member], member);
  }
  assert.notEqual(shown['arn'], source['arn']);
  assert.equal(shown['isFromAutoSnapshot'], false);
  const operationId = operations[0]?.['id'];
  const { operation } = await scene.ok('GetOperation', { operationId }, FAR);
  assert.equal((operation as Json)['status'], 'Succeeded');
  await scene.ok(
    'CreateInstancesFromSnapshot',
    {
      instanceNames: ['one', 'two'],
      availabilityZone: 'eu-west-1a',
      bundleId: 'nano_3_0',
      instanceSnapshotName: 'web-copy',
    },
    FAR,
  );
  await scene.world.settle();
  const { instances } = await scene.ok('GetInstances', {}, FAR);
  assert.deepEqual(
    (instances as readonly Json[]).map(({ name, state }) => [name, (state as Json)['name']]),
    [
      ['one', 'running'],
      ['two', 'running'],
    ],
  );
});

test('a copied disk snapshot says what its disk was called, and a disk is made of it', async () => {
  await using scene = await openWithSnapshots();
  await scene.ok(
    'CopySnapshot',
    { sourceSnapshotName: 'data-1', targetSnapshotName: 'data-copy', sourceRegion: 'us-east-1' },
    FAR,
  );
  await scene.world.settle();
  const { diskSnapshot } = await scene.ok('GetDiskSnapshot', { diskSnapshotName: 'data-copy' }, FAR);
  const shown = diskSnapshot as Json;
  assert.deepEqual(
    [shown['state'], shown['sizeInGb'], shown['fromDiskName'], shown['isFromAutoSnapshot']],
    ['completed', 8, 'data', false],
  );
  await scene.ok(
    'CreateDiskFromSnapshot',
    { diskName: 'data', availabilityZone: 'eu-west-1a', sizeInGb: 8, diskSnapshotName: 'data-copy' },
    FAR,
  );
  // Within a region, too, as the reference page shows.
  await scene.ok('CopySnapshot', {
    sourceSnapshotName: 'data-1',
    targetSnapshotName: 'data-2',
    sourceRegion: 'us-east-1',
  });
  await scene.ok('DeleteDiskSnapshot', { diskSnapshotName: 'data-1' });
  await scene.world.settle();
  const copied = await scene.ok('GetDiskSnapshot', { diskSnapshotName: 'data-2' });
  assert.equal((copied['diskSnapshot'] as Json)['state'], 'completed');
});

test('an automatic snapshot is kept by copying it, by its day or as the latest', async () => {
  await using scene = await openWithSnapshots();
  const addOnRequest = { addOnType: 'AutoSnapshot', autoSnapshotAddOnRequest: { snapshotTimeOfDay: '06:00' } };
  for (const resourceName of ['web', 'data']) await scene.ok('EnableAddOn', { resourceName, addOnRequest });
  await scene.world.clock.advance(DAY_MS);
  await scene.world.control.run('run-add-ons');
  await scene.world.settle();
  const { autoSnapshots } = await scene.ok('GetAutoSnapshots', { resourceName: 'web' });
  const restoreDate = (autoSnapshots as readonly Json[])[0]?.['date'];
  const kept = await scene.ok('CopySnapshot', {
    sourceResourceName: 'web',
    restoreDate,
    targetSnapshotName: 'kept',
    sourceRegion: 'us-east-1',
  });
  assert.equal((kept['operations'] as readonly Json[])[0]?.['operationDetails'], 'us-east-1:web');
  await scene.ok(
    'CopySnapshot',
    {
      sourceResourceName: 'data',
      useLatestRestorableAutoSnapshot: true,
      targetSnapshotName: 'kept',
      sourceRegion: 'us-east-1',
    },
    FAR,
  );
  await scene.world.settle();
  // They outlive what they are of.
  await scene.ok('DeleteInstance', { instanceName: 'web', forceDeleteAddOns: true });
  await scene.world.settle();
  await scene.world.control.run('run-add-ons');
  await scene.world.settle();
  const { instanceSnapshots } = await scene.ok('GetInstanceSnapshots');
  assert.deepEqual(
    (instanceSnapshots as readonly Json[]).map(({ name, state, isFromAutoSnapshot }) => [
      name,
      state,
      isFromAutoSnapshot,
    ]),
    [
      ['web-1', 'available', false],
      ['kept', 'available', true],
    ],
  );
  const { diskSnapshot } = await scene.ok('GetDiskSnapshot', { diskSnapshotName: 'kept' }, FAR);
  assert.equal((diskSnapshot as Json)['isFromAutoSnapshot'], true);
});

test('what CopySnapshot refuses', async () => {
  await using scene = await openWithSnapshots();
  const refused = (some: Json): Promise<string> =>
    scene.refused('CopySnapshot', { targetSnapshotName: 'copy', sourceRegion: 'us-east-1', ...some });
  assert.equal(await refused({}), 'InvalidInputException', 'neither');
  assert.equal(await refused({ sourceSnapshotName: 'web-1', sourceResourceName: 'web' }), 'InvalidInputException');
  assert.equal(await refused({ sourceSnapshotName: 'web-1', restoreDate: '2026-11-21' }), 'InvalidInputException');
  assert.equal(await refused({ sourceResourceName: 'web' }), 'InvalidInputException', 'no day');
  const both = { restoreDate: '2026-11-21', useLatestRestorableAutoSnapshot: true };
  assert.equal(await refused({ sourceResourceName: 'web', ...both }), 'InvalidInputException');
  assert.equal(await refused({ sourceResourceName: 'web', restoreDate: '21.11.2026' }), 'InvalidInputException');
  assert.equal(await refused({ sourceResourceName: 'web', restoreDate: '2026-11-21' }), 'NotFoundException');
  assert.equal(await refused({ sourceResourceName: 'nobody', restoreDate: '2026-11-21' }), 'NotFoundException');
  assert.equal(await refused({ sourceSnapshotName: 'nothing' }), 'NotFoundException');
  assert.equal(await refused({ sourceSnapshotName: 'web' }), 'NotFoundException', 'an instance is no snapshot');
  assert.equal(await refused({ sourceSnapshotName: 'web-1', sourceRegion: 'eu-west-1' }), 'NotFoundException');
  assert.equal(await refused({ sourceSnapshotName: 'web-1', targetSnapshotName: 'data-1' }), 'InvalidInputException');
  await scene.ok('CreateInstanceSnapshot', { instanceName: 'web', instanceSnapshotName: 'web-2' });
  assert.equal(await refused({ sourceSnapshotName: 'web-2' }), 'OperationFailureException', 'it is pending');
});
