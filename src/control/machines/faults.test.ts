import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DomainError } from '#domain/errors.ts';
import type { Scope } from '#domain/volume.ts';
import { assertConsistent } from '#control/consistency.fake.ts';
import type { FaultMode } from '#control/fault.fake.ts';
import { World } from '#control/world.fake.ts';
import { assertAttachments } from './attachments.fake.ts';
import { createInstances } from './create.ts';
import { attachDisk, detachDisk } from './disks.ts';
import { machinesRequest, makeDisk, systemSnapshot } from './machine.fixture.ts';
import { deleteInstance, rebootInstance, startInstance, stopInstance } from './power.ts';
import { listInstances } from './records.ts';

/*
 * Each request about machines, and what the reconciler does for it, with the n-th call of a port failing, for every n: before
 * it happens, and after it happened; the server going on, and starting anew. Whatever was answered, machines, volumes, names
 * and operations agree in the end, and the request can be made again.
 */

const WEB = { name: 'web' };

async function create(world: World, scope: Scope): Promise<void> {
  const [snapshot] = world.host.snapshots.keys();
  assert.ok(snapshot !== undefined);
  // Of EC2's face, so that no key pair of Lightsail is made for each of hundreds of worlds.
  const request = machinesRequest(scope, snapshot, ['web'], { face: 'ec2', token: 'once' });
  await createInstances(world.ports, scope, request);
}

async function running(world: World, scope: Scope): Promise<void> {
  await systemSnapshot(world, scope);
  await create(world, scope);
  await makeDisk(world, scope, 'data');
  await world.settle();
}

const attach = (world: World, scope: Scope) =>
  attachDisk(world.ports, scope, {
    instance: WEB,
    volume: { name: 'data' },
    device: '/dev/xvdf',
    deleteOnTermination: false,
    operation: 'AttachDisk',
  });

interface Case {
  readonly prepare: (world: World, scope: Scope) => Promise<unknown>;
  readonly perform: (world: World, scope: Scope) => Promise<unknown>;
  /** Name, state and count of volumes of the machines that there are in the end. */
  readonly machines: readonly (readonly [string, string, number])[];
}

const CASES: Readonly<Record<string, Case>> = {
  'the creation of a machine': {
    prepare: systemSnapshot,
    perform: create,
    machines: [['web', 'running', 1]],
  },
  'the deletion of a machine with a disk': {
    prepare: async (world, scope) => {
      await running(world, scope);
      await attach(world, scope);
      await world.settle();
    },
    perform: (world, scope) => deleteInstance(world.ports, scope, WEB, { token: 'gone', operation: 'DeleteInstance' }),
    machines: [],
  },
  'the stop of a machine': {
    prepare: running,
    perform: (world, scope) => stopInstance(world.ports, scope, WEB, { force: false, operation: 'StopInstance' }),
    machines: [['web', 'stopped', 1]],
  },
  'the start of a machine': {
    prepare: async (world, scope) => {
      await running(world, scope);
      await stopInstance(world.ports, scope, WEB, { force: true, operation: null });
      await world.settle();
    },
    perform: (world, scope) => startInstance(world.ports, scope, WEB, 'StartInstance'),
    machines: [['web', 'running', 1]],
  },
  'the reboot of a machine': {
    prepare: running,
    perform: (world, scope) => rebootInstance(world.ports, scope, WEB, 'RebootInstance'),
    machines: [['web', 'running', 1]],
  },
  'the attachment of a disk': {
    prepare: running,
    perform: attach,
    machines: [['web', 'running', 2]],
  },
  'the detachment of a disk': {
    prepare: async (world, scope) => {
      await running(world, scope);
      await attach(world, scope);
      await world.settle();
    },
    perform: (world, scope) => detachDisk(world.ports, scope, { volume: { name: 'data' }, operation: 'DetachDisk' }),
    machines: [['web', 'running', 1]],
  },
};

const CALLS_MAX = 60;

for (const [name, one] of Object.entries(CASES)) {
  for (const mode of ['before', 'after'] as const) {
    test(`${name} leaves nothing half done when a call fails ${mode} it happens`, async () => {
      let call = 1;
      while (await survives(one, call, mode)) {
        call += 1;
        assert.ok(call < CALLS_MAX, 'there is a bounded number of calls');
      }
      assert.ok(call > 3, 'calls of the request and of the reconciler failed');
    });
  }
}

/** Whether a call failed: false when there were fewer. */
async function survives({ prepare, perform, machines }: Case, call: number, mode: FaultMode): Promise<boolean> {
  await using world = await World.make();
  const scope = await world.account();
  await prepare(world, scope);
  world.faults.arm(call, mode);
  const outcome = await perform(world, scope).then(
    () => 'answered',
    (error: unknown) => {
      assert.ok(!(error instanceof DomainError), `a fault is trouble, not a refusal: ${String(error)}`);
      return 'failed';
    },
  );
  await world.control.run('reconcile-instances').catch(() => {}); // As the driver, which tries again.
  const fired = world.faults.disarm();
  const where = `call ${call} (${fired}) failing ${mode}, ${outcome}`;
  // Sometimes the process dies with it.
  if (call % 2 === 0) await world.restartControl();
  await world.settle();
  await assertConsistent(world, scope, ['data'], where);
  await assertAttachments(world, where);
  if (outcome === 'failed') {
    // The client asks again; what was done before, in spite of it all, may be refused as done.
    await perform(world, scope).catch((error: unknown) =>
      assert.ok(error instanceof DomainError, `${where}, and again`),
    );
    await world.settle();
    await assertConsistent(world, scope, ['data'], `${where}, and again`);
    await assertAttachments(world, `${where}, and again`);
  }
  const { instances } = await listInstances(world.ports, scope, { ids: null, face: null, after: null, countMax: 9 });
  // EC2 shows one that is gone for a while.
  const there = instances.filter(({ state }) => state !== 'terminated');
  const found = there.map((each) => [each.name, each.state, each.attachments.length]);
  assert.deepEqual(found, machines, where);
  const processes = (await world.hypervisor.list()).filter(({ state }) => state === 'running');
  assert.equal(processes.length, machines.filter(([, state]) => state === 'running').length, where);
  assert.equal((await world.ports.meta.read((tx) => tx.names.find(scope, 'web'))) !== null, machines.length > 0, where);
  return fired !== null;
}
