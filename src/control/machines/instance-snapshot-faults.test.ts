import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DomainError } from '#domain/errors.ts';
import type { Scope } from '#domain/volume.ts';
import { assertConsistent } from '#control/consistency.fake.ts';
import type { FaultMode } from '#control/fault.fake.ts';
import { World } from '#control/world.fake.ts';
import { enableAddOn } from './add-ons.ts';
import { createInstances } from './create.ts';
import { attachDisk } from './disks.ts';
import { INSTANCE_SNAPSHOTS, partsOf } from './instance-snapshot-records.ts';
import { createInstanceSnapshot, deleteInstanceSnapshot } from './instance-snapshots.ts';
import { machinesRequest, makeDisk, systemSnapshot } from './machine.fixture.ts';

/*
 * Snapshots of machines with the n-th call of a port failing, for every n: before it happens, and after it happened; the
 * server going on, and starting anew. The request is then made again. In the end there is one whole snapshot, or none, and
 * nothing of it is left anywhere.
 */

const DAY_MS = 86_400_000;
const WEB = { name: 'web' };

/** A machine with a disk. */
async function prepare(world: World, scope: Scope): Promise<void> {
  const snapshot = await systemSnapshot(world, scope);
  await createInstances(world.ports, scope, machinesRequest(scope, snapshot, ['web'], { face: 'ec2' }));
  await makeDisk(world, scope, 'data');
  await world.settle();
  await attachDisk(world.ports, scope, {
    instance: WEB,
    volume: { name: 'data' },
    device: '/dev/xvdf',
    deleteOnTermination: false,
    operation: null,
  });
  await world.settle();
}

async function create(world: World, scope: Scope): Promise<void> {
  await createInstanceSnapshot(world.ports, scope, {
    instance: WEB,
    name: 'web-1',
    autoDate: null,
    tags: [],
    token: 'once',
    operation: 'CreateInstanceSnapshot',
  });
}

interface Case {
  readonly prepare: (world: World, scope: Scope) => Promise<void>;
  readonly perform: (world: World, scope: Scope) => Promise<unknown>;
  /** How many snapshots of the machine there are in the end. */
  readonly count: number;
}

const CASES: Readonly<Record<string, Case>> = {
  'a snapshot of a machine': { prepare, perform: create, count: 1 },
  'the deletion of one': {
    prepare: async (world, scope) => {
      await prepare(world, scope);
      await create(world, scope);
      await world.settle();
    },
    perform: (world, scope) =>
      deleteInstanceSnapshot(
        world.ports,
        scope,
        { name: 'web-1' },
        { token: 'gone', operation: 'DeleteInstanceSnapshot' },
      ),
    count: 0,
  },
  'an automatic one': {
    prepare: async (world, scope) => {
      await prepare(world, scope);
      const addOn = { type: 'auto-snapshot', hour: 6 } as const;
      await enableAddOn(world.ports, scope, { name: 'web', addOn, operation: 'EnableAddOn' });
      await world.clock.advance(DAY_MS);
    },
    perform: (world) => world.control.run('run-add-ons'),
    count: 1,
  },
};

const CALLS_MAX = 60;

for (const [name, one] of Object.entries(CASES)) {
  for (const mode of ['before', 'after'] as const) {
    test(`${name} is whole, or not there, when a call fails ${mode} it happens`, async () => {
      let call = 1;
      while (await survives(one, call, mode)) {
        call += 1;
        assert.ok(call < CALLS_MAX, 'there is a bounded number of calls');
      }
      assert.ok(call > 3, 'calls of the request failed');
    });
  }
}

/** Whether a call failed: false when there were fewer. */
async function survives(one: Case, call: number, mode: FaultMode): Promise<boolean> {
  await using world = await World.make();
  const scope = await world.account();
  await one.prepare(world, scope);
  world.faults.arm(call, mode);
  await one.perform(world, scope).catch((error: unknown) => {
    assert.ok(!(error instanceof DomainError), `a fault is trouble, not a refusal: ${String(error)}`);
  });
  const fired = world.faults.disarm();
  const where = `call ${call} (${fired}) failing ${mode}`;
  // Sometimes the process dies with it.
  if (call % 2 === 0) await world.restartControl();
  await world.settle();
  await assertWhole(world, scope, where);
  // The client, or the task, comes again; what was done in spite of it all may be refused as done.
  await one.perform(world, scope).catch((error: unknown) => {
    assert.ok(error instanceof DomainError, `${where}, and again: ${String(error)}`);
  });
  await world.settle();
  assert.equal(await assertWhole(world, scope, `${where}, and again`), one.count, where);
  return fired !== null;
}

/** How many there are, each with all its parts and its name. */
async function assertWhole(world: World, scope: Scope, where: string): Promise<number> {
  await assertConsistent(world, scope, ['data'], where);
  for (const { id } of await world.hypervisor.list()) {
    assert.equal(world.hypervisor.guest(id).frozen, false, `${where}: the guest goes on`);
  }
  return await world.ports.meta.read(async (tx) => {
    const rows = await tx.documents.list(INSTANCE_SNAPSHOTS, scope, null, { after: 0, countMax: 100 });
    const parts = new Set<string>();
    for (const { record } of rows) {
      assert.equal(record.state, 'available', where);
      const found = await partsOf(tx, record);
      assert.equal(found.length, 2, where);
      for (const part of found) parts.add(part.id);
    }
    const snapshots = await tx.snapshots.inState(['completed'], { after: 0, countMax: 100 });
    const ofMachines = snapshots.map(({ record }) => record).filter(({ partOf }) => partOf !== null);
    assert.deepEqual(new Set(ofMachines.map(({ id }) => id)), parts, `${where}: parts of nothing`);
    const named = rows.filter(({ record }) => record.name === 'web-1').map(({ record }) => record.id);
    assert.deepEqual(
      named,
      [await tx.names.find(scope, 'web-1')].filter((id) => id !== null),
      where,
    );
    return rows.length;
  });
}
