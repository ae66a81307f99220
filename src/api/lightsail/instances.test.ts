import assert from 'node:assert/strict';
import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { parsePublicKey, publicKeyLine, sshPublicKey } from '#domain/ssh-key.ts';
import { FAKE_WITHOUT_QEMU } from '#machine/hypervisor.fake.ts';
import { create, instance, MACHINE, openScene } from './instances.fixture.ts';
import type { Json, Scene } from './scene.fake.ts';

async function disk(scene: Scene, name: string): Promise<Json> {
  return (await scene.ok('GetDisk', { diskName: name }))['disk'] as Json;
}

/** How an operation of a reply has ended. */
async function ended(scene: Scene, operation: Json | undefined): Promise<unknown> {
  const { operation: found } = await scene.ok('GetOperation', { operationId: operation?.['id'] });
  const { status, isTerminal } = found as Json;
  assert.equal(isTerminal, status !== 'Started');
  return status;
}

function summary({ operationType, resourceName, resourceType, operationDetails, status, isTerminal, location }: Json) {
  const { availabilityZone } = location as Json;
  return [operationType, resourceType, resourceName, operationDetails ?? null, status, isTerminal, availabilityZone];
}

test('GetBundles and GetBlueprints list what there is, and all bundles when the inactive are asked for', async () => {
  await using scene = await openScene();
  const bundles = (await scene.ok('GetBundles'))['bundles'] as readonly Json[];
  const all = (await scene.ok('GetBundles', { includeInactive: true }))['bundles'] as readonly Json[];
  assert.deepEqual(
    bundles.find(({ bundleId }) => bundleId === 'nano_3_0'),
    {
      bundleId: 'nano_3_0',
      name: 'Nano',
      instanceType: 'nano',
      isActive: true,
      price: 5,
      cpuCount: 2,
      ramSizeInGb: 0.5,
      diskSizeInGb: 20,
      transferPerMonthInGb: 1024,
      power: 300,
      supportedPlatforms: ['LINUX_UNIX'],
      publicIpv4AddressCount: 1,
    },
  );
  assert.ok(bundles.every(({ isActive }) => isActive === true));
  const old = all.find(({ bundleId }) => bundleId === 'micro_1_0');
  assert.deepEqual([old?.['isActive'], old?.['diskSizeInGb']], [false, 30]);
  assert.equal(new Set(all.map(({ bundleId }) => bundleId)).size, all.length);
  assert.deepEqual((await scene.ok('GetBlueprints'))['blueprints'], [
    {
      blueprintId: 'tiny',
      name: 'Tiny',
      group: 'tiny',
      type: 'os',
      description: 'A small one',
      isActive: true,
      minPower: 0,
      version: '1.2',
      versionCode: '1',
      platform: 'LINUX_UNIX',
    },
  ]);
  assert.deepEqual((await scene.ok('GetBlueprints', { appCategory: 'LfR' }))['blueprints'], []);
});

test('CreateInstances answers one started operation for each, which succeeds when the instance runs', async () => {
  await using scene = await openScene();
  const operations = await create(scene, ['web-1', 'web-2'], {
    userData: '#!/bin/sh\necho hé > /marker\n',
    tags: [{ key: 'team', value: 'a' }, { key: 'only' }],
  });
  assert.deepEqual(operations.map(summary), [
    ['CreateInstance', 'Instance', 'web-1', null, 'Started', false, 'us-east-1a'],
    ['CreateInstance', 'Instance', 'web-2', null, 'Started', false, 'us-east-1a'],
  ]);
  assert.deepEqual((await instance(scene, 'web-1'))['state'], { code: 0, name: 'pending' });
  await scene.world.settle();
  for (const operation of operations) assert.equal(await ended(scene, operation), 'Succeeded');
  const web = await instance(scene, 'web-1');
  const { arn, supportCode, createdAt: _, hardware, networking, metadataOptions: __, ...rest } = web;
  assert.match(String(arn), new RegExp(`^arn:aws:lightsail:us-east-1:${scene.key.account}:Instance/[0-9a-f-]{36}$`));
  assert.match(String(supportCode), new RegExp(`^${scene.key.account}/i-[0-9a-f]{17}$`));
  assert.deepEqual(rest, {
    name: 'web-1',
    location: { availabilityZone: 'us-east-1a', regionName: 'us-east-1' },
    resourceType: 'Instance',
    tags: [{ key: 'team', value: 'a' }, { key: 'only' }],
    blueprintId: 'tiny',
    blueprintName: 'Tiny',
    bundleId: 'pico_1_0',
    addOns: [],
    isStaticIp: false,
    publicIpAddress: '127.10.0.1',
    privateIpAddress: '10.0.2.15',
    ipv6Addresses: [],
    ipAddressType: 'dualstack',
    state: { code: 16, name: 'running' },
    username: 'admin',
    sshKeyName: 'LightsailDefaultKeyPair',
  });
  const { cpuCount, ramSizeInGb, disks } = hardware as {
    cpuCount: number;
    ramSizeInGb: number;
    disks: readonly Json[];
  };
  assert.deepEqual([cpuCount, ramSizeInGb], [1, 0.125]);
  assert.deepEqual(
    disks.map(({ path, sizeInGb, isSystemDisk, attachedTo, attachmentState }) => [
      path,
      sizeInGb,
      isSystemDisk,
      attachedTo,
      attachmentState,
    ]),
    [['/dev/xvda', 8, true, 'web-1', 'attached']],
  );
  assert.deepEqual((networking as Json)['monthlyTransfer'], { gbPerMonthAllocated: 512 });
  const { instances } = await scene.ok('GetInstances');
  assert.deepEqual(
    (instances as readonly Json[]).map(({ name }) => name),
    ['web-1', 'web-2'],
  );
  // System disks are not listed: they are the instances'.
  assert.deepEqual((await scene.ok('GetDisks'))['disks'], []);
  assert.deepEqual((await scene.ok('GetActiveNames'))['activeNames'], ['web-1', 'web-2']);
  const [id] = scene.world.machines.byId.keys();
  assert.ok(id !== undefined);
  const seed = scene.world.hypervisor.guest(id).boots[0]?.seed;
  assert.equal(Buffer.from(seed?.userData ?? []).toString(), '#!/bin/sh\necho hé > /marker\n');
});

test('CreateInstances refuses what is wrong in its request', async () => {
  await using scene = await openScene();
  await create(scene, ['web']);
  const wrong: readonly (readonly [Json, string])[] = [
    [{ instanceNames: ['web'] }, 'InvalidInputException'],
    [{ instanceNames: ['a', 'a'] }, 'InvalidInputException'],
    [{ instanceNames: [] }, 'InvalidInputException'],
    [{ instanceNames: ['w b'] }, 'InvalidInputException'],
    [{ blueprintId: 'none' }, 'NotFoundException'],
    [{ bundleId: 'none' }, 'InvalidInputException'],
    [{ availabilityZone: 'US-EAST-1A' }, 'InvalidInputException'],
    [{ keyPairName: 'none' }, 'NotFoundException'],
    [{ tags: [{ key: 'aws:x' }] }, 'InvalidInputException'],
    [{ addOns: [{ addOnType: 'StopInstanceOnIdle' }] }, 'InvalidInputException'],
    [
      { addOns: [{ addOnType: 'AutoSnapshot', autoSnapshotAddOnRequest: { snapshotTimeOfDay: '06:30' } }] },
      'InvalidInputException',
    ],
  ];
  for (const [some, code] of wrong) {
    assert.equal(
      await scene.refused('CreateInstances', { ...MACHINE, instanceNames: ['ok'], ...some }),
      code,
      JSON.stringify(some),
    );
  }
  assert.equal(await scene.refused('GetInstance', { instanceName: 'ok' }), 'NotFoundException');
});

test('without QEMU disks work, and CreateInstances says what to install', async () => {
  await using scene = await openScene();
  scene.world.hypervisor.can = FAKE_WITHOUT_QEMU;
  const { status, body } = await scene.call('CreateInstances', { ...MACHINE, instanceNames: ['web'] });
  assert.deepEqual([status, body['__type'], body['code']], [400, 'OperationFailureException', 'NoMachines']);
  assert.match(String(body['message']), /apt-get install qemu-system-x86/);
  await scene.ok('CreateDisk', { diskName: 'data', availabilityZone: 'us-east-1a', sizeInGb: 8 });
});

test('an instance stops, starts, boots anew and is deleted, and what asks too soon is refused', async () => {
  await using scene = await openScene();
  await create(scene, ['web']);
  const name = { instanceName: 'web' };
  assert.equal(await scene.refused('RebootInstance', name), 'OperationFailureException');
  assert.equal(await scene.refused('StopInstance', name), 'OperationFailureException');
  await scene.world.settle();
  const steps = [
    ['RebootInstance', {}, 'running'],
    ['StopInstance', {}, 'stopped'],
    ['StartInstance', {}, 'running'],
    ['StopInstance', { force: true }, 'stopped'],
    ['StartInstance', {}, 'running'],
  ] as const;
  for (const [operation, input, state] of steps) {
    const [done] = (await scene.ok(operation, { ...name, ...input }))['operations'] as readonly Json[];
    assert.deepEqual(summary(done ?? {}), [operation, 'Instance', 'web', null, 'Started', false, 'us-east-1a']);
    await scene.world.settle();
    assert.equal(await ended(scene, done), 'Succeeded');
    assert.equal(((await scene.ok('GetInstanceState', name))['state'] as Json)['name'], state, operation);
  }
  const [deleted] = (await scene.ok('DeleteInstance', { ...name, forceDeleteAddOns: true }))[
    'operations'
  ] as readonly Json[];
  assert.deepEqual(summary(deleted ?? {}), ['DeleteInstance', 'Instance', 'web', null, 'Started', false, 'us-east-1a']);
  assert.equal(((await instance(scene, 'web'))['state'] as Json)['name'], 'shutting-down');
  await scene.world.settle();
  assert.equal(await ended(scene, deleted), 'Succeeded');
  assert.equal(await scene.refused('GetInstance', name), 'NotFoundException');
  assert.deepEqual((await scene.ok('GetActiveNames'))['activeNames'], []);
});

test('a disk is attached to a running instance and detached again; the disk’s operation is the first', async () => {
  await using scene = await openScene();
  await create(scene, ['web']);
  await scene.ok('CreateDisk', { diskName: 'data', availabilityZone: 'us-east-1a', sizeInGb: 8 });
  const at = { diskName: 'data', instanceName: 'web', diskPath: '/dev/xvdf' };
  assert.equal(await scene.refused('AttachDisk', at), 'OperationFailureException'); // It is pending.
  await scene.world.settle();
  assert.equal(await scene.refused('AttachDisk', { ...at, diskPath: '/dev/xvda' }), 'InvalidInputException');
  assert.equal(await scene.refused('AttachDisk', { ...at, diskPath: 'xvdf' }), 'InvalidInputException');
  assert.equal(await scene.refused('AttachDisk', { ...at, diskName: 'none' }), 'NotFoundException');
  assert.equal(await scene.refused('AttachDisk', { ...at, instanceName: 'none' }), 'NotFoundException');
  assert.equal(await scene.refused('DetachDisk', { diskName: 'data' }), 'OperationFailureException');
  const attached = (await scene.ok('AttachDisk', at))['operations'] as readonly Json[];
  assert.deepEqual(attached.map(summary), [
    ['AttachDisk', 'Disk', 'data', 'web', 'Started', false, 'us-east-1a'],
    ['AttachDisk', 'Instance', 'web', 'data', 'Started', false, 'us-east-1a'],
  ]);
  assert.equal(await ended(scene, attached[0]), 'Started');
  await scene.world.settle();
  for (const one of attached) assert.equal(await ended(scene, one), 'Succeeded');
  const { state, isAttached, attachedTo, path, attachmentState } = await disk(scene, 'data');
  assert.deepEqual(
    [state, isAttached, attachedTo, path, attachmentState],
    ['in-use', true, 'web', '/dev/xvdf', 'attached'],
  );
  assert.equal(await scene.refused('AttachDisk', at), 'OperationFailureException');
  assert.equal(await scene.refused('DeleteDisk', { diskName: 'data' }), 'OperationFailureException');
  const detached = (await scene.ok('DetachDisk', { diskName: 'data' }))['operations'] as readonly Json[];
  assert.deepEqual(detached.map(summary), [
    ['DetachDisk', 'Disk', 'data', 'web', 'Started', false, 'us-east-1a'],
    ['DetachDisk', 'Instance', 'web', 'data', 'Started', false, 'us-east-1a'],
  ]);
  await scene.world.settle();
  const free = await disk(scene, 'data');
  assert.deepEqual([free['state'], free['isAttached'], free['attachedTo']], ['available', false, undefined]);
  await scene.ok('DeleteDisk', { diskName: 'data' });
});

test('as Terraform does it: stop, detach, start', async () => {
  await using scene = await openScene();
  await create(scene, ['web']);
  await scene.ok('CreateDisk', { diskName: 'data', availabilityZone: 'us-east-1a', sizeInGb: 8 });
  await scene.world.settle();
  await scene.ok('AttachDisk', { diskName: 'data', instanceName: 'web', diskPath: '/dev/xvdf' });
  await scene.world.settle();
  await scene.ok('StopInstance', { instanceName: 'web' });
  await scene.world.settle();
  const [detached] = (await scene.ok('DetachDisk', { diskName: 'data' }))['operations'] as readonly Json[];
  assert.equal(detached?.['status'], 'Started');
  assert.equal(await ended(scene, detached), 'Succeeded'); // Nobody has to let go of it.
  await scene.ok('StartInstance', { instanceName: 'web' });
  await scene.world.settle();
  assert.equal(((await instance(scene, 'web'))['hardware'] as { disks: readonly Json[] }).disks.length, 1);
});

test('key pairs: the private key is answered once, and matches the public one', async () => {
  await using scene = await openScene();
  const made = await scene.ok('CreateKeyPair', { keyPairName: 'mine', tags: [{ key: 'a', value: 'b' }] });
  const key = createPrivateKey(String(made['privateKeyBase64']));
  assert.deepEqual(parsePublicKey(String(made['publicKeyBase64'])), sshPublicKey(key));
  assert.deepEqual(summary(made['operation'] as Json), [
    'CreateKeyPair',
    'KeyPair',
    'mine',
    null,
    'Succeeded',
    true,
    'all',
  ]);
  const { keyPair } = await scene.ok('GetKeyPair', { keyPairName: 'mine' });
  assert.deepEqual(keyPair, made['keyPair']);
  assert.match(String((keyPair as Json)['fingerprint']), /^(?:[0-9a-f]{2}:){19}[0-9a-f]{2}$/);
  assert.equal(await scene.refused('CreateKeyPair', { keyPairName: 'mine' }), 'InvalidInputException');
  assert.equal(
    await scene.refused('CreateKeyPair', { keyPairName: 'LightsailDefaultKeyPair' }),
    'InvalidInputException',
  );

  const own = sshPublicKey(generateKeyPairSync('ed25519').privateKey);
  const line = publicKeyLine(own, 'me');
  await scene.ok('ImportKeyPair', { keyPairName: 'imported', publicKeyBase64: line });
  const encoded = Buffer.from(line).toString('base64');
  await scene.ok('ImportKeyPair', { keyPairName: 'encoded', publicKeyBase64: encoded });
  assert.equal(
    await scene.refused('ImportKeyPair', { keyPairName: 'bad', publicKeyBase64: 'AAAA' }),
    'InvalidInputException',
  );

  const { keyPairs } = await scene.ok('GetKeyPairs', { includeDefaultKeyPair: true });
  assert.deepEqual(
    (keyPairs as readonly Json[]).map(({ name }) => name),
    ['mine', 'imported', 'encoded'],
  );
  const wrong = { keyPairName: 'mine', expectedFingerprint: 'aa:bb' };
  assert.equal(await scene.refused('DeleteKeyPair', wrong), 'InvalidInputException');
  await create(scene, ['web'], { keyPairName: 'imported' });
  await scene.ok('DeleteKeyPair', { keyPairName: 'imported' });
  assert.equal(await scene.refused('GetKeyPair', { keyPairName: 'imported' }), 'NotFoundException');
  await scene.world.settle();
  // The machine was made with it, and has it; and the region's own, by which its access details let in.
  assert.equal((await instance(scene, 'web'))['sshKeyName'], 'imported');
  const [id] = scene.world.machines.byId.keys();
  assert.ok(id !== undefined);
  const keys = (scene.world.hypervisor.guest(id).boots[0]?.seed.publicKeys ?? []).map((text) => parsePublicKey(text));
  const { accessDetails } = await scene.ok('GetInstanceAccessDetails', { instanceName: 'web', protocol: 'ssh' });
  const access = accessDetails as Json;
  assert.deepEqual(keys, [own, sshPublicKey(createPrivateKey(String(access['privateKey'])))]);
  assert.deepEqual([access['username'], access['ipAddress']], ['admin', '127.10.0.1']);
  const downloaded = await scene.ok('DownloadDefaultKeyPair');
  assert.equal(downloaded['privateKeyBase64'], access['privateKey']);
  const { keyPairs: all } = await scene.ok('GetKeyPairs', { includeDefaultKeyPair: true });
  assert.deepEqual(
    (all as readonly Json[]).map(({ name }) => name),
    ['LightsailDefaultKeyPair', 'mine', 'encoded'],
  );
  const rdp = { instanceName: 'web', protocol: 'rdp' };
  assert.equal(await scene.refused('GetInstanceAccessDetails', rdp), 'InvalidInputException');
});

test('instances and key pairs are tagged by their names, and only of their own account', async () => {
  await using scene = await openScene();
  await create(scene, ['web']);
  await scene.ok('CreateKeyPair', { keyPairName: 'mine' });
  for (const [resourceName, type] of [
    ['web', 'Instance'],
    ['mine', 'KeyPair'],
  ] as const) {
    const [operation] = (await scene.ok('TagResource', { resourceName, tags: [{ key: 'k', value: 'v' }] }))[
      'operations'
    ] as readonly Json[];
    assert.equal(operation?.['resourceType'], type);
  }
  assert.deepEqual((await instance(scene, 'web'))['tags'], [{ key: 'k', value: 'v' }]);
  assert.deepEqual(((await scene.ok('GetKeyPair', { keyPairName: 'mine' }))['keyPair'] as Json)['tags'], [
    { key: 'k', value: 'v' },
  ]);
  await scene.ok('UntagResource', { resourceName: 'web', tagKeys: ['k'] });
  assert.deepEqual((await instance(scene, 'web'))['tags'], []);
  const key = await scene.newKey();
  for (const operation of [
    'GetInstance',
    'StartInstance',
    'StopInstance',
    'DeleteInstance',
    'GetInstanceAccessDetails',
  ]) {
    assert.equal(await scene.refused(operation, { instanceName: 'web' }, { key }), 'NotFoundException', operation);
  }
  assert.deepEqual((await scene.ok('GetInstances', {}, { key }))['instances'], []);
  assert.deepEqual((await scene.ok('GetKeyPairs', {}, { key }))['keyPairs'], []);
});

test('a call that an SDK repeats makes its instances once', async () => {
  await using scene = await openScene();
  const options = { invocationId: 'one-call' };
  const first = await create(scene, ['web'], {}, options);
  await scene.restart();
  assert.deepEqual(await create(scene, ['web'], {}, options), first);
  assert.equal(((await scene.ok('GetInstances'))['instances'] as readonly Json[]).length, 1);
});
