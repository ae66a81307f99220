import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { FastRestore } from '#domain/fast-restore.ts';
import type { SnapshotId } from '#domain/ids.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import type { Scope } from '#domain/volume.ts';
import { disableFastRestores, enableFastRestores, listFastRestores } from './fast-restores.ts';
import { refusal, snapshotRequest, volumeRequest } from './request.fake.ts';
import { shareSnapshot } from './snapshot-sharing.ts';
import { archiveSnapshot } from './snapshot-tiers.ts';
import { createSnapshot, deleteSnapshot } from './snapshots.ts';
import type { TaskReport } from './tasks/task.ts';
import { createVolume } from './volumes.ts';
import { World } from './world.fake.ts';

const HOUR_MS = 3_600_000;
const ZONE = 'us-east-1a';
const DELETE = { token: null, operation: null };

async function completed(world: World, scope: Scope): Promise<Snapshot> {
  const { volume } = await createVolume(world.ports, scope, volumeRequest());
  const { snapshot } = await createSnapshot(world.ports, scope, snapshotRequest(volume.id));
  await world.settle();
  return snapshot;
}

/** One activation of the task, with time passing for what it waits for. */
async function tend(world: World): Promise<TaskReport> {
  const run = world.control.run('tend-fast-restores');
  const progress = { isOver: false };
  const over = (): void => {
    progress.isOver = true;
  };
  void run.then(over, over);
  for (; !progress.isOver; await nextTurn()) await world.clock.advance(100);
  return await run;
}

async function states(world: World, scope: Scope): Promise<readonly string[]> {
  const all = { after: null, countMax: 100, match: () => true };
  const { fastRestores } = await listFastRestores(world.ports, scope, all);
  return fastRestores.map(({ zone, state }) => `${zone} ${state}`);
}

function only(all: readonly FastRestore[]): FastRestore {
  const [one, more] = all;
  assert.ok(one !== undefined && more === undefined);
  return one;
}

test('a snapshot is enabled once the host has made it warm, and disabled once it has let it go', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const { id } = await completed(world, scope);
  const zones = [ZONE, 'us-east-1b'];
  const { successful } = await enableFastRestores(world.ports, scope, { snapshots: [id], zones });
  assert.deepEqual(
    successful.map(({ state, zone }) => `${zone} ${state}`),
    ['us-east-1a enabling', 'us-east-1b enabling'],
  );
  world.host.warms = false;
  assert.equal((await tend(world)).failed, 1);
  assert.deepEqual(await states(world, scope), ['us-east-1a optimizing', 'us-east-1b optimizing']);
  world.host.warms = true;
  await world.restartControl();
  await tend(world);
  assert.deepEqual(await states(world, scope), ['us-east-1a enabled', 'us-east-1b enabled']);
  const again = await enableFastRestores(world.ports, scope, { snapshots: [id], zones: [ZONE] });
  assert.equal(only(again.successful).state, 'enabled');

  await disableFastRestores(world.ports, scope, { snapshots: [id], zones: [ZONE] });
  await tend(world);
  assert.deepEqual(await states(world, scope), ['us-east-1a disabled', 'us-east-1b enabled']);
  assert.ok(world.host.warm.has(id), 'the other zone wants it');
  await disableFastRestores(world.ports, scope, { snapshots: [id], zones: ['us-east-1b'] });
  await tend(world);
  assert.ok(!world.host.warm.has(id));
  const { unsuccessful } = await disableFastRestores(world.ports, scope, { snapshots: [id], zones: [ZONE] });
  assert.equal(unsuccessful[0]?.failure.kind, 'wrong-state');
  await world.clock.advance(2 * HOUR_MS);
  await tend(world);
  assert.deepEqual(await states(world, scope), []);
});

test('one that is not ready any more says so, until it is again', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const { id } = await completed(world, scope);
  await enableFastRestores(world.ports, scope, { snapshots: [id], zones: [ZONE] });
  await tend(world);
  world.host.warm.clear();
  world.host.warms = false;
  await tend(world);
  const { fastRestores } = await listFastRestores(world.ports, scope, { after: null, countMax: 9, match: () => true });
  const { state, trouble, enabledAtMs } = only(fastRestores);
  assert.deepEqual([state, trouble, enabledAtMs], ['optimizing', 'there is no room', null]);
  world.host.warms = true;
  await tend(world);
  assert.deepEqual(await states(world, scope), [`${ZONE} enabled`]);
});

test('snapshots that are deleted, archived or not shared any more are let go', async () => {
  await using world = await World.make();
  const [scope, other] = [await world.account(), await world.account()];
  const [deleted, shared] = [await completed(world, scope), await completed(world, scope)];
  await shareSnapshot(world.ports, scope, shared.id, { add: [other.account], remove: [] });
  await enableFastRestores(world.ports, scope, { snapshots: [deleted.id], zones: [ZONE] });
  await enableFastRestores(world.ports, other, { snapshots: [shared.id, deleted.id], zones: [ZONE] });
  await tend(world);
  assert.deepEqual([...world.host.warm].toSorted(), [deleted.id, shared.id].toSorted());
  assert.deepEqual(await states(world, other), [`${ZONE} enabled`], 'what is not shared is not found');
  await shareSnapshot(world.ports, scope, shared.id, { add: [], remove: [other.account] });
  await deleteSnapshot(world.ports, scope, deleted.id, DELETE);
  await tend(world);
  assert.deepEqual(
    [await states(world, scope), await states(world, other)],
    [[`${ZONE} disabled`], [`${ZONE} disabled`]],
  );
  assert.equal(world.host.warm.size, 0);

  const archived = await completed(world, scope);
  await enableFastRestores(world.ports, scope, { snapshots: [archived.id], zones: ['us-east-1b'] });
  await tend(world);
  await archiveSnapshot(world.ports, scope, archived.id);
  await tend(world);
  assert.deepEqual((await states(world, scope)).at(-1), 'us-east-1b disabled');
  const again = await enableFastRestores(world.ports, scope, { snapshots: [archived.id], zones: ['us-east-1b'] });
  assert.deepEqual(
    again.unsuccessful.map(({ failure }) => failure),
    [{ kind: 'wrong-state', resource: 'snapshot', id: archived.id, state: 'archiving' }],
  );
});

test('each item that cannot be is refused by itself', async () => {
  await using world = await World.make({ fastRestoreSnapshotCountMax: 2 });
  const scope = await world.account();
  const ids: SnapshotId[] = [];
  for (let count = 0; count < 3; count += 1) ids.push((await completed(world, scope)).id);
  const { volume } = await createVolume(world.ports, scope, volumeRequest());
  const { snapshot: pending } = await createSnapshot(world.ports, scope, snapshotRequest(volume.id));
  const missing = 'snap-0123456789abcdef0' as SnapshotId;
  const { successful, unsuccessful } = await enableFastRestores(world.ports, scope, {
    snapshots: [missing, pending.id, ...ids],
    zones: [ZONE, 'us-east-1b'],
  });
  assert.equal(successful.length, 4, 'two snapshots in two zones');
  assert.deepEqual(
    unsuccessful.map(({ failure: { kind } }) => kind),
    ['not-found', 'not-found', 'wrong-state', 'wrong-state', 'limit', 'limit'],
  );
  await assert.rejects(
    enableFastRestores(world.ports, scope, { snapshots: ids, zones: ['eu-west-1a'] }),
    refusal({ kind: 'zone-not-found' }),
  );
});

test('a volume is a fast one where its snapshot is enabled, in that zone, unless it asks for a rate', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const { id: origin } = await completed(world, scope);
  const isFast = async (some: { zone?: string; initializationRateMibps?: number } = {}): Promise<boolean> =>
    (await createVolume(world.ports, scope, volumeRequest({ origin, ...some }))).volume.fastRestored;
  assert.equal(await isFast(), false);
  await enableFastRestores(world.ports, scope, { snapshots: [origin], zones: [ZONE] });
  assert.equal(await isFast(), false, 'it is not enabled yet');
  await tend(world);
  const found = [await isFast(), await isFast({ zone: 'us-east-1b' }), await isFast({ initializationRateMibps: 100 })];
  assert.deepEqual(found, [true, false, false]);
});

test('wherever the task is cut short, what is enabled is warm and what is disabled is not', async () => {
  for (const mode of ['before', 'after'] as const) {
    for (let call = 1; ; call += 1) {
      await using world = await World.make();
      const scope = await world.account();
      const { id } = await completed(world, scope);
      let fired: string | null = null;
      for (const isEnabling of [true, false]) {
        const change = isEnabling ? enableFastRestores : disableFastRestores;
        await change(world.ports, scope, { snapshots: [id], zones: [ZONE] });
        world.faults.arm(call, mode);
        await tend(world).catch(() => {});
        fired = world.faults.disarm();
        const [state] = await states(world, scope);
        if (state === `${ZONE} enabled`) assert.ok(world.host.warm.has(id), `${mode} call ${call}`);
        if (state === `${ZONE} disabled`) assert.ok(!world.host.warm.has(id), `${mode} call ${call}`);
        await world.restartControl();
        await tend(world);
        assert.deepEqual(await states(world, scope), [`${ZONE} ${isEnabling ? 'enabled' : 'disabled'}`]);
      }
      if (fired === null) break;
    }
  }
});
