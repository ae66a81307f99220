import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openWithSnapshots } from './instances.fixture.ts';
import type { Json, Scene } from './scene.fake.ts';

async function records(scene: Scene): Promise<readonly Json[]> {
  return (await scene.ok('GetExportSnapshotRecords'))['exportSnapshotRecords'] as readonly Json[];
}

test('ExportSnapshot answers one operation of a record, which is shown as the reference page shows it', async () => {
  await using scene = await openWithSnapshots();
  const made = await scene.ok('ExportSnapshot', { sourceSnapshotName: 'web-1' });
  const operations = made['operations'] as readonly Json[];
  assert.equal(operations.length, 1);
  const [operation] = operations;
  assert.deepEqual(
    [operation?.['operationType'], operation?.['resourceType'], operation?.['operationDetails'], operation?.['status']],
    ['ExportSnapshot', 'ExportSnapshotRecord', 'web-1', 'Started'],
  );
  await scene.ok('ExportSnapshot', { sourceSnapshotName: 'data-1' });
  assert.deepEqual(
    (await records(scene)).map(({ state }) => state),
    ['Started', 'Started'],
  );
  await scene.world.settle();
  const [machine, disk] = await records(scene);
  assert.ok(machine !== undefined && disk !== undefined);
  assert.equal(machine['name'], operation?.['resourceName']);
  assert.match(String(machine['name']), /^ExportSnapshotRecord-[0-9a-f-]{36}$/);
  assert.match(String(machine['arn']), /^arn:aws:lightsail:us-east-1:\d{12}:ExportSnapshotRecord\/[0-9a-f-]{36}$/);
  assert.deepEqual(
    [machine['resourceType'], machine['state'], machine['location']],
    ['ExportSnapshotRecord', 'Succeeded', { availabilityZone: 'all', regionName: 'us-east-1' }],
  );
  const { instanceSnapshot } = await scene.ok('GetInstanceSnapshot', { instanceSnapshotName: 'web-1' });
  const shown = instanceSnapshot as Json;
  assert.deepEqual(machine['sourceInfo'], {
    resourceType: 'InstanceSnapshot',
    createdAt: shown['createdAt'],
    name: 'web-1',
    arn: shown['arn'],
    fromResourceName: 'web',
    fromResourceArn: shown['fromInstanceArn'],
    instanceSnapshotInfo: {
      fromBundleId: 'nano_3_0',
      fromBlueprintId: 'tiny',
      fromDiskInfo: [
        { path: '/dev/xvda', sizeInGb: 20, isSystemDisk: true },
        { name: 'data', path: '/dev/xvdf', sizeInGb: 8, isSystemDisk: false },
      ],
    },
  });
  const destination = machine['destinationInfo'] as Json;
  assert.match(String(destination['id']), /^ami-[0-9a-f]{17}$/);
  assert.equal(destination['service'], 'Aws::EC2::Image');
  const to = disk['destinationInfo'] as Json;
  assert.match(String(to['id']), /^snap-[0-9a-f]{17}$/);
  assert.equal(to['service'], 'Aws::EC2::Snapshot');
  const from = disk['sourceInfo'] as Json;
  assert.deepEqual(
    [from['resourceType'], from['fromResourceName'], from['diskSnapshotInfo']],
    ['DiskSnapshot', 'data', { sizeInGb: 8 }],
  );
  // What is EC2's is in no list of Lightsail's.
  const { diskSnapshots } = await scene.ok('GetDiskSnapshots');
  assert.deepEqual(
    (diskSnapshots as readonly Json[]).map(({ name }) => name),
    ['data-1'],
  );
  assert.equal(await scene.refused('ExportSnapshot', { sourceSnapshotName: 'nothing' }), 'NotFoundException');
});
