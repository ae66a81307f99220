import assert from 'node:assert/strict';
import { test } from 'node:test';
import { present } from '#base/assert.ts';
import { SeededRandom, systemRandom } from '#base/random.ts';
import { createVolume, deleteVolume } from '#control/volumes.ts';
import { diskRequest } from '#control/request.fake.ts';
import { World } from '#control/world.fake.ts';
import { DomainError } from '#domain/errors.ts';
import { regionName, type SnapshotId } from '#domain/ids.ts';
import type { Scope } from '#domain/volume.ts';
import { createInstances } from './create.ts';
import { attachDisk, detachDisk } from './disks.ts';
import { findInstanceSnapshot, listInstanceSnapshots } from './instance-snapshot-records.ts';
import { createInstanceSnapshot, deleteInstanceSnapshot } from './instance-snapshots.ts';
import { machinesRequest, systemSnapshot } from './machine.fixture.ts';
import { deleteInstance } from './power.ts';
import { findInstance } from './records.ts';
import { copyByName } from './snapshot-copies.ts';

/*
 * Machines and disks are made, written, attached, detached, snapshotted, copied to another region, made again from snapshots
 * and copies, and deleted, in any order, against a model that knows what every volume and every snapshot has in it.
 */

/** As many sequences as are asked for, or as fit in four seconds. */
const ROUNDS = process.env['VARVE_FUZZ_ROUNDS'];
const BUDGET_MS = ROUNDS === undefined ? 4000 : Infinity;
const ROUNDS_MAX = Number(ROUNDS ?? 200);
const STEPS = 14;
const NO_TRACE = { token: null, operation: null };
const DEVICES = ['/dev/xvdf', '/dev/xvdg'];

/** What is in the first chunk of each volume, by its device. */
type Contents = ReadonlyMap<string, number>;

class Model {
  /** Of system volumes and disks, by their names. */
  readonly machines = new Map<string, { system: number; readonly disks: Map<string, string> }>();
  readonly disks = new Map<string, number>();
  /** By the name, which says the region: `here-3`. */
  readonly snapshots = new Map<string, Contents>();
}

interface Play {
  readonly world: World;
  readonly here: Scope;
  readonly there: Scope;
  readonly base: SnapshotId;
  readonly model: Model;
  readonly random: SeededRandom;
  names: number;
}

test('snapshots of machines and their copies have in them what the machines had', async (context) => {
  const seed = Number(process.env['VARVE_SEED'] ?? systemRandom.bytes(4).readUInt32LE());
  context.diagnostic(`VARVE_SEED=${seed}`);
  const untilMs = performance.now() + BUDGET_MS;
  for (let round = 0; round < ROUNDS_MAX && performance.now() < untilMs; round += 1) {
    try {
      await sequence(new SeededRandom(seed + round));
    } catch (error) {
      throw new Error(`VARVE_SEED=${seed + round} VARVE_FUZZ_ROUNDS=1`, { cause: error });
    }
  }
});

async function sequence(random: SeededRandom): Promise<void> {
  await using world = await World.make({ snapshotIntervalMsMin: 0 });
  const here = await world.account();
  const there = { ...here, region: regionName('eu-west-1') };
  const base = await systemSnapshot(world, here);
  const play: Play = { world, here, there, base, model: new Model(), random, names: 0 };
  for (let step = 0; step < STEPS; step += 1) {
    await one(play);
    if (random.below(6) === 0) await world.restartControl();
    if (random.below(8) === 0) world.host.restart();
    await world.settle();
  }
  await check(play);
}

const STEPS_OF: readonly ((play: Play) => Promise<void>)[] = [
  makeMachine,
  makeDisk,
  write,
  write,
  attach,
  attach,
  detach,
  snapshot,
  snapshot,
  snapshot,
  copy,
  copy,
  restore,
  restore,
  deleteSnapshot,
  deleteMachine,
  deleteDisk,
];

async function one(play: Play): Promise<void> {
  const step = STEPS_OF[play.random.below(STEPS_OF.length)];
  await step?.(play);
}

function any<T>({ random }: Play, from: Iterable<T>): T | null {
  const all = [...from];
  return all[random.below(all.length)] ?? null;
}

function newName(play: Play, prefix: string): string {
  play.names += 1;
  return `${prefix}-${play.names}`;
}

async function makeMachine(play: Play): Promise<void> {
  const { world, here, base, model } = play;
  if (model.machines.size > 2) return;
  const name = newName(play, 'machine');
  await createInstances(world.ports, here, machinesRequest(here, base, [name], { face: 'ec2', bundle: 't3.nano' }));
  model.machines.set(name, { system: 9, disks: new Map() });
}

async function makeDisk(play: Play): Promise<void> {
  const name = newName(play, 'disk');
  await createVolume(play.world.ports, play.here, diskRequest(name));
  play.model.disks.set(name, 0);
}

/** Writes to a volume of a machine. */
async function write(play: Play): Promise<void> {
  const { world, here, model, random } = play;
  const name = any(play, model.machines.keys());
  if (name === null) return;
  const { attachments } = await findInstance(world.ports, here, { name });
  const attachment = any(play, attachments);
  const machine = model.machines.get(name);
  if (attachment === null || machine === undefined) return;
  const fill = 1 + random.below(200);
  world.host.write(attachment.volume, 0, fill);
  const disk = machine.disks.get(attachment.device);
  if (disk === undefined) machine.system = fill;
  else model.disks.set(disk, fill);
}

function isAttached({ model }: Play, disk: string): boolean {
  return [...model.machines.values()].some(({ disks }) => [...disks.values()].includes(disk));
}

async function attach(play: Play): Promise<void> {
  const { world, here, model } = play;
  const disk = any(
    play,
    [...model.disks.keys()].filter((name) => !isAttached(play, name)),
  );
  const name = any(play, model.machines.keys());
  if (disk === null || name === null) return;
  const disks = present(model.machines.get(name)?.disks, 'the model has the machine');
  const device = DEVICES.find((one) => !disks.has(one));
  if (device === undefined) return;
  await attachDisk(world.ports, here, {
    volume: { name: disk },
    instance: { name },
    device,
    deleteOnTermination: false,
    operation: null,
  });
  disks.set(device, disk);
}

async function detach(play: Play): Promise<void> {
  const { world, here, model } = play;
  const disk = any(
    play,
    [...model.disks.keys()].filter((name) => isAttached(play, name)),
  );
  if (disk === null) return;
  await detachDisk(world.ports, here, { volume: { name: disk }, operation: null });
  for (const { disks } of model.machines.values()) {
    for (const [device, name] of disks) if (name === disk) disks.delete(device);
  }
}

async function snapshot(play: Play): Promise<void> {
  const { world, here, model, random } = play;
  const instance = any(play, model.machines.keys());
  const machine = instance === null ? undefined : model.machines.get(instance);
  if (instance === null || machine === undefined) return;
  const name = newName(play, 'here');
  await createInstanceSnapshot(world.ports, here, {
    instance: { name: instance },
    name,
    autoDate: null,
    tags: [],
    ...NO_TRACE,
  });
  const disks = [...machine.disks].map(([device, disk]) => [device, model.disks.get(disk) ?? 0] as const);
  model.snapshots.set(name, new Map([['/dev/xvda', machine.system], ...disks]));
  // What is written from now on is not in it, though it is not stored yet.
  if (random.below(2) === 0) await write(play);
}

function scopeOf({ here, there }: Play, name: string): Scope {
  return name.startsWith('here') ? here : there;
}

async function copy(play: Play): Promise<void> {
  const { world, here, there, model, random } = play;
  const source = any(play, model.snapshots.keys());
  if (source === null) return;
  const [to, prefix] = random.below(2) === 0 ? [here, 'here'] : [there, 'there'];
  const name = newName(play, prefix);
  const sourceRegion = scopeOf(play, source).region;
  await copyByName(world.ports, to, { sourceRegion, source: { kind: 'named', name: source }, name, ...NO_TRACE });
  model.snapshots.set(name, present(model.snapshots.get(source), 'the model has the source'));
  // A source that goes while it is copied is held.
  if (random.below(3) === 0) await removeSnapshot(play, source);
}

/** A machine with its disks, in the region of the snapshot; it is read and deleted again. */
async function restore(play: Play): Promise<void> {
  const { world, model } = play;
  const source = any(play, model.snapshots.keys());
  if (source === null) return;
  const scope = scopeOf(play, source);
  const contents = present(model.snapshots.get(source), 'the model has the source');
  const { record } = await findInstanceSnapshot(world.ports, scope, { name: source });
  assert.equal(record.state, 'available', source);
  const [system, ...parts] = record.parts;
  assert.ok(system !== undefined);
  const name = newName(play, 'restored');
  const disks = parts.map((part) => ({
    name: newName(play, 'restored'),
    origin: part.snapshot,
    sizeGib: part.sizeGib,
    device: part.device,
    deleteOnTermination: true,
  }));
  const some = { face: 'ec2', bundle: 't3.nano', machines: [{ name, disks }] } as const;
  await createInstances(world.ports, scope, machinesRequest(scope, system.snapshot, [], some));
  await world.settle();
  const made = await findInstance(world.ports, scope, { name });
  assert.equal(made.state, 'running', source);
  const found = made.attachments.map(({ device, volume }) => [device, world.host.read(volume, 0)[0]] as const);
  assert.deepEqual(new Map(found), contents, source);
  await deleteInstance(world.ports, scope, { name }, NO_TRACE);
}

async function deleteSnapshot(play: Play): Promise<void> {
  const name = any(play, play.model.snapshots.keys());
  if (name !== null) await removeSnapshot(play, name);
}

async function removeSnapshot(play: Play, name: string): Promise<void> {
  await deleteInstanceSnapshot(play.world.ports, scopeOf(play, name), { name }, NO_TRACE);
  play.model.snapshots.delete(name);
}

async function deleteMachine(play: Play): Promise<void> {
  const { world, here, model } = play;
  const name = any(play, model.machines.keys());
  if (name === null) return;
  await deleteInstance(world.ports, here, { name }, NO_TRACE);
  model.machines.delete(name);
}

async function deleteDisk(play: Play): Promise<void> {
  const { world, here, model } = play;
  const disk = any(play, model.disks.keys());
  if (disk === null) return;
  const deleted = deleteVolume(world.ports, here, { name: disk }, NO_TRACE);
  if (isAttached(play, disk)) {
    await assert.rejects(deleted, (error) => error instanceof DomainError && error.failure.kind === 'in-use');
    return;
  }
  await deleted;
  model.disks.delete(disk);
}

/** The lists are the model's; and when all is deleted, nothing is left. */
async function check(play: Play): Promise<void> {
  const { world, here, there, model, base } = play;
  for (const scope of [here, there]) {
    const { snapshots } = await listInstanceSnapshots(world.ports, scope, { after: null, countMax: 100 });
    const names = [...model.snapshots.keys()].filter((name) => scopeOf(play, name) === scope);
    assert.deepEqual(
      new Map(snapshots.map(({ record }) => [record.name, record.state])),
      new Map(names.map((name) => [name, 'available'])),
    );
  }
  for (const name of model.snapshots.keys())
    await deleteInstanceSnapshot(world.ports, scopeOf(play, name), { name }, NO_TRACE);
  for (const name of model.machines.keys()) await deleteInstance(world.ports, here, { name }, NO_TRACE);
  await world.settle();
  for (const name of model.disks.keys()) await deleteVolume(world.ports, here, { name }, NO_TRACE);
  await world.settle();
  await world.settle();
  assert.deepEqual([...world.host.snapshots.keys()], [base], 'only what machines were made of is left');
  const volumes = await world.ports.meta.read((tx) =>
    tx.volumes.inState(['creating', 'available', 'deleting', 'error'], { after: 0, countMax: 100 }),
  );
  assert.equal(volumes.length, 1, 'the volume of that is left');
  assert.deepEqual(
    (await world.hypervisor.list()).filter(({ state }) => state === 'running'),
    [],
  );
}
