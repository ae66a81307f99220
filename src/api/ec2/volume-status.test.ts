import assert from 'node:assert/strict';
import { test } from 'node:test';
import { present } from '#base/assert.ts';
import { parseVolumeId } from '#domain/ids.ts';
import { refusalOf, Scene } from './scene.fake.ts';

const ZONE = { AvailabilityZone: 'us-east-1a' };

async function makeVolume(scene: Scene): Promise<string> {
  return present((await scene.ec2('CreateVolume', { ...ZONE, Size: 1 })).VolumeId, 'a volume has an id');
}

test('a volume that serves is ok, one that failed is impaired until its I/O is enabled', async () => {
  await using scene = await Scene.open();
  const VolumeId = await makeVolume(scene);
  const other = await makeVolume(scene);
  const shown = async () => {
    const { VolumeStatuses: [one] = [] } = await scene.ec2('DescribeVolumeStatus', { VolumeIds: [VolumeId] });
    return present(one, 'it is shown');
  };
  const well = await shown();
  assert.deepEqual(well.VolumeStatus, {
    Status: 'ok',
    Details: [
      { Name: 'io-enabled', Status: 'passed' },
      { Name: 'io-performance', Status: 'not-applicable' },
    ],
  });
  assert.deepEqual([well.Actions, well.Events], [[], []]);
  assert.deepEqual([well.AvailabilityZone, well.AvailabilityZoneId], ['us-east-1a', 'use1-az1']);

  const id = present(parseVolumeId(VolumeId), 'a volume');
  scene.world.host.fail(id);
  const ill = await shown();
  assert.equal(ill.VolumeStatus?.Status, 'impaired');
  assert.equal(ill.Actions?.[0]?.Code, 'enable-volume-io');
  assert.equal(ill.Events?.[0]?.EventType, 'potential-data-inconsistency');
  const filtered = async (Name: string, ...Values: string[]): Promise<readonly (string | undefined)[]> => {
    const { VolumeStatuses = [] } = await scene.ec2('DescribeVolumeStatus', { Filters: [{ Name, Values }] });
    return VolumeStatuses.map((one) => one.VolumeId);
  };
  assert.deepEqual(await filtered('volume-status.status', 'ok'), [other]);
  assert.deepEqual(await filtered('volume-status.details-status', 'failed'), [VolumeId]);
  assert.deepEqual(await filtered('action.code', 'enable-*'), [VolumeId]);
  assert.deepEqual(await filtered('event.event-id', ill.Events?.[0]?.EventId ?? ''), [VolumeId]);
  assert.deepEqual(await filtered('availability-zone', 'us-east-1a'), [VolumeId, other]);

  assert.match(await refusalOf(scene.ec2('EnableVolumeIO', { VolumeId, DryRun: true })), /^DryRunOperation: /);
  assert.equal((await shown()).VolumeStatus?.Status, 'impaired');
  assert.deepEqual(await scene.ec2('EnableVolumeIO', { VolumeId }), {});
  assert.equal((await shown()).VolumeStatus?.Status, 'ok');
  assert.deepEqual(await scene.ec2('EnableVolumeIO', { VolumeId }), {}, 'again is no error');
  assert.match(
    await refusalOf(scene.ec2('EnableVolumeIO', { VolumeId: 'vol-1234abcd' })),
    /^InvalidVolume\.NotFound: /,
  );
  // Its bytes are gone: there is nothing to enable.
  scene.world.host.volumes.delete(id);
  assert.match(await refusalOf(scene.ec2('EnableVolumeIO', { VolumeId })), /^IncorrectState: /);
});

test('a volume that is not open yet has insufficient data', async () => {
  await using scene = await Scene.open();
  const VolumeId = await makeVolume(scene);
  scene.world.host.restart();
  const { VolumeStatuses: [one] = [] } = await scene.ec2('DescribeVolumeStatus', { VolumeIds: [VolumeId] });
  assert.equal(one?.VolumeStatus?.Status, 'insufficient-data');
});

test('statuses come in pages', async () => {
  await using scene = await Scene.open();
  const ids: string[] = [];
  for (let count = 0; count < 6; count += 1) ids.push(await makeVolume(scene));
  const first = await scene.ec2('DescribeVolumeStatus', { MaxResults: 5 });
  const second = await scene.ec2('DescribeVolumeStatus', { MaxResults: 5, NextToken: first.NextToken ?? '' });
  const all = [...(first.VolumeStatuses ?? []), ...(second.VolumeStatuses ?? [])];
  assert.deepEqual(
    all.map((one) => one.VolumeId),
    ids,
  );
  assert.match(
    await refusalOf(scene.ec2('DescribeVolumeStatus', { MaxResults: 5, VolumeIds: ids })),
    /^InvalidParameterCombination: /,
  );
});

test('the attributes of a volume', async () => {
  await using scene = await Scene.open();
  const VolumeId = await makeVolume(scene);
  const read = (Attribute: string) => scene.ec2('DescribeVolumeAttribute', { VolumeId, Attribute });
  assert.deepEqual(await read('autoEnableIO'), { VolumeId, AutoEnableIO: { Value: false } });
  await scene.ec2('ModifyVolumeAttribute', { VolumeId, AutoEnableIO: { Value: true } });
  assert.deepEqual(await read('autoEnableIO'), { VolumeId, AutoEnableIO: { Value: true } });
  assert.deepEqual(await read('productCodes'), { VolumeId, ProductCodes: [] });
  assert.match(await refusalOf(read('size')), /^InvalidParameterValue: /);
  assert.match(await refusalOf(scene.ec2('ModifyVolumeAttribute', { VolumeId })), /^MissingParameter: /);
  assert.match(
    await refusalOf(scene.ec2('ModifyVolumeAttribute', { VolumeId: 'vol-1234abcd', AutoEnableIO: { Value: true } })),
    /^InvalidVolume\.NotFound: /,
  );
});
