import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { OutputOf } from '#wire/aws/operations.ts';
import { run, stateOf, withImage } from './instances.fixture.ts';
import { refusalOf, Scene } from './scene.fake.ts';

type InstanceShown = NonNullable<
  NonNullable<OutputOf<'ec2', 'DescribeInstances'>['Reservations']>[number]['Instances']
>[number];

async function shown(scene: Scene, id: string): Promise<InstanceShown> {
  const { Reservations: [one] = [] } = await scene.ec2('DescribeInstances', { InstanceIds: [id] });
  const [instance] = one?.Instances ?? [];
  assert.ok(instance !== undefined);
  return instance;
}

test('what a request says of metadata options is kept, shown and changed, and what it does not say stays', async () => {
  await using scene = await Scene.open();
  const made = await withImage(scene);
  const id = await run(made, { MetadataOptions: { HttpTokens: 'required', HttpPutResponseHopLimit: 2 } });
  const first = { State: 'applied', HttpTokens: 'required', HttpPutResponseHopLimit: 2, HttpEndpoint: 'disabled' };
  const none = { HttpProtocolIpv6: 'disabled', InstanceMetadataTags: 'disabled' };
  assert.deepEqual((await shown(scene, id)).MetadataOptions, { ...first, ...none });

  const change = { HttpEndpoint: 'enabled', InstanceMetadataTags: 'enabled' };
  const { InstanceMetadataOptions: answer } = await scene.ec2('ModifyInstanceMetadataOptions', {
    InstanceId: id,
    ...change,
  });
  assert.deepEqual(answer, { ...first, ...none, ...change });
  assert.deepEqual((await shown(scene, id)).MetadataOptions, { ...first, ...none, ...change });
  const found = await scene.ec2('DescribeInstances', {
    Filters: [{ Name: 'metadata-options.http-tokens', Values: ['required'] }],
  });
  assert.equal(found.Reservations?.length, 1);

  const modify = (some: object) => refusalOf(scene.ec2('ModifyInstanceMetadataOptions', { InstanceId: id, ...some }));
  assert.match(await modify({ HttpTokens: 'never' }), /^InvalidParameterValue: .*httpTokens/);
  assert.match(await modify({ HttpPutResponseHopLimit: 65 }), /^InvalidParameterValue/);
  assert.match(await modify({}), /^InvalidParameterCombination/);
  assert.match(await modify({ HttpTokens: 'optional', DryRun: true }), /^DryRunOperation/);
  assert.match(
    await modify({ InstanceId: 'i-0123456789abcdef0', HttpTokens: 'optional' }),
    /^InvalidInstanceID.NotFound/,
  );
});

test('an instance that is to end with its guest does so, and one that is not is stopped', async () => {
  await using scene = await Scene.open();
  const made = await withImage(scene);
  const ending = await run(made, { InstanceInitiatedShutdownBehavior: 'terminate' });
  const staying = await run(made);
  const behavior = async (InstanceId: string): Promise<string | undefined> =>
    (await scene.ec2('DescribeInstanceAttribute', { InstanceId, Attribute: 'instanceInitiatedShutdownBehavior' }))
      .InstanceInitiatedShutdownBehavior?.Value;
  assert.deepEqual([await behavior(ending), await behavior(staying)], ['terminate', 'stop']);
  for (const id of scene.world.machines.byId.keys()) scene.world.hypervisor.shutDown(id);
  await scene.upload();
  assert.deepEqual([await stateOf(scene, ending), await stateOf(scene, staying)], ['terminated', 'stopped']);
  const reason = 'Client.InstanceInitiatedShutdown';
  for (const id of [ending, staying]) assert.equal((await shown(scene, id)).StateReason?.Code, reason);
  const { Volumes: volumes = [] } = await scene.ec2('DescribeVolumes', {});
  const held = volumes.flatMap(({ Attachments = [] }) => Attachments.map(({ InstanceId }) => InstanceId));
  assert.deepEqual(held, [staying], 'the root volume of the other is gone');

  const Value = 'terminate';
  await scene.ec2('ModifyInstanceAttribute', { InstanceId: staying, InstanceInitiatedShutdownBehavior: { Value } });
  assert.equal(await behavior(staying), Value);
  const wrong = { InstanceId: staying, InstanceInitiatedShutdownBehavior: { Value: 'sleep' } };
  assert.match(await refusalOf(scene.ec2('ModifyInstanceAttribute', wrong)), /^InvalidParameterValue/);
});

test('EbsOptimized is shown as it was asked for, and changes while the instance is stopped', async () => {
  await using scene = await Scene.open();
  const made = await withImage(scene);
  const id = await run(made, { EbsOptimized: true });
  assert.equal((await shown(scene, id)).EbsOptimized, true);
  const modify = (Value: boolean) => scene.ec2('ModifyInstanceAttribute', { InstanceId: id, EbsOptimized: { Value } });
  assert.match(await refusalOf(modify(false)), /^IncorrectInstanceState/);
  await scene.ec2('StopInstances', { InstanceIds: [id] });
  await scene.upload();
  await modify(false);
  assert.equal((await shown(scene, id)).EbsOptimized, false);
});

test('what no instance here has is refused, and what every one has may be said', async () => {
  await using scene = await Scene.open();
  const made = await withImage(scene);
  const cases: readonly (readonly [Parameters<typeof run>[1], string])[] = [
    [{ LaunchTemplate: { LaunchTemplateName: 'web' } }, 'LaunchTemplate'],
    [{ MaintenanceOptions: { AutoRecovery: 'disabled' } }, 'MaintenanceOptions.AutoRecovery'],
    [{ PrivateDnsNameOptions: { HostnameType: 'resource-name' } }, 'PrivateDnsNameOptions.HostnameType'],
    [{ EnablePrimaryIpv6: true }, 'EnablePrimaryIpv6'],
    [{ NetworkInterfaces: [{ DeviceIndex: 0 }, { DeviceIndex: 1 }] }, 'NetworkInterface.2'],
    [{ NetworkInterfaces: [{ AssociatePublicIpAddress: false }] }, 'NetworkInterface.AssociatePublicIpAddress'],
    [{ NetworkInterfaces: [{ SecondaryPrivateIpAddressCount: 1 }] }, 'SecondaryPrivateIpAddressCount'],
  ];
  for (const [some, parameter] of cases) {
    assert.match(await refusalOf(run(made, some)), new RegExp(`^UnsupportedOperation: .*${parameter}`));
  }
  await run(made, {
    MaintenanceOptions: { AutoRecovery: 'default' },
    CapacityReservationSpecification: { CapacityReservationPreference: 'open' },
    PrivateDnsNameOptions: { HostnameType: 'ip-name', EnableResourceNameDnsARecord: false },
    NetworkInterfaces: [{ DeviceIndex: 0, AssociatePublicIpAddress: true, DeleteOnTermination: true }],
    Monitoring: { Enabled: false },
  });
});
