import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { requireTools } from '../clients.ts';
import { RunningServer } from '../running-server.ts';

// Copies between regions and exports to EC2, of a disk's snapshot, with the real `aws`: what needs no machine.

interface Operation {
  readonly resourceName: string;
  readonly resourceType: string;
  readonly operationType: string;
  readonly operationDetails: string;
  readonly location: { readonly availabilityZone: string; readonly regionName: string };
  readonly status: string;
}

interface Answer {
  readonly operations: readonly Operation[];
}

/** Asks until the answer is as it should be. */
async function until<T>(ask: () => Promise<T>, isSo: (answer: T) => boolean): Promise<T> {
  const endMs = systemClock.nowMs() + 60_000;
  for (;;) {
    const answer = await ask();
    if (isSo(answer)) return answer;
    assert.ok(systemClock.nowMs() < endMs, JSON.stringify(answer));
    await systemClock.sleep(100);
  }
}

test('a disk snapshot is copied to another region, and exported to EC2, by the real aws', async (t) => {
  if (!requireTools(t, ['aws'])) return;
  await using server = await RunningServer.start();
  const lightsail = async <T>(region: string, ...words: readonly string[]): Promise<T> =>
    (await server.awsJson(['lightsail', ...words, '--region', region])) as T;
  const zone = ['--availability-zone', 'us-west-2a', '--size-in-gb', '8'];
  await lightsail('us-west-2', 'create-disk', '--disk-name', 'data', ...zone);
  await lightsail('us-west-2', 'create-disk-snapshot', '--disk-name', 'data', '--disk-snapshot-name', 'data-1');
  interface Shown {
    readonly diskSnapshot: { readonly state: string; readonly fromDiskName: string; readonly sizeInGb: number };
  }
  const shown = (region: string, name: string): Promise<Shown> =>
    lightsail(region, 'get-disk-snapshot', '--disk-snapshot-name', name);
  const isComplete = ({ diskSnapshot }: Shown): boolean => diskSnapshot.state === 'completed';
  await until(() => shown('us-west-2', 'data-1'), isComplete);

  const source = ['--source-snapshot-name', 'data-1', '--source-region', 'us-west-2'];
  const target = ['--target-snapshot-name', 'data-copy'];
  const copied = await lightsail<Answer>('us-east-1', 'copy-snapshot', ...source, ...target);
  assert.deepEqual(
    copied.operations.map((one) => [
      one.resourceName,
      one.resourceType,
      one.operationType,
      one.operationDetails,
      one.location.regionName,
      one.status,
    ]),
    [['data-copy', 'DiskSnapshot', 'CopySnapshot', 'us-west-2:data-1', 'us-east-1', 'Started']],
  );
  const { diskSnapshot } = await until(() => shown('us-east-1', 'data-copy'), isComplete);
  assert.deepEqual([diskSnapshot.fromDiskName, diskSnapshot.sizeInGb], ['data', 8]);

  const exported = await lightsail<Answer>('us-east-1', 'export-snapshot', '--source-snapshot-name', 'data-copy');
  assert.deepEqual(
    exported.operations.map(({ resourceType, operationDetails }) => [resourceType, operationDetails]),
    [['ExportSnapshotRecord', 'data-copy']],
  );
  interface Records {
    readonly exportSnapshotRecords: readonly {
      readonly name: string;
      readonly state: string;
      readonly sourceInfo: { readonly name: string; readonly diskSnapshotInfo: { readonly sizeInGb: number } };
      readonly destinationInfo: { readonly id: string; readonly service: string };
    }[];
  }
  const listed = await until(
    () => lightsail<Records>('us-east-1', 'get-export-snapshot-records'),
    ({ exportSnapshotRecords: [first] }) => first?.state === 'Succeeded',
  );
  const record = listed.exportSnapshotRecords[0] ?? assert.fail('there is a record');
  assert.equal(record.name, exported.operations[0]?.resourceName);
  assert.deepEqual(
    [record.sourceInfo.name, record.sourceInfo.diskSnapshotInfo, record.destinationInfo.service],
    ['data-copy', { sizeInGb: 8 }, 'Aws::EC2::Snapshot'],
  );
  const ids = ['--snapshot-ids', record.destinationInfo.id, '--region', 'us-east-1'];
  const described = (await server.awsJson(['ec2', 'describe-snapshots', ...ids])) as {
    readonly Snapshots: readonly { readonly State: string; readonly VolumeSize: number }[];
  };
  assert.deepEqual(
    described.Snapshots.map(({ State, VolumeSize }) => [State, VolumeSize]),
    [['completed', 8]],
  );
});
