import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DomainError } from '#domain/errors.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import type { SnapshotTier } from '#domain/snapshot-tier.ts';
import type { Scope } from '#domain/volume.ts';
import { snapshotRequest, volumeRequest } from './request.fake.ts';
import { archiveSnapshot, restoreSnapshot } from './snapshot-tiers.ts';
import { createSnapshot, deleteSnapshot, findSnapshot } from './snapshots.ts';
import { createVolume } from './volumes.ts';
import { World } from './world.fake.ts';

const DAY_MS = 86_400_000;

async function refusal(call: Promise<unknown>): Promise<string> {
  return await call.then(
    () => 'not refused',
    (error: unknown) => (error instanceof DomainError ? error.failure.kind : String(error)),
  );
}

async function tierWorld(): Promise<{ world: World; scope: Scope; snapshot: Snapshot }> {
  const world = await World.make();
  const scope = await world.account();
  const { volume } = await createVolume(world.ports, scope, volumeRequest());
  const { snapshot } = await createSnapshot(world.ports, scope, snapshotRequest(volume.id));
  await world.settle();
  return { world, scope, snapshot };
}

test('a snapshot in the archive has left the store, cannot be used, and comes back for good', async () => {
  const { world, scope, snapshot } = await tierWorld();
  await using _ = world;
  const { ports, host } = world;
  const { id } = snapshot;
  const use = () => refusal(createVolume(ports, scope, volumeRequest({ origin: id })));
  const state = async () => (await findSnapshot(ports, scope, id)).tier?.state;
  assert.equal(await refusal(restoreSnapshot(ports, scope, id, null)), 'wrong-state');
  assert.equal((await archiveSnapshot(ports, scope, id)).tier.state, 'archiving');
  assert.equal(await refusal(archiveSnapshot(ports, scope, id)), 'wrong-state');
  assert.equal(await use(), 'not refused', 'it is still there');
  await world.control.run('tend-tiers');
  assert.equal(await state(), 'archived');
  assert.deepEqual([host.snapshots.has(id), host.archives.has(id)], [false, true]);
  assert.equal(await use(), 'wrong-state');

  await restoreSnapshot(ports, scope, id, null);
  assert.equal(await use(), 'wrong-state');
  await world.control.run('tend-tiers');
  assert.equal(await state(), 'restored');
  assert.deepEqual([host.snapshots.has(id), host.archives.has(id)], [true, false]);
  assert.equal(await use(), 'not refused');
});

test('what is restored for days goes back when they are over, unless it is to stay', async () => {
  const { world, scope, snapshot } = await tierWorld();
  await using _ = world;
  const { ports, host, clock } = world;
  const { id } = snapshot;
  const tier = async (): Promise<SnapshotTier | null> => (await findSnapshot(ports, scope, id)).tier;
  await archiveSnapshot(ports, scope, id);
  await world.control.run('tend-tiers');
  assert.equal(await refusal(restoreSnapshot(ports, scope, id, 0)), 'invalid-value');
  assert.equal(await refusal(restoreSnapshot(ports, scope, id, 181)), 'invalid-value');
  await restoreSnapshot(ports, scope, id, 2);
  await world.control.run('tend-tiers');
  assert.deepEqual(
    [(await tier())?.state, (await tier())?.restoreExpiresAtMs],
    ['restored-for-days', clock.nowMs() + 2 * DAY_MS],
  );
  assert.deepEqual([host.snapshots.has(id), host.archives.has(id)], [true, true]);

  await restoreSnapshot(ports, scope, id, 3);
  await clock.advance(3 * DAY_MS - 1);
  await world.control.run('tend-tiers');
  assert.equal((await tier())?.state, 'restored-for-days');
  host.archives.delete(id); // The bucket lost it.
  await clock.advance(1);
  await world.control.run('tend-tiers');
  await world.control.run('tend-tiers');
  assert.equal((await tier())?.state, 'archived');
  assert.deepEqual([host.snapshots.has(id), host.archives.has(id)], [false, true]);

  await restoreSnapshot(ports, scope, id, 1);
  await world.control.run('tend-tiers');
  await restoreSnapshot(ports, scope, id, null);
  await world.control.run('tend-tiers');
  assert.equal((await tier())?.state, 'restored');
  assert.deepEqual([host.snapshots.has(id), host.archives.has(id)], [true, false]);
});

test('a move that fails at any call is done again, and the data are somewhere at every moment', async () => {
  for (const mode of ['before', 'after'] as const) {
    for (let call = 1; ; call += 1) {
      const { world, scope, snapshot } = await tierWorld();
      await using _ = world;
      const { host } = world;
      const { id } = snapshot;
      const isSomewhere = () => host.snapshots.has(id) || host.archives.has(id);
      let fired: string | null = null;
      const moved = async (wanted: SnapshotTier['state']) => {
        world.faults.arm(call, mode);
        await world.control.run('tend-tiers').catch(() => {});
        const failed = world.faults.disarm();
        fired ??= failed;
        assert.ok(isSomewhere(), `${mode} ${call}`);
        await world.restartControl();
        for (let run = 0; run < 3; run += 1) await world.control.run('tend-tiers');
        const { tier } = await findSnapshot(world.ports, scope, id);
        assert.deepEqual([tier?.state, tier?.trouble], [wanted, null], `${mode} ${call}: ${fired}`);
      };
      await archiveSnapshot(world.ports, scope, id);
      await moved('archived');
      assert.deepEqual([host.snapshots.has(id), host.archives.has(id)], [false, true]);
      await restoreSnapshot(world.ports, scope, id, null);
      await moved('restored');
      assert.deepEqual([host.snapshots.has(id), host.archives.has(id)], [true, false]);
      if (fired === null) break;
    }
  }
});

test('a deleted snapshot leaves nothing in the archive, also when it was on its way', async () => {
  for (const isMoved of [true, false]) {
    const { world, scope, snapshot } = await tierWorld();
    await using _ = world;
    const { ports, host } = world;
    await archiveSnapshot(ports, scope, snapshot.id);
    const moving = world.control.run('tend-tiers');
    if (isMoved) await moving;
    await deleteSnapshot(ports, scope, snapshot.id, { token: null, operation: null });
    await moving;
    await world.settle();
    assert.deepEqual([host.snapshots.size, host.archives.size], [0, 0]);
    assert.equal(await refusal(findSnapshot(ports, scope, snapshot.id)), 'not-found');
  }
});
