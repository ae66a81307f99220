import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { InputOf, OperationName } from '#wire/aws/operations.ts';
import { run, withImage } from './instances.fixture.ts';
import { refusalOf, Scene } from './scene.fake.ts';

test('of what this server has not there is none, and what is named does not exist', async () => {
  await using scene = await Scene.open();
  assert.deepEqual(await scene.ec2('DescribeAddresses', {}), { Addresses: [] });
  assert.deepEqual(await scene.ec2('DescribeLaunchTemplates', {}), { LaunchTemplates: [] });
  assert.deepEqual(await scene.ec2('DescribeLaunchTemplateVersions', { Versions: ['$Latest'] }), {
    LaunchTemplateVersions: [],
  });
  assert.deepEqual(await scene.ec2('DescribeRouteTables', {}), { RouteTables: [] });
  assert.deepEqual(await scene.ec2('DescribeInternetGateways', {}), { InternetGateways: [] });
  assert.deepEqual(await scene.ec2('DescribeExportTasks', {}), { ExportTasks: [] });
  assert.deepEqual(await scene.ec2('DescribeConversionTasks', {}), { ConversionTasks: [] });
  assert.match(await refusalOf(scene.ec2('DescribeAddresses', { DryRun: true })), /^DryRunOperation/);
  const refused = async <O extends OperationName<'ec2'>>(operation: O, input: InputOf<'ec2', O>, code: RegExp) =>
    assert.match(await refusalOf(scene.ec2(operation, input)), code);
  await refused('DescribeAddresses', { PublicIps: ['192.0.2.1'] }, /^InvalidAddress.NotFound: .*192\.0\.2\.1/);
  await refused('DescribeAddresses', { AllocationIds: ['eipalloc-1'] }, /^InvalidAllocationID.NotFound/);
  await refused('DescribeLaunchTemplates', { LaunchTemplateIds: ['lt-1'] }, /^InvalidLaunchTemplateId.NotFound/);
  await refused(
    'DescribeLaunchTemplateVersions',
    { LaunchTemplateName: 'web' },
    /^InvalidLaunchTemplateName.NotFoundException/,
  );
  await refused('DescribeRouteTables', { RouteTableIds: ['rtb-1'] }, /^InvalidRouteTableID.NotFound/);
});

test('what is true of every instance, network and type is answered', async () => {
  await using scene = await Scene.open();
  const id = await run(await withImage(scene));
  const { InstanceMonitorings: monitored } = await scene.ec2('UnmonitorInstances', { InstanceIds: [id] });
  assert.deepEqual(monitored, [{ InstanceId: id, Monitoring: { State: 'disabled' } }]);
  assert.equal((await scene.ec2('GetPasswordData', { InstanceId: id })).PasswordData, '');
  const { Vpcs: [vpc] = [] } = await scene.ec2('DescribeVpcs', {});
  const VpcId = vpc?.VpcId ?? '';
  const support = await scene.ec2('DescribeVpcAttribute', { VpcId, Attribute: 'enableDnsSupport' });
  assert.deepEqual(support, { VpcId, EnableDnsSupport: { Value: true } });
  const other = scene.ec2('DescribeVpcAttribute', { VpcId: 'vpc-1', Attribute: 'enableDnsSupport' });
  assert.match(await refusalOf(other), /^InvalidVpcID.NotFound/);

  const Filters = [{ Name: 'instance-type', Values: ['t3.micro'] }];
  const here = await scene.ec2('DescribeInstanceTypeOfferings', { Filters });
  const region = { InstanceType: 't3.micro', LocationType: 'region', Location: 'us-east-1' };
  assert.deepEqual(here.InstanceTypeOfferings, [region]);
  const zones = await scene.ec2('DescribeInstanceTypeOfferings', { Filters, LocationType: 'availability-zone' });
  assert.equal(zones.InstanceTypeOfferings?.length, 6);
  const wrong = scene.ec2('DescribeInstanceTypeOfferings', { LocationType: 'moon' });
  assert.match(await refusalOf(wrong), /^InvalidParameterValue/);

  const formats = await scene.ec2('DescribeIdFormat', { Resource: 'volume' });
  assert.deepEqual(formats, { Statuses: [{ Resource: 'volume', UseLongIds: true }] });
});
