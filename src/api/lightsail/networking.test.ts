import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, instance, openScene } from './instances.fixture.ts';
import type { Json, Scene } from './scene.fake.ts';

function operationOf(body: Json): Json {
  const [first] = (body['operations'] as readonly Json[] | undefined) ?? [body['operation'] as Json];
  assert.ok(first !== undefined);
  return first;
}

/** As the reference pages show them: both sides of what is done, each with the other as its details. */
function summaries(body: Json): readonly unknown[] {
  return (body['operations'] as readonly Json[]).map((one) => [
    one['operationType'],
    one['resourceType'],
    one['resourceName'],
    (one['location'] as Json)['availabilityZone'],
    one['operationDetails'],
    one['status'],
  ]);
}

async function portsOf(scene: Scene, name: string): Promise<readonly Json[]> {
  return (await scene.ok('GetInstancePortStates', { instanceName: name }))['portStates'] as readonly Json[];
}

function words(ports: readonly Json[]): readonly string[] {
  return ports.map((port) => `${String(port['protocol'])} ${String(port['fromPort'])}-${String(port['toPort'])}`);
}

const EVERYBODY = { cidrs: ['0.0.0.0/0'], ipv6Cidrs: ['::/0'], cidrListAliases: [] };

test('ports of an instance: opened, put and closed, and read back as they were said', async () => {
  await using scene = await openScene();
  await create(scene, ['web-1']);
  await scene.world.settle();
  assert.deepEqual(words(await portsOf(scene, 'web-1')), ['tcp 22-22', 'tcp 80-80']);
  const https = { fromPort: 443, toPort: 443, protocol: 'tcp' };
  const opened = operationOf(await scene.ok('OpenInstancePublicPorts', { instanceName: 'web-1', portInfo: https }));
  assert.deepEqual(
    [opened['operationType'], opened['status'], opened['isTerminal'], opened['operationDetails']],
    ['OpenInstancePublicPorts', 'Succeeded', true, '443/tcp'],
  );
  assert.deepEqual((await portsOf(scene, 'web-1'))[2], { ...https, ...EVERYBODY, state: 'open' });

  // What Terraform puts it reads: its second plan is empty.
  const wanted = [
    { fromPort: 22, toPort: 22, protocol: 'tcp', cidrs: ['10.0.0.0/8'], cidrListAliases: ['lightsail-connect'] },
    { fromPort: 8000, toPort: 8010, protocol: 'tcp' },
    { fromPort: 8, toPort: -1, protocol: 'icmp', cidrs: ['192.0.2.0/24'], ipv6Cidrs: [] },
    { fromPort: 0, toPort: 65_535, protocol: 'all', ipv6Cidrs: ['2001:db8::/32'] },
  ];
  const put = operationOf(await scene.ok('PutInstancePublicPorts', { instanceName: 'web-1', portInfos: wanted }));
  assert.equal(put['status'], 'Succeeded');
  assert.equal(put['operationDetails'], '22/tcp, 8000-8010/tcp, 8--1/icmp, 0-65535/all');
  const none = { cidrs: [], ipv6Cidrs: [], cidrListAliases: [] };
  assert.deepEqual(await portsOf(scene, 'web-1'), [
    { ...none, ...wanted[0], state: 'open' },
    { ...EVERYBODY, ...wanted[1], state: 'open' },
    { ...none, ...wanted[2], state: 'open' },
    { ...none, ...wanted[3], state: 'open' },
  ]);
  const { networking } = await instance(scene, 'web-1');
  const shown = (networking as { readonly ports: readonly Json[] }).ports;
  assert.deepEqual(
    shown.map(({ accessFrom, accessType }) => [accessFrom, accessType]),
    [
      ['Custom', 'Private'],
      ['Anywhere (0.0.0.0/0 and ::/0)', 'Public'],
      ['Custom', 'Private'],
      ['Custom', 'Private'],
    ],
  );
  const part = { instanceName: 'web-1', portInfo: { fromPort: 8005, toPort: 8005, protocol: 'tcp' } };
  assert.equal(await scene.refused('CloseInstancePublicPorts', part), 'InvalidInputException');
  const whole = { instanceName: 'web-1', portInfo: { fromPort: 8000, toPort: 8010, protocol: 'tcp' } };
  assert.equal(operationOf(await scene.ok('CloseInstancePublicPorts', whole))['status'], 'Succeeded');
  assert.equal((await portsOf(scene, 'web-1')).length, 3);

  const wrong = { instanceName: 'web-1', portInfo: { fromPort: 90, toPort: 80, protocol: 'tcp' } };
  assert.equal(await scene.refused('OpenInstancePublicPorts', wrong), 'InvalidInputException');
  const unnamed = { instanceName: 'web-1', portInfo: { fromPort: 90, toPort: 91 } };
  assert.equal(await scene.refused('OpenInstancePublicPorts', unnamed), 'InvalidInputException');
  assert.equal(await scene.refused('GetInstancePortStates', { instanceName: 'web-2' }), 'NotFoundException');
});

test('a static IP is there when the call returns, and so is its instance', async () => {
  await using scene = await openScene();
  await create(scene, ['web-1']);
  await scene.world.settle();
  const allocated = operationOf(await scene.ok('AllocateStaticIp', { staticIpName: 'front' }));
  assert.deepEqual(
    [allocated['operationType'], allocated['status'], allocated['resourceType'], allocated['resourceName']],
    ['AllocateStaticIp', 'Succeeded', 'StaticIp', 'front'],
  );
  const before = (await scene.ok('GetStaticIp', { staticIpName: 'front' }))['staticIp'] as Json;
  assert.match(String(before['arn']), /^arn:aws:lightsail:us-east-1:\d{12}:StaticIp\/[0-9a-f-]{36}$/);
  assert.deepEqual([before['isAttached'], before['attachedTo']], [false, undefined]);
  assert.equal(await scene.refused('AllocateStaticIp', { staticIpName: 'web-1' }), 'InvalidInputException');

  const attaching = await scene.ok('AttachStaticIp', { staticIpName: 'front', instanceName: 'web-1' });
  assert.deepEqual(summaries(attaching), [
    ['AttachStaticIp', 'StaticIp', 'front', 'all', 'web-1', 'Succeeded'],
    ['AttachStaticIp', 'Instance', 'web-1', 'us-east-1a', 'front', 'Succeeded'],
  ]);
  const { staticIps } = await scene.ok('GetStaticIps');
  const [attached] = staticIps as readonly Json[];
  assert.deepEqual([attached?.['isAttached'], attached?.['attachedTo']], [true, 'web-1']);
  const web = await instance(scene, 'web-1');
  assert.deepEqual([web['isStaticIp'], web['publicIpAddress']], [true, before['ipAddress']]);
  assert.equal(await scene.refused('ReleaseStaticIp', { staticIpName: 'front' }), 'OperationFailureException');

  assert.deepEqual(summaries(await scene.ok('DetachStaticIp', { staticIpName: 'front' })), [
    ['DetachStaticIp', 'StaticIp', 'front', 'all', 'web-1', 'Succeeded'],
    ['DetachStaticIp', 'Instance', 'web-1', 'us-east-1a', 'front', 'Succeeded'],
  ]);
  const nobodys = summaries(await scene.ok('DetachStaticIp', { staticIpName: 'front' }));
  assert.deepEqual(nobodys, [['DetachStaticIp', 'StaticIp', 'front', 'all', undefined, 'Succeeded']]);
  const loose = await instance(scene, 'web-1');
  assert.equal(loose['isStaticIp'], false);
  assert.notEqual(loose['publicIpAddress'], before['ipAddress']);

  // An address has no tags, with AWS neither: it is there, so it is not said that it is not.
  const tags = [{ key: 'k', value: 'v' }];
  assert.equal(await scene.refused('TagResource', { resourceName: 'front', tags }), 'InvalidInputException');

  // Sent twice, as by a client whose connection broke: the second answers what the first did.
  const call = { invocationId: 'release-1' };
  const released = operationOf(await scene.ok('ReleaseStaticIp', { staticIpName: 'front' }, call));
  const again = operationOf(await scene.ok('ReleaseStaticIp', { staticIpName: 'front' }, call));
  assert.equal(again['id'], released['id']);
  assert.equal(await scene.refused('GetStaticIp', { staticIpName: 'front' }), 'NotFoundException');
  const key = await scene.newKey();
  assert.equal(
    await scene.refused('AttachStaticIp', { staticIpName: 'front', instanceName: 'web-1' }, { key }),
    'NotFoundException',
  );
});

test('the type of addresses and metadata options are kept, and known host keys forgotten', async () => {
  await using scene = await openScene();
  await create(scene, ['web-1']);
  await scene.world.settle();
  const type = { resourceType: 'Instance', resourceName: 'web-1', ipAddressType: 'ipv4' };
  assert.equal(operationOf(await scene.ok('SetIpAddressType', type))['status'], 'Succeeded');
  const options = { instanceName: 'web-1', httpTokens: 'required', httpPutResponseHopLimit: 2 };
  assert.equal(operationOf(await scene.ok('UpdateInstanceMetadataOptions', options))['status'], 'Succeeded');
  const web = await instance(scene, 'web-1');
  assert.equal(web['ipAddressType'], 'ipv4');
  assert.deepEqual(web['metadataOptions'], {
    state: 'applied',
    httpTokens: 'required',
    httpEndpoint: 'disabled',
    httpPutResponseHopLimit: 2,
    httpProtocolIpv6: 'disabled',
  });
  assert.equal(operationOf(await scene.ok('DeleteKnownHostKeys', { instanceName: 'web-1' }))['status'], 'Succeeded');
  const absent = { ...type, resourceType: 'LoadBalancer' };
  assert.equal(await scene.refused('SetIpAddressType', absent), 'NotFoundException');
});

test('what an instance used is read by period and statistics', async () => {
  await using scene = await openScene();
  await create(scene, ['web-1']);
  await scene.world.settle();
  const { world } = scene;
  const [id] = [...world.machines.byId.keys()];
  assert.ok(id !== undefined);
  const startMs = world.clock.nowMs();
  for (let minute = 0; minute < 25; minute += 1) {
    await world.control.run('measure-machines');
    await world.clock.advance(60_000);
    const { usage } = world.hypervisor.guest(id);
    // A bundle of the size has two processors, of which one is half used.
    world.hypervisor.guest(id).usage = {
      cpuSeconds: usage.cpuSeconds + 30,
      receivedBytes: (usage.receivedBytes ?? 0) + 1000,
      sentBytes: null,
    };
  }
  await world.control.run('measure-machines');
  const cpus = Number(((await instance(scene, 'web-1'))['hardware'] as Json)['cpuCount']);
  const request = {
    instanceName: 'web-1',
    period: 3600,
    startTime: startMs / 1000 - 3600,
    endTime: world.clock.nowMs() / 1000 + 60,
    statistics: ['Average', 'Sum', 'SampleCount'],
  };
  const cpu = await scene.ok('GetInstanceMetricData', { ...request, metricName: 'CPUUtilization', unit: 'Percent' });
  assert.equal(cpu['metricName'], 'CPUUtilization');
  const points = cpu['metricData'] as readonly Json[];
  assert.ok(points.length > 0);
  for (const point of points) {
    assert.equal(point['average'], 50 / cpus);
    assert.deepEqual(Object.keys(point).toSorted(), ['average', 'sampleCount', 'sum', 'timestamp', 'unit']);
  }
  const network = await scene.ok('GetInstanceMetricData', { ...request, metricName: 'NetworkIn', unit: 'Bytes' });
  const bytes = (network['metricData'] as readonly Json[]).map(({ sum }) => Number(sum)).reduce((a, b) => a + b, 0);
  assert.ok(bytes >= 15_000 && bytes <= 25_000, `${bytes} bytes`);
  for (const nothing of [
    { metricName: 'NetworkOut', unit: 'Bytes' },
    { metricName: 'BurstCapacityPercentage', unit: 'Percent' },
    { metricName: 'CPUUtilization', unit: 'Bytes' },
  ]) {
    assert.deepEqual((await scene.ok('GetInstanceMetricData', { ...request, ...nothing }))['metricData'], []);
  }
  const metric = { metricName: 'CPUUtilization', unit: 'Percent' };
  const backwards = { ...request, ...metric, startTime: request.endTime, endTime: request.startTime };
  assert.equal(await scene.refused('GetInstanceMetricData', backwards), 'InvalidInputException');
  const odd = { ...request, ...metric, period: 90 };
  assert.equal(await scene.refused('GetInstanceMetricData', odd), 'InvalidInputException');
});

test('alarms and contact methods, as clients see them', async () => {
  await using scene = await openScene();
  await create(scene, ['web-1']);
  await scene.world.settle();
  const alarm = {
    alarmName: 'hot',
    metricName: 'CPUUtilization',
    monitoredResourceName: 'web-1',
    comparisonOperator: 'GreaterThanThreshold',
    threshold: 50,
    evaluationPeriods: 2,
  };
  assert.equal(operationOf(await scene.ok('PutAlarm', alarm))['resourceType'], 'Alarm');
  const { alarms } = await scene.ok('GetAlarms', { monitoredResourceName: 'web-1' });
  const [found] = alarms as readonly Json[];
  const { createdAt, arn, supportCode, location, monitoredResourceInfo, ...rest } = found ?? {};
  assert.match(String(arn), /:Alarm\//);
  assert.equal((monitoredResourceInfo as Json)['name'], 'web-1');
  assert.ok(createdAt !== undefined && supportCode !== undefined && location !== undefined);
  assert.deepEqual(rest, {
    name: 'hot',
    resourceType: 'Alarm',
    metricName: 'CPUUtilization',
    comparisonOperator: 'GreaterThanThreshold',
    threshold: 50,
    evaluationPeriods: 2,
    datapointsToAlarm: 2,
    treatMissingData: 'missing',
    period: 300,
    statistic: 'Average',
    unit: 'Percent',
    state: 'INSUFFICIENT_DATA',
    contactProtocols: [],
    notificationTriggers: ['ALARM'],
    notificationEnabled: true,
    tags: [],
  });
  await scene.ok('TestAlarm', { alarmName: 'hot', state: 'ALARM' });
  assert.equal(((await scene.ok('GetAlarms'))['alarms'] as readonly Json[])[0]?.['state'], 'ALARM');
  const burst = { ...alarm, metricName: 'BurstCapacityTime' };
  assert.equal(await scene.refused('PutAlarm', burst), 'OperationFailureException');
  assert.equal(await scene.refused('PutAlarm', { ...alarm, monitoredResourceName: 'web-2' }), 'NotFoundException');
  const tagged = await scene.ok('TagResource', { resourceName: 'hot', tags: [{ key: 'a', value: 'b' }, { key: 'c' }] });
  assert.equal(operationOf(tagged)['resourceType'], 'Alarm');
  await scene.ok('UntagResource', { resourceName: 'hot', resourceArn: arn, tagKeys: ['c'] });
  const [alarmTagged] = (await scene.ok('GetAlarms'))['alarms'] as readonly Json[];
  assert.deepEqual(alarmTagged?.['tags'], [{ key: 'a', value: 'b' }]);
  await scene.ok('DeleteAlarm', { alarmName: 'hot' });
  assert.equal(await scene.refused('DeleteAlarm', { alarmName: 'hot' }), 'NotFoundException');

  const contact = { protocol: 'Email', contactEndpoint: 'ops@example.com' };
  const made = operationOf(await scene.ok('CreateContactMethod', contact));
  // Nobody is to wait for a message.
  assert.match(String(made['operationDetails']), /sends no messages/);
  assert.equal(await scene.refused('CreateContactMethod', contact), 'OperationFailureException');
  const sms = { protocol: 'SMS', contactEndpoint: '555' };
  assert.equal(await scene.refused('CreateContactMethod', sms), 'InvalidInputException');
  await scene.ok('SendContactMethodVerification', { protocol: 'Email' });
  const team = await scene.ok('TagResource', { resourceName: 'Email', tags: [{ key: 'team', value: 'ops' }] });
  assert.equal(operationOf(team)['resourceType'], 'ContactMethod');
  const methods = (await scene.ok('GetContactMethods'))['contactMethods'] as readonly Json[];
  assert.deepEqual(
    methods.map(({ protocol, contactEndpoint, status, tags }) => [protocol, contactEndpoint, status, tags]),
    [['Email', 'ops@example.com', 'PendingVerification', [{ key: 'team', value: 'ops' }]]],
  );
  assert.deepEqual((await scene.ok('GetContactMethods', { protocols: ['SMS'] }))['contactMethods'], []);
  await scene.ok('DeleteContactMethod', { protocol: 'Email' });
  assert.equal(await scene.refused('SendContactMethodVerification', { protocol: 'Email' }), 'NotFoundException');
});
