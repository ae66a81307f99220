import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AwsRefusal } from '#api/aws-error.ts';
import type { CallContext } from '#api/handler.ts';
import { present } from '#base/assert.ts';
import { parseAccountId, regionName } from '#domain/ids.ts';
import { REGIONS, zonesOf } from '#domain/region.ts';
import { describeAccountAttributes } from './account-attributes.ts';
import { vpcIdOf } from './instance-network.ts';
import { describeAvailabilityZones, describeRegions } from './regions.ts';

/** These three answer from the catalogue: they need no ports. */
function contextIn(region: string): CallContext {
  const scope = { account: present(parseAccountId('012345678910'), 'an account'), region: regionName(region) };
  return { scope } as CallContext;
}

const context = contextIn('us-east-1');

async function codeOf(answer: Promise<unknown>): Promise<string> {
  try {
    await answer;
    return 'answered';
  } catch (error) {
    assert.ok(error instanceof AwsRefusal);
    return `${error.error.code}: ${error.error.message}`;
  }
}

test('DescribeRegions shows every region as open, with its endpoint', async () => {
  const { Regions: regions = [] } = await describeRegions(context, {});
  assert.equal(regions.length, REGIONS.length);
  assert.deepEqual(
    regions.find((region) => region.RegionName === 'us-east-1'),
    { OptInStatus: 'opt-in-not-required', RegionName: 'us-east-1', Endpoint: 'ec2.us-east-1.amazonaws.com' },
  );
  assert.equal(regions.find((region) => region.RegionName === 'af-south-1')?.OptInStatus, 'opted-in');
});

test('DescribeRegions takes names and filters together', async () => {
  const named = await describeRegions(context, { RegionNames: ['us-east-1', 'eu-west-1'] });
  assert.deepEqual(
    named.Regions?.map((region) => region.RegionName),
    ['eu-west-1', 'us-east-1'],
  );
  const filtered = await describeRegions(context, {
    RegionNames: ['us-east-1', 'eu-west-1'],
    Filters: [{ Name: 'region-name', Values: ['us-*'] }],
  });
  assert.deepEqual(
    filtered.Regions?.map((region) => region.RegionName),
    ['us-east-1'],
  );
  const byEndpoint = await describeRegions(context, {
    Filters: [{ Name: 'endpoint', Values: ['ec2.eu-west-?.amazonaws.com'] }],
  });
  assert.equal(byEndpoint.Regions?.length, 3);
});

test('DescribeRegions refuses a region that does not exist', async () => {
  assert.equal(
    await codeOf(describeRegions(context, { RegionNames: ['us-east-1', 'mars-1'] })),
    'InvalidParameterValue: Invalid region: [mars-1]',
  );
});

test('DescribeAvailabilityZones shows the zones of the region of the signature', async () => {
  const { AvailabilityZones: zones = [] } = await describeAvailabilityZones(contextIn('eu-west-1'), {});
  assert.deepEqual(
    zones.map((zone) => zone.ZoneName),
    ['eu-west-1a', 'eu-west-1b', 'eu-west-1c'],
  );
  assert.deepEqual(zones[0], {
    OptInStatus: 'opt-in-not-required',
    Messages: [],
    RegionName: 'eu-west-1',
    ZoneName: 'eu-west-1a',
    ZoneId: 'euw1-az3',
    GroupName: 'eu-west-1-zg-1',
    NetworkBorderGroup: 'eu-west-1',
    ZoneType: 'availability-zone',
    GroupLongName: 'Europe (Ireland) 1',
    State: 'available',
  });
});

test('DescribeAvailabilityZones takes names, ids and filters, and refuses what the region does not have', async () => {
  const names = async (request: Parameters<typeof describeAvailabilityZones>[1]): Promise<unknown> =>
    (await describeAvailabilityZones(context, request)).AvailabilityZones?.map((zone) => zone.ZoneName);
  assert.deepEqual(await names({ ZoneNames: ['us-east-1b'] }), ['us-east-1b']);
  assert.deepEqual(await names({ ZoneIds: ['use1-az1'] }), ['us-east-1a']);
  assert.deepEqual(await names({ ZoneNames: ['us-east-1b'], ZoneIds: ['use1-az1'] }), []);
  assert.deepEqual(await names({ Filters: [{ Name: 'zone-name', Values: ['*a'] }] }), ['us-east-1a']);
  assert.deepEqual(await names({ Filters: [{ Name: 'zone-type', Values: ['local-zone'] }] }), []);
  for (const Name of [
    'state',
    'region-name',
    'group-name',
    'group-long-name',
    'opt-in-status',
    'zone-id',
    'zone-type',
  ]) {
    assert.deepEqual(
      await names({ Filters: [{ Name, Values: ['*'] }] }),
      zonesOf(context.scope.region).map((zone) => zone.name),
      Name,
    );
  }
  for (const Name of ['message', 'parent-zone-id', 'parent-zone-name']) {
    assert.deepEqual(await names({ Filters: [{ Name, Values: ['*'] }] }), [], Name);
  }
  assert.equal(
    await codeOf(describeAvailabilityZones(context, { ZoneNames: ['us-east-1z', 'eu-west-1a'] })),
    'InvalidParameterValue: Invalid availability zone: [us-east-1z, eu-west-1a]',
  );
  assert.match(
    await codeOf(describeAvailabilityZones(context, { ZoneNames: ['US-EAST-1A'] })),
    /^InvalidParameterValue/,
  );
});

test('DescribeAccountAttributes shows all or the named ones', async () => {
  const all = await describeAccountAttributes(context, {});
  assert.equal(all.AccountAttributes?.length, 6);
  assert.deepEqual(
    await describeAccountAttributes(context, { AttributeNames: ['supported-platforms', 'default-vpc'] }),
    {
      AccountAttributes: [
        { AttributeName: 'supported-platforms', AttributeValues: [{ AttributeValue: 'VPC' }] },
        { AttributeName: 'default-vpc', AttributeValues: [{ AttributeValue: vpcIdOf(context.scope) }] },
      ],
    },
  );
  assert.match(
    await codeOf(describeAccountAttributes(context, { AttributeNames: ['constructor'] })),
    /^InvalidParameterValue: Value \(constructor\)/,
  );
});

test('a dry run ends after the checks and before the answer', async () => {
  assert.match(await codeOf(describeRegions(context, { DryRun: true })), /^DryRunOperation: /);
  assert.match(await codeOf(describeAvailabilityZones(context, { DryRun: true })), /^DryRunOperation: /);
  assert.match(await codeOf(describeAccountAttributes(context, { DryRun: true })), /^DryRunOperation: /);
  const wrong = { DryRun: true, Filters: [{ Name: 'x', Values: ['y'] }] };
  assert.match(await codeOf(describeRegions(context, wrong)), /^InvalidParameterValue: /);
});
