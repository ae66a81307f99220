import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  AccessDeniedException,
  type AddOnRequest,
  type CreateInstancesFromSnapshotCommandInput,
  InvalidInputException,
  Lightsail,
  type LightsailClientConfig,
  NotFoundException,
  type Operation,
  OperationStatus,
  OperationType,
  RegionName,
  ResourceType,
  UnauthenticatedException,
} from '@aws-sdk/client-lightsail';
import { AccessScene, type Member } from '#api/access/scene.fake.ts';
import { present } from '#base/assert.ts';
import { systemClock } from '#base/clock.ts';
import { registerBlueprint } from '#control/blueprints.ts';
import { systemSnapshot } from '#control/machines/machine.fixture.ts';
import { regionName } from '#domain/ids.ts';

/*
 * Rows of the pages on snapshots of instances that need no guest, and those that take days: the SDK for JavaScript, a server
 * in this process, a clock that is ours. What only a guest can prove is in test/machine/instances.test.ts.
 */

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const WHERE = { availabilityZone: 'us-east-1a', bundleId: 'micro_1_0' };

/** What is asked for, and the exception. */
type Refusal = readonly [
  Partial<CreateInstancesFromSnapshotCommandInput>,
  typeof NotFoundException | typeof InvalidInputException,
];

/** An account with one blueprint, and its clients. */
class Days implements AsyncDisposable {
  readonly scene: AccessScene;
  readonly root: Member;

  private constructor(scene: AccessScene, root: Member) {
    this.scene = scene;
    this.root = root;
  }

  static async open(): Promise<Days> {
    const scene = await AccessScene.open();
    const root = await scene.root();
    const scope = { account: root.account, region: regionName('us-east-1') };
    await registerBlueprint(scene.world.ports, {
      id: 'tiny',
      name: 'Tiny',
      group: 'tiny',
      description: 'A small one',
      version: '1',
      snapshot: await systemSnapshot(scene.world, scope),
      minimumPower: 0,
      userName: 'admin',
      replaces: false,
    });
    return new Days(scene, root);
  }

  /** A client's own clock is this machine's: it is told how far the server's is from that, and used once. */
  async lightsail<R>(
    use: (client: Lightsail) => Promise<R>,
    { member = this.root, ...more }: LightsailClientConfig & { readonly member?: Member } = {},
  ): Promise<R> {
    const client = new Lightsail({
      endpoint: `http://127.0.0.1:${this.scene.port}`,
      region: 'us-east-1',
      credentials: member.key,
      maxAttempts: 1,
      systemClockOffset: this.scene.world.clock.nowMs() - systemClock.nowMs(),
      ...more,
    });
    try {
      return await use(client);
    } finally {
      client.destroy();
    }
  }

  /** As a program that leaves something out: SDKs with types do not let one. */
  async raw(operation: string, input: object): Promise<string> {
    const { status, text } = await this.root.client.json(operation, input);
    assert.equal(status, 400, text);
    return text;
  }

  async settle(): Promise<void> {
    await this.scene.world.settle();
  }

  /** A running instance, with a disk at /dev/xvdf when one is wanted. */
  async instance(name: string, { disk = null }: { readonly disk?: string | null } = {}): Promise<void> {
    await this.lightsail((one) => one.createInstances({ ...WHERE, blueprintId: 'tiny', instanceNames: [name] }));
    await this.settle();
    if (disk === null) return;
    const { availabilityZone } = WHERE;
    await this.lightsail((one) => one.createDisk({ diskName: disk, availabilityZone, sizeInGb: 8 }));
    await this.settle();
    await this.lightsail((one) => one.attachDisk({ diskName: disk, instanceName: name, diskPath: '/dev/xvdf' }));
    await this.settle();
  }

  async snapshot(instanceName: string, instanceSnapshotName: string): Promise<readonly Operation[]> {
    const made = await this.lightsail((one) => one.createInstanceSnapshot({ instanceName, instanceSnapshotName }));
    await this.settle();
    return made.operations ?? [];
  }

  async restore(input: Partial<CreateInstancesFromSnapshotCommandInput>): Promise<readonly Operation[]> {
    const all = { ...WHERE, instanceNames: ['new'], ...input };
    const made = await this.lightsail((one) => one.createInstancesFromSnapshot(all));
    await this.settle();
    return made.operations ?? [];
  }

  /** Time goes on until the server has made the automatic snapshots of another day. */
  async nextDay(): Promise<void> {
    await this.scene.world.clock.advance(DAY_MS);
    await this.scene.world.control.run('run-add-ons');
    await this.settle();
  }

  async autoSnapshots(resourceName: string): Promise<readonly string[]> {
    const { autoSnapshots = [] } = await this.lightsail((one) => one.getAutoSnapshots({ resourceName }));
    return autoSnapshots.map(({ date, status }) => `${date} ${status}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.scene[Symbol.asyncDispose]();
  }
}

function assertLegal(operations: readonly Operation[]): void {
  const isOf = (values: Readonly<Record<string, string>>, value: unknown): boolean =>
    Object.values(values).some((one) => one === value);
  assert.ok(operations.length > 0);
  for (const { resourceType, operationType, status, location, createdAt, statusChangedAt } of operations) {
    assert.ok(isOf(ResourceType, resourceType) && isOf(OperationStatus, status), `${resourceType} ${status}`);
    assert.ok(isOf(OperationType, operationType), operationType);
    assert.ok(isOf(RegionName, location?.regionName), location?.regionName);
    assert.ok(createdAt instanceof Date && statusChangedAt instanceof Date);
    assert.equal(createdAt.getTime(), statusChangedAt.getTime());
  }
}

test('B2 B5 B9: a snapshot of an instance needs both names, one that is free, and an instance', async () => {
  await using days = await Days.open();
  await days.instance('web');
  const operations = await days.snapshot('web', 'web-1');
  assertLegal(operations);
  assert.match(await days.raw('CreateInstanceSnapshot', { instanceName: 'web' }), /InvalidInputException/);
  assert.match(await days.raw('CreateInstanceSnapshot', { instanceSnapshotName: 'web-2' }), /InvalidInputException/);
  await assert.rejects(days.snapshot('web', 'web-1'), InvalidInputException, 'a snapshot has the name');
  await assert.rejects(days.snapshot('web', 'web'), InvalidInputException, 'the instance has the name');
  await assert.rejects(days.snapshot('web', '-web'), InvalidInputException);
  await assert.rejects(days.snapshot('nobody', 'web-2'), NotFoundException);
});

test('B3 E2 E33 A12: tags of the request and of the snapshot decide who may', async () => {
  await using days = await Days.open();
  await days.instance('web');
  const tagged = { 'aws:RequestTag/team': 'a' };
  const member = await days.scene.user(days.root.account, 'user', [
    {
      Effect: 'Allow',
      Action: ['lightsail:CreateInstanceSnapshot', 'lightsail:CreateDiskSnapshot'],
      Resource: '*',
      Condition: { StringEquals: tagged, 'ForAllValues:StringEquals': { 'aws:TagKeys': ['team'] } },
    },
    { Effect: 'Allow', Action: 'lightsail:TagResource', Resource: '*' },
    {
      Effect: 'Allow',
      Action: 'lightsail:CreateInstancesFromSnapshot',
      Resource: '*',
      Condition: { StringEquals: { 'aws:ResourceTag/team': 'a' } },
    },
  ]);
  const make = (name: string, tags: readonly { key: string; value: string }[]): Promise<unknown> =>
    days.lightsail(
      (one) => one.createInstanceSnapshot({ instanceName: 'web', instanceSnapshotName: name, tags: [...tags] }),
      { member },
    );
  const disk = (name: string, value: string): Promise<unknown> =>
    days.lightsail(
      (one) => one.createDiskSnapshot({ instanceName: 'web', diskSnapshotName: name, tags: [{ key: 'team', value }] }),
      { member },
    );
  await assert.rejects(make('plain', []), AccessDeniedException);
  await assert.rejects(make('other', [{ key: 'team', value: 'b' }]), AccessDeniedException);
  await assert.rejects(
    make('more', [
      { key: 'team', value: 'a' },
      { key: 'cost', value: '1' },
    ]),
    AccessDeniedException,
  );
  await make('own', [{ key: 'team', value: 'a' }]);
  await assert.rejects(disk('other-disk', 'b'), AccessDeniedException);
  await disk('own-disk', 'a');
  await days.snapshot('web', 'foreign');
  const use = (instanceSnapshotName: string, name: string): Promise<unknown> =>
    days.lightsail(
      (one) => one.createInstancesFromSnapshot({ ...WHERE, instanceNames: [name], instanceSnapshotName }),
      { member },
    );
  await assert.rejects(use('foreign', 'of-foreign'), AccessDeniedException);
  await days.settle();
  await use('own', 'of-own');
  await days.lightsail((one) =>
    one.tagResource({ resourceName: 'foreign', tags: [{ key: 'team', value: 'a' }, { key: 'later' }] }),
  );
  await use('foreign', 'of-foreign');
  const { instanceSnapshot } = await days.lightsail((one) =>
    one.getInstanceSnapshot({ instanceSnapshotName: 'foreign' }),
  );
  assert.deepEqual(instanceSnapshot?.tags, [{ key: 'team', value: 'a' }, { key: 'later' }]);
});

test('E5 E6 E7 E8 E9 E10 E11: what a request names must be there, be free, and say one thing', async () => {
  await using days = await Days.open();
  await days.instance('web', { disk: 'data' });
  await days.snapshot('web', 'web-1');
  const snapshot = { instanceSnapshotName: 'web-1' };
  const mapping = (originalDiskPath: string, newDiskName: string): object => ({
    attachedDiskMapping: { new: [{ originalDiskPath, newDiskName }] },
  });
  const refusals: readonly Refusal[] = [
    [{ ...snapshot, ...mapping('/dev/xvdg', 'new-data') }, InvalidInputException],
    [{ ...snapshot, ...mapping('/dev/xvdf', 'data') }, InvalidInputException],
    [{ ...snapshot, attachedDiskMapping: { other: [] } }, InvalidInputException],
    [{ ...snapshot, instanceNames: ['new', 'new'] }, InvalidInputException],
    [{ ...snapshot, instanceNames: ['web'] }, InvalidInputException],
    [{ ...snapshot, availabilityZone: 'US-EAST-1A' }, InvalidInputException],
    [{ ...snapshot, availabilityZone: 'us-east-2a' }, InvalidInputException],
    [{ instanceSnapshotName: 'nobody' }, NotFoundException],
    [{ ...snapshot, sourceInstanceName: 'web' }, InvalidInputException],
    [{}, InvalidInputException],
    [{ ...snapshot, bundleId: 'none_9_9' }, InvalidInputException],
    [{ ...snapshot, bundleId: 'nano_1_0' }, InvalidInputException],
    [{ ...snapshot, keyPairName: 'nobody' }, NotFoundException],
  ];
  for (const [input, exception] of refusals) {
    await assert.rejects(days.restore(input), exception, JSON.stringify(input));
  }
  assert.match(
    await days.raw('CreateInstancesFromSnapshot', {
      ...snapshot,
      instanceNames: ['new'],
      availabilityZone: 'us-east-1a',
    }),
    /InvalidInputException/,
  );
  const { regions = [] } = await days.lightsail((one) => one.getRegions({ includeAvailabilityZones: true }));
  const zones = regions.find(({ name }) => name === 'us-east-1')?.availabilityZones ?? [];
  const zone = present(zones.at(-1)?.zoneName, 'a region has zones');
  assert.notEqual(zone, WHERE.availabilityZone);
  const made = await days.restore({ ...snapshot, ...mapping('/dev/xvdf', 'new-data'), availabilityZone: zone });
  assertLegal(made);
  const { disk } = await days.lightsail((one) => one.getDisk({ diskName: 'new-data' }));
  assert.deepEqual([disk?.attachedTo, disk?.path, disk?.location?.availabilityZone], ['new', '/dev/xvdf', zone]);
});

test('E21 E28 E29: addresses are dualstack unless one of the others is asked for; operations have legal values', async () => {
  await using days = await Days.open();
  await days.instance('web');
  await days.snapshot('web', 'web-1');
  for (const [name, ipAddressType] of [
    ['first', undefined],
    ['second', 'ipv4'],
    ['third', 'ipv6'],
  ] as const) {
    const input = { instanceNames: [name], instanceSnapshotName: 'web-1' };
    assertLegal(await days.restore({ ...input, ...(ipAddressType === undefined ? {} : { ipAddressType }) }));
    const { instance } = await days.lightsail((one) => one.getInstance({ instanceName: name }));
    assert.equal(instance?.ipAddressType, ipAddressType ?? 'dualstack');
  }
  const { operations = [] } = await days.lightsail((one) => one.getOperations({}));
  for (const { status, isTerminal } of operations) assert.equal(isTerminal, status !== 'Started');
});

test('E16 E17 E20: add-ons of the request, at a whole hour; what is enabled again is changed', async () => {
  await using days = await Days.open();
  await days.instance('web');
  await days.snapshot('web', 'web-1');
  const at = (snapshotTimeOfDay: string) =>
    ({ addOnType: 'AutoSnapshot', autoSnapshotAddOnRequest: { snapshotTimeOfDay } }) as const;
  const input = { instanceSnapshotName: 'web-1' };
  await assert.rejects(days.restore({ ...input, addOns: [at('06:30')] }), InvalidInputException);
  const missing = { ...WHERE, ...input, instanceNames: ['new'], addOns: [{ autoSnapshotAddOnRequest: {} }] };
  assert.match(await days.raw('CreateInstancesFromSnapshot', missing), /InvalidInputException/);
  await days.restore({ ...input, addOns: [at('07:00')] });
  const shown = async (): Promise<readonly (readonly unknown[])[]> => {
    const { instance } = await days.lightsail((one) => one.getInstance({ instanceName: 'new' }));
    return (instance?.addOns ?? []).map(({ name, status, snapshotTimeOfDay }) => [name, status, snapshotTimeOfDay]);
  };
  assert.deepEqual(await shown(), [['AutoSnapshot', 'Enabled', '07:00']]);
  await days.lightsail((one) => one.enableAddOn({ resourceName: 'new', addOnRequest: at('09:00') }));
  assert.deepEqual(await shown(), [['AutoSnapshot', 'Enabled', '09:00']]);
  await days.lightsail((one) => one.disableAddOn({ resourceName: 'new', addOnType: 'AutoSnapshot' }));
  assert.deepEqual(await shown(), []);
});

test('E19: an instance that idles for the duration is stopped, and one that works is not', async () => {
  await using days = await Days.open();
  const { clock, control, machines } = days.scene.world;
  await days.instance('web');
  await days.snapshot('web', 'web-1');
  const stop = (threshold: string): AddOnRequest => ({
    addOnType: 'StopInstanceOnIdle',
    stopInstanceOnIdleRequest: { threshold, duration: '15' },
  });
  const input = { instanceSnapshotName: 'web-1' };
  await assert.rejects(days.restore({ ...input, addOns: [stop('none')] }), InvalidInputException);
  const ids: string[] = [];
  for (const name of ['idle', 'busy']) {
    await days.restore({ ...input, instanceNames: [name], addOns: [stop('5')] });
    const { instance } = await days.lightsail((one) => one.getInstance({ instanceName: name }));
    ids.push(instance?.supportCode?.split('/')[1] ?? '');
  }
  const [, busy] = [...machines.byId.entries()].filter(([id]) => ids.includes(id)).map(([, machine]) => machine);
  assert.ok(busy !== undefined);
  const state = async (instanceName: string): Promise<string | undefined> =>
    (await days.lightsail((one) => one.getInstanceState({ instanceName }))).state?.name;
  const minute = async (): Promise<void> => {
    await clock.advance(60_000);
    const { usage } = busy.guest;
    busy.guest.usage = { ...usage, cpuSeconds: usage.cpuSeconds + 30 };
    await control.run('measure-machines');
    await control.run('reconcile-instances');
  };
  for (let minutes = 0; minutes < 12; minutes += 1) await minute();
  assert.equal(await state('idle'), 'running', 'not before the duration');
  for (let minutes = 12; minutes < 30; minutes += 1) await minute();
  assert.deepEqual([await state('idle'), await state('busy')], ['stopped', 'running']);
});

test('E18: an automatic snapshot is made between the hour in UTC and 45 minutes later', async () => {
  await using days = await Days.open();
  const { clock, control } = days.scene.world;
  await days.instance('web');
  const addOnRequest = { addOnType: 'AutoSnapshot', autoSnapshotAddOnRequest: { snapshotTimeOfDay: '06:00' } } as const;
  await days.lightsail((one) => one.enableAddOn({ resourceName: 'web', addOnRequest }));
  const hourMs = Math.floor(clock.nowMs() / DAY_MS) * DAY_MS + 6 * HOUR_MS;
  await clock.advance(hourMs - 1 - clock.nowMs());
  await control.run('run-add-ons');
  assert.deepEqual(await days.autoSnapshots('web'), [], 'not before the hour');
  for (let minute = 0; minute <= 45 && (await days.autoSnapshots('web')).length === 0; minute += 1) {
    await clock.advance(60_000);
    await control.run('run-add-ons');
  }
  await days.settle();
  assert.deepEqual(await days.autoSnapshots('web'), [`${new Date(hourMs).toISOString().slice(0, 10)} Success`]);
  assert.ok(clock.nowMs() <= hourMs + 46 * 60_000);
});

test('E22 E23 E24 E25 E26 E32: machines of automatic snapshots, by day or the latest; one is kept by copying it', async () => {
  await using days = await Days.open();
  await days.instance('web', { disk: 'data' });
  const addOnRequest = { addOnType: 'AutoSnapshot', autoSnapshotAddOnRequest: { snapshotTimeOfDay: '00:00' } } as const;
  await days.lightsail((one) => one.enableAddOn({ resourceName: 'web', addOnRequest }));
  for (let day = 0; day < 9; day += 1) await days.nextDay();
  const made = await days.autoSnapshots('web');
  assert.equal(made.length, 7, 'the last seven are kept');
  assert.deepEqual(made, made.toSorted().toReversed());
  const dates = made.map((text) => text.slice(0, 10));
  const [latest, , oldest] = [present(dates[0], 'the latest'), null, present(dates.at(-1), 'the oldest')];

  const from = { sourceInstanceName: 'web' };
  const refusals: readonly Refusal[] = [
    [from, InvalidInputException],
    [{ ...from, restoreDate: latest, useLatestRestorableAutoSnapshot: true }, InvalidInputException],
    [{ ...from, restoreDate: '2026-13-01' }, InvalidInputException],
    [{ ...from, restoreDate: '1.2.2026' }, InvalidInputException],
    [{ ...from, restoreDate: '2025-01-01' }, NotFoundException],
    [{ sourceInstanceName: 'nobody', useLatestRestorableAutoSnapshot: true }, NotFoundException],
    [{ instanceSnapshotName: 'web-1', restoreDate: latest }, InvalidInputException],
    [{ instanceSnapshotName: 'web-1', useLatestRestorableAutoSnapshot: true }, InvalidInputException],
    [{ restoreDate: latest }, InvalidInputException],
  ];
  for (const [input, exception] of refusals) {
    await assert.rejects(days.restore(input), exception, JSON.stringify(input));
  }
  await days.restore({ ...from, restoreDate: oldest, instanceNames: ['of-oldest'] });
  await days.restore({ ...from, useLatestRestorableAutoSnapshot: true, instanceNames: ['of-latest'] });
  const { instances = [] } = await days.lightsail((one) => one.getInstances({}));
  assert.deepEqual(instances.map(({ name, state }) => `${name} ${state?.name}`).toSorted(), [
    ...['of-latest running', 'of-oldest running', 'web running'],
  ]);
  const { disk } = await days.lightsail((one) => one.getDisk({ diskName: 'of-oldest-xvdf' }));
  assert.equal(disk?.attachedTo, 'of-oldest');

  const kept = { sourceResourceName: 'web', restoreDate: oldest, sourceRegion: 'us-east-1' } as const;
  await days.lightsail((one) => one.copySnapshot({ ...kept, targetSnapshotName: 'kept' }));
  await days.settle();
  await days.nextDay();
  assert.ok(!(await days.autoSnapshots('web')).some((text) => text.startsWith(oldest)), 'it made room for another');
  const { instanceSnapshot } = await days.lightsail((one) => one.getInstanceSnapshot({ instanceSnapshotName: 'kept' }));
  assert.deepEqual([instanceSnapshot?.state, instanceSnapshot?.fromInstanceName], ['available', 'web']);
  await days.restore({ instanceSnapshotName: 'kept', instanceNames: ['of-kept'] });

  await days.lightsail((one) => one.deleteAutoSnapshot({ resourceName: 'web', date: latest }));
  assert.ok(!(await days.autoSnapshots('web')).some((text) => text.startsWith(latest)));
  await days.lightsail((one) => one.disableAddOn({ resourceName: 'web', addOnType: 'AutoSnapshot' }));
  const before = await days.autoSnapshots('web');
  await days.nextDay();
  assert.deepEqual(await days.autoSnapshots('web'), before, 'no more are made, and none is lost');
});

test('E30: each exception is a class of its own, with what helps', async () => {
  await using days = await Days.open();
  await days.instance('web');
  await days.snapshot('web', 'web-1');
  const input = { instanceSnapshotName: 'web-1' };
  const other = await days.scene.user(days.root.account, 'nobody', null);
  const all = { ...WHERE, ...input, instanceNames: ['new'] };
  await assert.rejects(
    days.lightsail((one) => one.createInstancesFromSnapshot(all), { member: other }),
    AccessDeniedException,
  );
  await assert.rejects(
    days.lightsail((one) => one.createInstancesFromSnapshot(all), { signer: { sign: async (request) => request } }),
    UnauthenticatedException,
  );
  for (const [wrong, exception] of [
    [{ instanceSnapshotName: 'nobody' }, NotFoundException],
    [{ ...input, bundleId: 'none_9_9' }, InvalidInputException],
  ] as const) {
    await assert.rejects(days.restore(wrong), (error) => {
      assert.ok(error instanceof exception);
      for (const text of [error.code, error.docs, error.message, error.tip])
        assert.ok(text !== undefined && text !== '');
      return true;
    });
  }
});
