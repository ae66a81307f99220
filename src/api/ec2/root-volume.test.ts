import assert from 'node:assert/strict';
import { test } from 'node:test';
import { present } from '#base/assert.ts';
import { startInstances } from '#control/machines/power.ts';
import { refusal } from '#control/request.fake.ts';
import { parseInstanceId } from '#domain/ids.ts';
import { run, stateOf, withImage } from './instances.fixture.ts';
import { refusalOf, Scene, scopeOf } from './scene.fake.ts';

async function deviceOf(scene: Scene, volume: string): Promise<string> {
  const { Volumes: [one] = [] } = await scene.ec2('DescribeVolumes', { VolumeIds: [volume] });
  const attachment = one?.Attachments?.[0];
  return attachment === undefined ? 'none' : `${attachment.InstanceId} ${attachment.Device}`;
}

async function devicesOf(scene: Scene, id: string) {
  const { Reservations: [found] = [] } = await scene.ec2('DescribeInstances', { InstanceIds: [id] });
  const instance = found?.Instances?.[0];
  return {
    root: instance?.RootDeviceName,
    devices: (instance?.BlockDeviceMappings ?? []).map(({ DeviceName, Ebs }) => [DeviceName, Ebs?.VolumeId] as const),
  };
}

test('the root device is called as its image calls it, wherever it is shown, and in an image of the instance', async () => {
  await using scene = await Scene.open();
  const made = await withImage(scene);
  const id = await run(made, { BlockDeviceMappings: [{ DeviceName: '/dev/sdf', Ebs: { VolumeSize: 1 } }] });
  const { root, devices } = await devicesOf(scene, id);
  assert.equal(root, '/dev/sda1');
  assert.deepEqual(
    devices.map(([name]) => name),
    ['/dev/sda1', '/dev/sdf'],
  );
  const volume = devices[0]?.[1] ?? '';
  assert.equal(await deviceOf(scene, volume), `${id} /dev/sda1`);
  const attribute = await scene.ec2('DescribeInstanceAttribute', { InstanceId: id, Attribute: 'rootDeviceName' });
  assert.equal(attribute.RootDeviceName?.Value, '/dev/sda1');
  const filters: readonly (readonly [string, number])[] = [
    ['/dev/sda1', 1],
    ['/dev/xvda', 0],
  ];
  for (const [value, count] of filters) {
    const byRoot = [{ Name: 'root-device-name', Values: [value] }];
    const byDevice = [{ Name: 'attachment.device', Values: [value] }];
    assert.equal((await scene.ec2('DescribeInstances', { Filters: byRoot })).Reservations?.length, count);
    assert.equal((await scene.ec2('DescribeVolumes', { Filters: byDevice })).Volumes?.length, count);
  }
  const BlockDeviceMappings = [{ DeviceName: '/dev/sda1', Ebs: { DeleteOnTermination: false } }];
  await scene.ec2('ModifyInstanceAttribute', { InstanceId: id, BlockDeviceMappings });
  const { ImageId = '' } = await scene.ec2('CreateImage', { InstanceId: id, Name: 'again' });
  await scene.upload();
  const { Images: [image] = [] } = await scene.ec2('DescribeImages', { ImageIds: [ImageId] });
  assert.equal(image?.RootDeviceName, '/dev/sda1');
  assert.deepEqual(
    image.BlockDeviceMappings?.map(({ DeviceName, Ebs }) => [DeviceName, Ebs?.DeleteOnTermination]),
    [
      ['/dev/sda1', false],
      ['/dev/sdf', true],
    ],
  );
});

test('a stopped instance loses its root volume, which another one reads, and starts when it has one again', async () => {
  await using scene = await Scene.open();
  const made = await withImage(scene);
  const [broken, rescue] = [await run(made), await run(made)];
  const root = (await devicesOf(scene, broken)).devices[0]?.[1] ?? '';
  await scene.ec2('AttachVolume', {
    InstanceId: broken,
    VolumeId: (await scene.ec2('CreateVolume', { AvailabilityZone: 'us-east-1a', Size: 1 })).VolumeId ?? '',
    Device: '/dev/sdg',
  });
  await scene.upload();
  await scene.ec2('StopInstances', { InstanceIds: [broken] });
  await scene.upload();
  await scene.ec2('DetachVolume', { VolumeId: root, InstanceId: broken, Device: '/dev/sda1' });
  await scene.upload();
  const bare = await devicesOf(scene, broken);
  assert.deepEqual([bare.root, bare.devices.map(([name]) => name)], ['/dev/sda1', ['/dev/sdg']]);
  const start = () => scene.ec2('StartInstances', { InstanceIds: [broken] });
  assert.match(await refusalOf(start()), /^IncorrectState: .*does not have a volume attached at root \(\/dev\/sda1\)/);
  await scene.ec2('StopInstances', { InstanceIds: [rescue] });
  await scene.upload();
  const both = scene.ec2('StartInstances', { InstanceIds: [rescue, broken] });
  assert.match(await refusalOf(both), /^IncorrectState/);
  // What the request looked at may be otherwise by the deed.
  const scope = scopeOf({});
  const ids = [rescue, broken].map((text) => present(parseInstanceId(text), 'it is an id'));
  await assert.rejects(startInstances(scene.ports, scope, ids, null), refusal({ kind: 'wrong-state' }));
  assert.equal(await stateOf(scene, rescue), 'stopped', 'all or none');
  await scene.ec2('StartInstances', { InstanceIds: [rescue] });
  await scene.upload();
  const image = scene.ec2('CreateImage', { InstanceId: broken, Name: 'headless' });
  assert.match(await refusalOf(image), /^IncorrectState/);

  await scene.ec2('AttachVolume', { InstanceId: rescue, VolumeId: root, Device: '/dev/sdf' });
  await scene.upload();
  assert.equal(await deviceOf(scene, root), `${rescue} /dev/sdf`);
  await scene.ec2('DetachVolume', { VolumeId: root });
  await scene.upload();
  await scene.ec2('AttachVolume', { InstanceId: broken, VolumeId: root, Device: '/dev/xvda' });
  assert.deepEqual(
    (await devicesOf(scene, broken)).devices.map(([name, volume]) => [name, volume === root]),
    [
      ['/dev/sda1', true],
      ['/dev/sdg', false],
    ],
  );
  await start();
  await scene.upload();
  assert.equal(await stateOf(scene, broken), 'running');
  const machines = [...scene.world.machines.byId.values()];
  const booted = machines.find(({ spec }) => spec.disks.length === 2);
  assert.equal(booted?.spec.disks[0]?.volume, root, 'it boots from its root volume');
  // As with AWS: what was attached by hand stays.
  await scene.ec2('TerminateInstances', { InstanceIds: [broken] });
  await scene.upload();
  assert.equal(await deviceOf(scene, root), 'none');
});
