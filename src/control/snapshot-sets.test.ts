import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { VolumeId } from '#domain/ids.ts';
import { assertConsistent } from './consistency.fake.ts';
import { refusal, volumeRequest } from './request.fake.ts';
import { createSnapshots, type CreateSnapshotSet } from './snapshot-sets.ts';
import { findSnapshot, listSnapshots } from './snapshots.ts';
import { createVolume } from './volumes.ts';
import { World } from './world.fake.ts';

function setOf(volumes: readonly VolumeId[], some: Partial<CreateSnapshotSet> = {}): CreateSnapshotSet {
  return { face: 'ec2', volumes, description: 'a set', tags: [], copiesTags: false, ...some };
}

test('volumes are cut at one instant: of writes in order over all of them, a set has a beginning', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const volumes: VolumeId[] = [];
  for (let count = 0; count < 4; count += 1) {
    volumes.push((await createVolume(world.ports, scope, volumeRequest({ sizeGib: 1 }))).volume.id);
  }
  // One writer goes over all volumes; the number of each write is in what it writes.
  let written = 0;
  const stop = new AbortController();
  const writer = (async () => {
    while (!stop.signal.aborted) {
      for (const volume of volumes) {
        written += 1;
        world.host.write(volume, written % 200, 1 + (written % 250));
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
  })();
  const sets = [];
  for (let round = 0; round < 5; round += 1) {
    sets.push(await createSnapshots(world.ports, scope, setOf(volumes)));
  }
  stop.abort();
  await writer;
  for (const set of sets) {
    assert.equal(new Set(set.map(({ cut }) => cut)).size, 1, 'one cut');
    assert.deepEqual(
      set.map(({ volume, state }) => [volume, state]),
      volumes.map((volume) => [volume, 'pending']),
    );
    // The host ends all epochs in one step, so no volume is a write ahead of one before it.
    const counts = set.map(({ volume, cut }) => world.host.volumes.get(volume)?.cuts.get(cut)?.content.size ?? -1);
    for (const [at, count] of counts.entries()) assert.ok(at === 0 || count <= (counts[at - 1] ?? 0), counts.join());
  }
  await world.settle();
  await assertConsistent(world, scope, [], 'at the end');
});

test('a set has the tags that are asked for, over those of its volumes', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const made = async (...tags: readonly { key: string; value: string }[]): Promise<VolumeId> =>
    (await createVolume(world.ports, scope, volumeRequest({ sizeGib: 1, tags }))).volume.id;
  const volumes = [await made({ key: 'disk', value: '1' }, { key: 'env', value: 'old' }), await made()];
  const request = setOf(volumes, { tags: [{ key: 'env', value: 'new' }], copiesTags: true });
  const set = await createSnapshots(world.ports, scope, request);
  assert.deepEqual(
    set.map(({ tags, description }) => [tags, description]),
    [
      [{ disk: '1', env: 'new' }, 'a set'],
      [{ env: 'new' }, 'a set'],
    ],
  );
});

test('there is all of a set or nothing, whichever call fails', async () => {
  for (let call = 1; ; call += 1) {
    await using world = await World.make();
    const scope = await world.account();
    const volumes: VolumeId[] = [];
    for (let count = 0; count < 2; count += 1) {
      volumes.push((await createVolume(world.ports, scope, volumeRequest({ sizeGib: 1 }))).volume.id);
    }
    world.faults.arm(call, call % 2 === 0 ? 'after' : 'before');
    const set = await createSnapshots(world.ports, scope, setOf(volumes)).catch(() => null);
    const fired = world.faults.disarm();
    await world.settle();
    const list = { ids: null, face: 'ec2', after: null, countMax: 10 } as const;
    const { snapshots } = await listSnapshots(world.ports, scope, list);
    if (set !== null) assert.equal(snapshots.length, 2);
    else assert.ok(snapshots.length === 0 || snapshots.length === 2, `call ${call}: ${fired}`);
    for (const { id } of snapshots) assert.equal((await findSnapshot(world.ports, scope, id)).state, 'completed');
    await assertConsistent(world, scope, [], 'at the end');
    if (fired === null) break;
    assert.ok(call < 20);
  }
});

test('one refusal refuses the set', async () => {
  await using world = await World.make({ snapshotIntervalMsMin: 15_000 });
  const scope = await world.account();
  const other = await world.account();
  const mine = (await createVolume(world.ports, scope, volumeRequest({ sizeGib: 1 }))).volume.id;
  const theirs = (await createVolume(world.ports, other, volumeRequest({ sizeGib: 1 }))).volume.id;
  const make = (...volumes: readonly VolumeId[]) => createSnapshots(world.ports, scope, setOf(volumes));
  await assert.rejects(make(mine, theirs), refusal({ kind: 'not-found', id: theirs }));
  await assert.rejects(make(), refusal({ kind: 'missing' }));
  assert.equal((await make(mine, mine)).length, 1, 'each volume once');
  await assert.rejects(make(mine), refusal({ kind: 'snapshot-rate' }));
  const list = { ids: null, face: null, after: null, countMax: 10 } as const;
  assert.equal((await listSnapshots(world.ports, scope, list)).snapshots.length, 1);
});
