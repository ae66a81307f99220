import assert from 'node:assert/strict';
import { test } from 'node:test';
import { present } from '#base/assert.ts';
import { DomainError } from '#domain/errors.ts';
import type { SnapshotId } from '#domain/ids.ts';
import type { Scope } from '#domain/volume.ts';
import * as keys from './kms/keys.ts';
import { enableRotation, rotationStatus } from './kms/rotation.ts';
import { asRoot, PLAIN_KEY } from './kms/kms-world.fake.ts';
import { snapshotRequest, volumeRequest } from './request.fake.ts';
import { createRule } from './retention-rules.ts';
import { lockSnapshot, unlockSnapshot } from './snapshot-locks.ts';
import { createSnapshot, deleteSnapshot } from './snapshots.ts';
import { acceptClock } from './steady-time.ts';
import { copyVolume } from './volume-copies.ts';
import { createVolume } from './volumes.ts';
import { World } from './world.fake.ts';

/** What is destroyed when its time is over, under a wall clock that jumps. */

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const YEAR_MS = 365 * DAY_MS;
const NOTHING = { token: null, operation: null };

interface Scene {
  readonly world: World;
  readonly scope: Scope;
  readonly binned: SnapshotId;
  readonly locked: SnapshotId;
  readonly key: string;
}

/** A snapshot in the bin for a day, one that is locked for a day, a key that is destroyed in seven. */
async function open(): Promise<Scene> {
  const world = await World.make();
  const { ports } = world;
  const scope = await world.account();
  const { volume } = await createVolume(ports, scope, volumeRequest());
  const ids: SnapshotId[] = [];
  for (let count = 0; count < 2; count += 1) {
    ids.push((await createSnapshot(ports, scope, snapshotRequest(volume.id))).snapshot.id);
    await world.settle();
  }
  const [binned, locked] = ids;
  const id = present(locked, 'there are two');
  const lock = { mode: 'compliance', coolOffHours: 2, durationDays: 1, expiresAtMs: null } as const;
  await lockSnapshot(ports, scope, id, lock);
  const rule = { description: null, days: 1, tagged: [], excluded: [], unlockDelayDays: null, tags: [] };
  await createRule(ports, scope, { ...rule, type: 'EBS_SNAPSHOT' });
  await deleteSnapshot(ports, scope, present(binned, 'there are two'), NOTHING);
  const { id: key } = await keys.createKey(asRoot(world, scope), PLAIN_KEY);
  await keys.scheduleDeletion(asRoot(world, scope), key, 7);
  return { world, scope, binned: present(binned, 'there are two'), locked: id, key };
}

/** Which of the three are left, after all that is due was done. */
async function left({ world, scope, binned, locked, key }: Scene): Promise<readonly string[]> {
  const { ports, control } = world;
  for (const task of ['watch-clock', 'empty-bin', 'tend-keys', 'prune'] as const) await control.run(task);
  await world.settle();
  const found: string[] = [];
  if ((await ports.meta.read((tx) => tx.snapshots.find(binned))) !== null) found.push('binned');
  const isLocked = await unlockSnapshot(ports, scope, locked).then(
    () => false,
    (error: unknown) =>
      error instanceof DomainError && error.failure.kind === 'wrong-state' && error.failure.state === 'compliance',
  );
  if (isLocked) found.push('locked');
  const isThere = await keys.describeKey(asRoot(world, scope), key, []).then(
    () => true,
    () => false,
  );
  if (isThere) found.push('key');
  return found;
}

const ALL = ['binned', 'locked', 'key'];

test('a clock that jumps forward ends nothing; put right again, everything ends in its time', async () => {
  const scene = await open();
  await using world = scene.world;
  await world.clock.advance(3 * HOUR_MS);
  for (const jumpMs of [DAY_MS, 90 * DAY_MS, 10 * YEAR_MS]) {
    world.clock.jump(jumpMs);
    assert.deepEqual(await left(scene), ALL);
    await world.restartControl();
    assert.deepEqual(await left(scene), ALL);
    world.clock.jump(-jumpMs);
    assert.deepEqual(await left(scene), ALL);
  }
  await world.clock.advance(DAY_MS);
  assert.deepEqual(await left(scene), ['key']);
  await world.clock.advance(7 * DAY_MS);
  assert.deepEqual(await left(scene), []);
});

test('over a stop of months with the machine on, what was due in truth ends at the next start', async () => {
  const scene = await open();
  await using world = scene.world;
  await world.control.run('watch-clock');
  await world.clock.advance(90 * DAY_MS);
  await world.restartControl();
  assert.deepEqual(await left(scene), []);
});

test('a jump is believed after a tenth of it, and at once when the operator says so', async () => {
  const scene = await open();
  await using world = scene.world;
  world.clock.jump(90 * DAY_MS);
  assert.deepEqual(await left(scene), ALL);
  assert.equal((await acceptClock(world.ports)).isHeld, false);
  assert.deepEqual(await left(scene), []);

  const other = await open();
  await using second = other.world;
  second.clock.jump(90 * DAY_MS);
  for (let hours = 0; hours <= 9 * 24; hours += 1) {
    await second.control.run('watch-clock');
    await second.clock.advance(HOUR_MS);
  }
  assert.equal(second.ports.time.state().isHeld, false);
  assert.deepEqual(await left(other), []);
});

test('a clock that is set back gives a lock of compliance no second cool-off, and makes no age of what is new', async () => {
  const scene = await open();
  await using world = scene.world;
  const { ports } = world;
  await world.clock.advance(3 * HOUR_MS);
  world.clock.jump(-YEAR_MS);
  assert.deepEqual(await left(scene), ALL);
  const { volume } = await createVolume(ports, scene.scope, volumeRequest());
  const { snapshot } = await createSnapshot(ports, scene.scope, snapshotRequest(volume.id));
  await world.settle();
  await deleteSnapshot(ports, scene.scope, snapshot.id, NOTHING);
  world.clock.jump(YEAR_MS);
  assert.deepEqual(await left({ ...scene, binned: snapshot.id }), ALL);
});

test('a call that is repeated after a jump is known, whichever way the clock went', async () => {
  const scene = await open();
  await using world = scene.world;
  const { ports, clock, control } = world;
  for (const [jumpMs, backMs] of [
    [0, 10 * YEAR_MS],
    [-50 * YEAR_MS, 50 * YEAR_MS],
  ] as const) {
    clock.jump(jumpMs);
    const request = volumeRequest({ token: `token ${jumpMs}` });
    const first = await createVolume(ports, scene.scope, request);
    const copy = {
      ...{ source: first.volume.id, sizeGib: null, type: null, iops: null, throughputMibps: null, multiAttach: null },
      ...{ tags: [], token: `copy ${jumpMs}` },
    };
    const copied = await copyVolume(ports, scene.scope, copy);
    clock.jump(backMs);
    await control.run('prune');
    const again = await createVolume(ports, scene.scope, request);
    assert.equal(again.volume.id, first.volume.id);
    assert.equal((await copyVolume(ports, scene.scope, copy)).id, copied.id);
    clock.jump(-jumpMs - backMs);
  }
});

test('a key is rotated in even intervals, whatever the clock said in between', async () => {
  const scene = await open();
  await using world = scene.world;
  const { control, clock } = world;
  const call = asRoot(world, scene.scope);
  const { id } = await keys.createKey(call, PLAIN_KEY);
  clock.jump(10 * YEAR_MS);
  await enableRotation(call, id, 90);
  await control.run('tend-keys');
  clock.jump(-10 * YEAR_MS);
  const materialCount = async (): Promise<number> => (await rotationStatus(call, id)).materials.length;
  for (const count of [1, 2, 3]) {
    assert.equal(await materialCount(), count);
    clock.jump(10 * YEAR_MS);
    await control.run('tend-keys');
    clock.jump(-10 * YEAR_MS);
    assert.equal(await materialCount(), count);
    await clock.advance(91 * DAY_MS);
    await control.run('tend-keys');
  }
  assert.equal(await materialCount(), 4);
});
