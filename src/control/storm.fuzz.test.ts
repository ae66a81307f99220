import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom, systemRandom } from '#base/random.ts';
import { DomainError } from '#domain/errors.ts';
import type { SnapshotId, VolumeId } from '#domain/ids.ts';
import type { Scope } from '#domain/volume.ts';
import { assertConsistent } from './consistency.fake.ts';
import { diskRequest, snapshotRequest } from './request.fake.ts';
import { createSnapshot, deleteSnapshot, listSnapshots } from './snapshots.ts';
import { createVolume, deleteVolume, listVolumes } from './volumes.ts';
import { World } from './world.fake.ts';

/*
 * Storms of requests, several at a time, with calls that fail and processes that die, against a model that knows only what
 * was answered: a creation that was answered is there, a deletion that was answered is done, and nothing else is lost or made.
 */

/** As many rounds as are asked for, or as fit in four seconds. */
const ROUNDS = process.env['VARVE_FUZZ_ROUNDS'];
const BUDGET_MS = ROUNDS === undefined ? 4000 : Infinity;
const ROUNDS_MAX = Number(ROUNDS ?? 40);
const NAMES = ['one', 'two', 'three', 'four', 'five', 'six'];
const ALL = { ids: null, face: null, after: null, countMax: 1000 } as const;

/** What clients were told. `null`: the answer was trouble, so either may be so. */
class Model {
  readonly volumes = new Map<VolumeId, boolean | null>();
  readonly snapshots = new Map<SnapshotId, boolean | null>();
}

test('storms of requests, faults and crashes end in what was answered', async (context) => {
  const seed = Number(process.env['VARVE_SEED'] ?? systemRandom.bytes(4).readUInt32LE());
  context.diagnostic(`VARVE_SEED=${seed}`);
  const untilMs = performance.now() + BUDGET_MS;
  for (let round = 0; round < ROUNDS_MAX && performance.now() < untilMs; round += 1) {
    await storm(new SeededRandom(seed + round), `seed ${seed + round}`);
  }
});

async function storm(random: SeededRandom, where: string): Promise<void> {
  await using world = await World.make();
  const scope = await world.account();
  const model = new Model();
  for (let wave = 0; wave < 6; wave += 1) {
    if (random.below(2) === 0) {
      const kind = random.below(2) === 0 ? 'internal' : 'unavailable';
      world.faults.arm(1 + random.below(25), random.below(2) === 0 ? 'before' : 'after', kind);
    }
    const requests = Array.from({ length: 1 + random.below(5) }, () => request(world, scope, model, random));
    if (random.below(3) === 0) requests.push(world.control.run('upload-snapshots').then(nothing, nothing));
    if (random.below(4) === 0) requests.push(world.control.run('finish-deletions').then(nothing, nothing));
    await Promise.all(requests);
    if (random.below(4) === 0) world.host.restart();
    if (random.below(4) === 0) await world.restartControl();
  }
  world.faults.disarm();
  await world.settle();
  await assertConsistent(world, scope, NAMES, where);
  const { volumes } = await listVolumes(world.ports, scope, ALL);
  const { snapshots } = await listSnapshots(world.ports, scope, ALL);
  assertAnswered(model.volumes, new Set(volumes.map(({ id }) => id)), where);
  assertAnswered(model.snapshots, new Set(snapshots.map(({ id }) => id)), where);
  const unknown = [...volumes, ...snapshots].filter(
    ({ id }) => !new Map<string, unknown>([...model.volumes, ...model.snapshots]).has(id),
  );
  assert.deepEqual(unknown, [], `${where}: a creation that was not answered left something`);
}

function nothing(): void {}

function assertAnswered<Id>(expected: ReadonlyMap<Id, boolean | null>, found: ReadonlySet<Id>, where: string): void {
  for (const [id, there] of expected) {
    if (there !== null) assert.equal(found.has(id), there, `${where}: ${String(id)} is ${there ? 'there' : 'gone'}`);
  }
}

async function request(world: World, scope: Scope, model: Model, random: SeededRandom): Promise<void> {
  const name = NAMES[random.below(NAMES.length)] ?? 'one';
  const volume = oneOf([...model.volumes.keys()], random);
  const snapshot = oneOf([...model.snapshots.keys()], random);
  const choice = random.below(6);
  try {
    if (choice <= 1 || volume === null) {
      const made = await createVolume(world.ports, scope, diskRequest(name));
      model.volumes.set(made.volume.id, true);
    } else if (choice <= 3) {
      const wish = { face: 'lightsail', name, operation: 'CreateDiskSnapshot' } as const;
      const made = await createSnapshot(world.ports, scope, snapshotRequest(volume, wish));
      model.snapshots.set(made.snapshot.id, true);
    } else if (choice === 4 || snapshot === null) {
      await deletion(model.volumes, volume, () =>
        deleteVolume(world.ports, scope, volume, { token: null, operation: 'DeleteDisk' }),
      );
    } else {
      const operation = 'DeleteDiskSnapshot';
      await deletion(model.snapshots, snapshot, () =>
        deleteSnapshot(world.ports, scope, snapshot, { token: null, operation }),
      );
    }
  } catch (error) {
    // A refusal or trouble; what is known then, `deletion` has noted. A creation that was not answered must leave nothing.
    if (!(error instanceof Error)) throw error;
  }
}

async function deletion<Id>(there: Map<Id, boolean | null>, id: Id, run: () => Promise<unknown>): Promise<void> {
  try {
    await run();
    there.set(id, false);
  } catch (error) {
    if (!(error instanceof DomainError) && there.get(id) === true) there.set(id, null);
    throw error;
  }
}

function oneOf<T>(all: readonly T[], random: SeededRandom): T | null {
  return all.length === 0 ? null : (all[random.below(all.length)] ?? null);
}
