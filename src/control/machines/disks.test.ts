import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '#base/random.ts';
import { DomainError } from '#domain/errors.ts';
import type { Instance } from '#domain/instance.ts';
import type { Scope } from '#domain/volume.ts';
import { HypervisorError } from '#machine/hypervisor.ts';
import { findOperation } from '#control/operations.ts';
import { diskRequest, refusal } from '#control/request.fake.ts';
import { createVolume, deleteVolume, findVolumeByName } from '#control/volumes.ts';
import { World } from '#control/world.fake.ts';
import { assertAttachments } from './attachments.fake.ts';
import { createInstances } from './create.ts';
import { attachDisk, detachDisk } from './disks.ts';
import { machinesRequest, makeDisk, systemSnapshot } from './machine.fixture.ts';
import { deleteInstance, startInstance, stopInstance } from './power.ts';
import { findInstance } from './records.ts';

const STOP = { force: false, operation: null } as const;

async function machines(world: World, scope: Scope, names: readonly string[]): Promise<void> {
  const snapshot = await systemSnapshot(world, scope);
  await createInstances(world.ports, scope, machinesRequest(scope, snapshot, names));
  await world.settle();
}

function attach(world: World, scope: Scope, disk: string, instance: string, device = '/dev/xvdf') {
  return attachDisk(world.ports, scope, {
    instance: { name: instance },
    volume: { name: disk },
    device,
    deleteOnTermination: false,
    operation: 'AttachDisk',
  });
}

function detach(world: World, scope: Scope, disk: string) {
  return detachDisk(world.ports, scope, { volume: { name: disk }, operation: 'DetachDisk' });
}

async function outcome(world: World, scope: Scope, id: string | undefined): Promise<string> {
  const { status, errorDetails } = await findOperation(world.ports, scope, id ?? '');
  return `${status} ${errorDetails ?? ''}`.trim();
}

test('a running machine gets a disk, and has it after a stop and a start', async () => {
  await using world = await World.make();
  const scope = await world.account();
  await machines(world, scope, ['web']);
  await makeDisk(world, scope, 'data');
  const { operations, instance } = await attach(world, scope, 'data', 'web', '/dev/sdf');
  assert.equal(instance.attachments[1]?.state, 'attaching');
  await world.settle();
  const disk = await findVolumeByName(world.ports, scope, 'data');
  const { attachedAtMs: _, ...attachment } = disk.attachment ?? { attachedAtMs: 0 };
  assert.deepEqual(attachment, {
    instance: instance.id,
    device: '/dev/sdf',
    state: 'attached',
    deleteOnTermination: false,
    isForced: false,
  });
  for (const { id } of operations) assert.equal(await outcome(world, scope, id), 'Succeeded');
  const [status] = await world.hypervisor.list();
  assert.deepEqual(status?.volumes, [instance.attachments[0]?.volume, disk.id]);
  await stopInstance(world.ports, scope, instance.id, STOP);
  await world.settle();
  await startInstance(world.ports, scope, instance.id, null);
  await world.settle();
  const boot = world.hypervisor.guest(instance.id).boots.at(-1);
  assert.deepEqual(
    boot?.disks.map(({ volume, device, exportName }) => [volume, device, exportName]),
    [
      [instance.attachments[0]?.volume, '/dev/xvda', instance.attachments[0]?.volume],
      [disk.id, '/dev/sdf', disk.id],
    ],
  );
});

test('a disk that the guest uses stays, and the operation says why', async () => {
  await using world = await World.make();
  const scope = await world.account();
  await machines(world, scope, ['web']);
  await makeDisk(world, scope, 'data');
  await attach(world, scope, 'data', 'web');
  await world.settle();
  const { id } = await findInstance(world.ports, scope, { name: 'web' });
  world.hypervisor.guest(id).letsGo = false;
  const { operations } = await detach(world, scope, 'data');
  const reconciling = world.control.run('reconcile-instances');
  const deadlineMs = performance.now() + 20_000;
  while ((await findVolumeByName(world.ports, scope, 'data')).attachment?.state !== 'attached') {
    assert.ok(performance.now() < deadlineMs, 'the guest is given up');
    await world.clock.advance(1000);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await reconciling;
  assert.match(await outcome(world, scope, operations[0]?.id), /^Failed .*does not let go/);
  await assertAttachments(world, 'refused');
  // Stopped, it is taken at once.
  await stopInstance(world.ports, scope, id, { force: true, operation: null });
  world.hypervisor.guest(id).heeds = true;
  await world.settle();
  const taken = await detach(world, scope, 'data');
  assert.equal(await outcome(world, scope, taken.operations[0]?.id), 'Succeeded');
  assert.equal((await findVolumeByName(world.ports, scope, 'data')).attachment, null);
});

test('a disk that the machine cannot take is free again, and the operation says why', async () => {
  await using world = await World.make();
  const scope = await world.account();
  await machines(world, scope, ['web']);
  await makeDisk(world, scope, 'data');
  world.hypervisor.failNext('attach', new HypervisorError('resources', 'the bus is full'));
  const { operations } = await attach(world, scope, 'data', 'web');
  await world.settle();
  for (const { id } of operations) assert.equal(await outcome(world, scope, id), 'Failed the bus is full');
  assert.equal((await findVolumeByName(world.ports, scope, 'data')).attachment, null);
  await attach(world, scope, 'data', 'web');
  await world.settle();
  assert.equal((await findVolumeByName(world.ports, scope, 'data')).attachment?.state, 'attached');
});

test('what cannot be attached or detached is refused, and changes nothing', async () => {
  await using world = await World.make();
  const scope = await world.account();
  await machines(world, scope, ['web', 'db']);
  await makeDisk(world, scope, 'data');
  await makeDisk(world, scope, 'more');
  await createVolume(world.ports, scope, diskRequest('away', { zone: 'us-east-1b' }));
  await attach(world, scope, 'data', 'web');
  const { id } = await findInstance(world.ports, scope, { name: 'web' });
  await assert.rejects(attach(world, scope, 'data', 'db'), refusal({ kind: 'in-use', by: id }));
  const device = refusal({ kind: 'invalid-value', field: 'diskPath' });
  for (const path of ['/dev/sda', '/dev/xvda', '/dev/xvdaa', 'xvdg', '/dev/sdf1', '/dev/xvdf', '/dev/sdf']) {
    await assert.rejects(attach(world, scope, 'more', 'web', path), device, path);
  }
  await assert.rejects(
    attach(world, scope, 'away', 'web', '/dev/xvdg'),
    refusal({ kind: 'invalid-value', field: 'zone' }),
  );
  await assert.rejects(detach(world, scope, 'more'), refusal({ kind: 'wrong-state', state: 'available' }));
  await assert.rejects(detach(world, scope, 'data'), refusal({ kind: 'wrong-state', state: 'attaching' }));
  const [system] = (await findInstance(world.ports, scope, { name: 'db' })).attachments;
  assert.ok(system !== undefined);
  const request = { volume: system.volume, operation: null };
  await assert.rejects(detachDisk(world.ports, scope, request), refusal({ kind: 'not-permitted' }));
  const gone = deleteVolume(world.ports, scope, { name: 'data' }, { token: null, operation: null });
  await assert.rejects(gone, refusal({ kind: 'in-use', by: id }));
  await stopInstance(world.ports, scope, { name: 'db' }, STOP);
  await assert.rejects(attach(world, scope, 'more', 'db'), refusal({ kind: 'wrong-state', state: 'stopping' }));
  await world.settle();
  await assertAttachments(world, 'refusals');
});

test('a machine that is deleted leaves its disks, and one that died has let go of what it was to lose', async () => {
  await using world = await World.make();
  const scope = await world.account();
  await machines(world, scope, ['web', 'db']);
  await makeDisk(world, scope, 'data');
  await makeDisk(world, scope, 'more');
  await attach(world, scope, 'data', 'web');
  await attach(world, scope, 'more', 'db');
  await world.settle();
  await deleteInstance(world.ports, scope, { name: 'web' }, { token: null, operation: null });
  await detach(world, scope, 'more');
  const { id } = await findInstance(world.ports, scope, { name: 'db' });
  world.hypervisor.kill(id);
  await world.settle();
  for (const name of ['data', 'more']) {
    const disk = await findVolumeByName(world.ports, scope, name);
    assert.deepEqual([disk.state, disk.attachment], ['available', null], name);
  }
  await assertAttachments(world, 'ends');
});

const NAMES = ['m-1', 'm-2', 'm-3'];
const DISKS = ['d-1', 'd-2', 'd-3', 'd-4'];

for (const seed of [1, 2, 3]) {
  test(`whatever is asked in whatever order, machines and disks say the same of each other (seed ${seed})`, async () => {
    await using world = await World.make();
    const scope = await world.account();
    await machines(world, scope, NAMES);
    for (const name of DISKS) await makeDisk(world, scope, name);
    const random = new SeededRandom(seed);
    const pick = <T>(list: readonly T[]): T => list[random.below(list.length)] as T;
    const steps: readonly (() => Promise<unknown>)[] = [
      () => attach(world, scope, pick(DISKS), pick(NAMES), `/dev/xvd${pick(['f', 'g', 'h'])}`),
      () => attach(world, scope, pick(DISKS), pick(NAMES), `/dev/sd${pick(['f', 'g', 'h'])}`),
      () => detach(world, scope, pick(DISKS)),
      () =>
        stopInstance(
          world.ports,
          scope,
          { name: pick(NAMES) },
          { force: random.below(2) === 0, operation: 'StopInstance' },
        ),
      () => startInstance(world.ports, scope, { name: pick(NAMES) }, 'StartInstance'),
      async () => {
        const running = [...world.machines.byId.values()].filter(({ state }) => state === 'running');
        if (running.length > 0) world.hypervisor.kill(pick(running).spec.id);
      },
      () => world.control.run('reconcile-instances'),
      async () => {
        if (random.below(4) === 0) await world.restartControl();
      },
    ];
    for (let count = 0; count < 120; count += 1) {
      await pick(steps)().catch((error: unknown) => {
        assert.ok(error instanceof DomainError, String(error));
      });
      await assertAttachments(world, `seed ${seed}, step ${count}`);
    }
    await world.settle();
    await assertAttachments(world, `seed ${seed}, settled`);
    // What is, is what should be.
    const statuses = new Map((await world.hypervisor.list()).map((one) => [one.id, one]));
    for (const name of NAMES) {
      const instance: Instance = await findInstance(world.ports, scope, { name });
      assert.ok(['running', 'stopped'].includes(instance.state), instance.state);
      assert.equal(instance.state, instance.wanted);
      const status = statuses.get(instance.id);
      assert.equal(status?.state, instance.state);
      const volumes = instance.attachments.map(({ volume, state }) => {
        assert.equal(state, 'attached');
        return volume;
      });
      if (instance.state === 'running') assert.deepEqual(status?.volumes.toSorted(), volumes.toSorted());
    }
  });
}

test('a disk of which nobody knows whether the guest has it is attached at the next look', async () => {
  await using world = await World.make();
  const scope = await world.account();
  await machines(world, scope, ['web']);
  await makeDisk(world, scope, 'data');
  world.hypervisor.failNext('attach', new HypervisorError('failed', 'QEMU does not answer'));
  const { operations, instance } = await attach(world, scope, 'data', 'web');
  await world.settle();
  const { attachment } = await findVolumeByName(world.ports, scope, 'data');
  assert.deepEqual([attachment?.instance, attachment?.state], [instance.id, 'attached']);
  assert.equal(await outcome(world, scope, operations[0]?.id), 'Succeeded');
  await assertAttachments(world, 'after the next look');
});

test('a volume that a machine has open and should not have is taken away from it', async () => {
  await using world = await World.make();
  const scope = await world.account();
  await machines(world, scope, ['web']);
  await makeDisk(world, scope, 'data');
  const { id } = await findInstance(world.ports, scope, { name: 'web' });
  const volume = (await findVolumeByName(world.ports, scope, 'data')).id;
  await world.hypervisor.attach(id, { volume, socketPath: '/s', exportName: volume, device: '/dev/xvdf' });
  world.ports.wake('reconcile-instances');
  await world.settle();
  const [status] = await world.hypervisor.list();
  assert.equal(status?.volumes.includes(volume), false);
});
