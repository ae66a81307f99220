import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DomainError } from '#domain/errors.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import type { Scope, Volume } from '#domain/volume.ts';
import type { Tx } from '#meta/meta-store.ts';
import { VolumeHostError } from '#volume/host.ts';
import * as bin from './recycle-bin.ts';
import type { ControlPorts } from './ports.ts';
import { snapshotRequest, volumeRequest } from './request.fake.ts';
import { createRule } from './retention-rules.ts';
import { lockSnapshot, unlockSnapshot } from './snapshot-locks.ts';
import { archiveSnapshot, restoreSnapshot } from './snapshot-tiers.ts';
import { createSnapshot, deleteSnapshot, findSnapshot, listSnapshots } from './snapshots.ts';
import { emptyBin } from './tasks/empty-bin.ts';
import { createVolume, deleteVolume, findVolume, listVolumes } from './volumes.ts';
import { World } from './world.fake.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const NOTHING = { token: null, operation: null };
const ALL = { ids: null, face: null, after: null, countMax: 100 };

async function refusal(call: Promise<unknown>): Promise<string> {
  return await call.then(
    () => 'not refused',
    (error: unknown) => (error instanceof DomainError ? error.failure.kind : String(error)),
  );
}

/** A world with a rule that keeps snapshots and volumes for a day. */
async function binWorld(): Promise<{ world: World; scope: Scope; volume: Volume; snapshot: Snapshot }> {
  const world = await World.make();
  const { ports } = world;
  const scope = await world.account();
  const rule = { description: null, days: 1, tagged: [], excluded: [], unlockDelayDays: null, tags: [] };
  await createRule(ports, scope, { ...rule, type: 'EBS_SNAPSHOT' });
  await createRule(ports, scope, { ...rule, type: 'EBS_VOLUME' });
  const { volume } = await createVolume(ports, scope, volumeRequest());
  const { snapshot } = await createSnapshot(ports, scope, snapshotRequest(volume.id));
  await world.settle();
  return { world, scope, volume, snapshot: await findSnapshot(ports, scope, snapshot.id) };
}

test('a deleted snapshot that a rule keeps is in the bin alone, and comes back whole', async () => {
  const { world, scope, snapshot } = await binWorld();
  await using _ = world;
  const { ports } = world;
  await deleteSnapshot(ports, scope, snapshot.id, NOTHING);
  await world.settle();
  assert.equal(await refusal(findSnapshot(ports, scope, snapshot.id)), 'not-found');
  assert.equal((await listSnapshots(ports, scope, ALL)).snapshots.length, 0);
  assert.equal(await refusal(deleteSnapshot(ports, scope, snapshot.id, NOTHING)), 'not-found');
  const { snapshots } = await bin.listBinnedSnapshots(ports, scope, ALL);
  assert.deepEqual(
    snapshots.map((one) => [one.id, one.bin.exitAtMs - one.bin.enteredAtMs]),
    [[snapshot.id, DAY_MS]],
  );
  assert.equal((await bin.listBinnedSnapshots(ports, await world.account(), ALL)).snapshots.length, 0);

  assert.equal((await bin.recoverSnapshot(ports, scope, snapshot.id)).state, 'recovering');
  await world.control.run('empty-bin');
  assert.deepEqual(await findSnapshot(ports, scope, snapshot.id), snapshot);
  assert.equal(await refusal(bin.recoverSnapshot(ports, scope, snapshot.id)), 'not-found');
});

test('what has been in the bin for its time is deleted for good, with its bytes', async () => {
  const { world, scope, volume, snapshot } = await binWorld();
  await using _ = world;
  const { ports } = world;
  await deleteSnapshot(ports, scope, snapshot.id, NOTHING);
  await deleteVolume(ports, scope, volume.id, NOTHING);
  await world.clock.advance(DAY_MS - 1);
  await world.control.run('empty-bin');
  await world.settle();
  assert.ok(world.host.snapshots.has(snapshot.id) && world.host.volumes.has(volume.id));
  await world.clock.advance(DAY_MS);
  await world.control.run('empty-bin');
  await world.settle();
  assert.ok(!world.host.snapshots.has(snapshot.id) && !world.host.volumes.has(volume.id));
  assert.equal(await refusal(bin.recoverSnapshot(ports, scope, snapshot.id)), 'not-found');
  assert.equal(await refusal(bin.recoverVolume(ports, scope, volume.id)), 'not-found');
});

test('a volume in the bin is not served, also after a restart, and is served again when it is back', async () => {
  const { world, scope, volume } = await binWorld();
  await using _ = world;
  const { ports } = world;
  const isOpen = async () => (await ports.host.status([volume.id])).length === 1;
  await deleteVolume(ports, scope, volume.id, NOTHING);
  await world.control.run('empty-bin');
  assert.ok(!(await isOpen()));
  assert.equal((await listVolumes(ports, scope, ALL)).volumes.length, 0);
  await world.restartControl();
  await world.settle();
  assert.ok(!(await isOpen()));
  await bin.recoverVolume(world.ports, scope, volume.id);
  assert.ok(await isOpen());
  assert.equal((await findVolume(world.ports, scope, volume.id)).state, 'available');
});

test('a snapshot whose bytes are gone comes back in error, and says so', async () => {
  const { world, scope, snapshot } = await binWorld();
  await using _ = world;
  await deleteSnapshot(world.ports, scope, snapshot.id, NOTHING);
  world.host.snapshots.delete(snapshot.id);
  await bin.recoverSnapshot(world.ports, scope, snapshot.id);
  await world.control.run('empty-bin');
  const back = await findSnapshot(world.ports, scope, snapshot.id);
  assert.equal(back.state, 'error');
  assert.match(back.stateMessage ?? '', /not found in the store/);
});

test('a locked snapshot is not deleted until its lock has expired', async () => {
  const { world, scope, snapshot } = await binWorld();
  await using _ = world;
  const { ports, clock } = world;
  const { id } = snapshot;
  const lock = { mode: 'governance', coolOffHours: null, durationDays: 2, expiresAtMs: null } as const;
  await lockSnapshot(ports, scope, id, lock);
  assert.equal(await refusal(deleteSnapshot(ports, scope, id, NOTHING)), 'not-permitted');
  await unlockSnapshot(ports, scope, id);
  assert.equal(await refusal(unlockSnapshot(ports, scope, id)), 'wrong-state');

  const compliance = { ...lock, mode: 'compliance', coolOffHours: 1 } as const;
  await lockSnapshot(ports, scope, id, compliance);
  await lockSnapshot(ports, scope, id, { ...compliance, durationDays: 1 });
  await clock.advance(HOUR_MS);
  assert.equal(await refusal(unlockSnapshot(ports, scope, id)), 'wrong-state');
  assert.equal(await refusal(lockSnapshot(ports, scope, id, lock)), 'wrong-state', 'the mode stays');
  assert.equal(await refusal(lockSnapshot(ports, scope, id, compliance)), 'wrong-state', 'no second cool-off');
  const shorter = { ...lock, mode: 'compliance', durationDays: null, expiresAtMs: clock.nowMs() + 2 * DAY_MS } as const;
  assert.equal(await refusal(lockSnapshot(ports, scope, id, shorter)), 'not refused', 'longer is allowed');
  assert.equal(
    await refusal(lockSnapshot(ports, scope, id, { ...shorter, expiresAtMs: clock.nowMs() + DAY_MS })),
    'wrong-state',
  );
  await clock.advance(2 * DAY_MS - 1);
  assert.equal(await refusal(deleteSnapshot(ports, scope, id, NOTHING)), 'not-permitted');
  await clock.advance(1);
  assert.equal(await refusal(deleteSnapshot(ports, scope, id, NOTHING)), 'not refused');
});

test('the time of a lock that is set while the snapshot is pending begins when it completes', async () => {
  const { world, scope, volume } = await binWorld();
  await using _ = world;
  const { ports, clock } = world;
  const { snapshot } = await createSnapshot(ports, scope, snapshotRequest(volume.id));
  const lock = { mode: 'governance', coolOffHours: null, durationDays: 1, expiresAtMs: null } as const;
  assert.equal((await lockSnapshot(ports, scope, snapshot.id, lock)).lock.startMs, null);
  await clock.advance(HOUR_MS);
  await world.settle();
  const done = await findSnapshot(ports, scope, snapshot.id);
  assert.equal(done.lock?.startMs, done.completedAtMs);
  const wrong = async (some: Partial<Parameters<typeof lockSnapshot>[3]>) =>
    await refusal(lockSnapshot(ports, scope, snapshot.id, { ...lock, ...some }));
  assert.equal(await wrong({ durationDays: null }), 'missing');
  assert.equal(await wrong({ expiresAtMs: clock.nowMs() + DAY_MS }), 'exclusive');
  assert.equal(await wrong({ durationDays: 36_501 }), 'invalid-value');
  assert.equal(await wrong({ durationDays: 0 }), 'invalid-value');
  assert.equal(await wrong({ coolOffHours: 1 }), 'exclusive');
  assert.equal(await wrong({ mode: 'compliance', coolOffHours: 73 }), 'invalid-value');
});

test('what is in the archive comes back from the bin as it was', async () => {
  const { world, scope, snapshot } = await binWorld();
  await using _ = world;
  const { ports, control } = world;
  const { id } = snapshot;
  await archiveSnapshot(ports, scope, id);
  await control.run('tend-tiers');
  await deleteSnapshot(ports, scope, id, NOTHING);
  await bin.recoverSnapshot(ports, scope, id);
  assert.equal(await refusal(restoreSnapshot(ports, scope, id, null)), 'wrong-state', 'it is on its way');
  await control.run('empty-bin');
  const back = await findSnapshot(ports, scope, id);
  assert.deepEqual([back.state, back.tier?.state], ['completed', 'archived']);
  await restoreSnapshot(ports, scope, id, null);
  await control.run('tend-tiers');
  assert.ok(world.host.snapshots.has(id));
});

test('what is deleted on its way out of the bin goes back into it', async () => {
  const { world, scope, snapshot } = await binWorld();
  await using _ = world;
  const { ports } = world;
  await deleteSnapshot(ports, scope, snapshot.id, NOTHING);
  await bin.recoverSnapshot(ports, scope, snapshot.id);
  await deleteSnapshot(ports, scope, snapshot.id, NOTHING);
  await world.control.run('empty-bin');
  const { snapshots } = await bin.listBinnedSnapshots(ports, scope, ALL);
  assert.deepEqual(
    snapshots.map(({ id }) => id),
    [snapshot.id],
  );
});

test('a snapshot that ends in error has no lock, and gets none', async () => {
  const { world, scope, volume } = await binWorld();
  await using _ = world;
  const { ports, host } = world;
  const { snapshot } = await createSnapshot(ports, scope, snapshotRequest(volume.id));
  const lock = { mode: 'compliance', coolOffHours: null, durationDays: 1, expiresAtMs: null } as const;
  await lockSnapshot(ports, scope, snapshot.id, lock);
  host.failUploads(new VolumeHostError('damaged', 'a chunk is not what it was'));
  await world.control.run('upload-snapshots');
  assert.equal((await findSnapshot(ports, scope, snapshot.id)).lock, null);
  assert.equal(await refusal(lockSnapshot(ports, scope, snapshot.id, lock)), 'wrong-state');
  assert.equal(await refusal(deleteSnapshot(ports, scope, snapshot.id, NOTHING)), 'not refused');
});

test('a lock of compliance that becomes one of governance has no cool-off any more', async () => {
  const { world, scope, snapshot } = await binWorld();
  await using _ = world;
  const lock = { mode: 'compliance', coolOffHours: 24, durationDays: 2, expiresAtMs: null } as const;
  await lockSnapshot(world.ports, scope, snapshot.id, lock);
  await world.clock.advance(HOUR_MS);
  const weaker = { ...lock, mode: 'governance', coolOffHours: null } as const;
  const changed = await lockSnapshot(world.ports, scope, snapshot.id, weaker);
  assert.deepEqual([changed.lock.coolOffHours, changed.lock.createdAtMs], [null, world.clock.nowMs()]);
});

test('what was taken out and put in again, while the task was looking, stays for its new time', async () => {
  const { world, scope, snapshot } = await binWorld();
  await using _ = world;
  const { ports } = world;
  await deleteSnapshot(ports, scope, snapshot.id, NOTHING);
  await world.clock.advance(DAY_MS);
  let isFirst = true;
  const meta: ControlPorts['meta'] = Object.create(ports.meta, {
    transact: {
      value: async (body: (tx: Tx) => Promise<unknown>): Promise<unknown> => {
        if (isFirst) {
          isFirst = false;
          await ports.meta.transact(async (tx) => {
            const current = await tx.snapshots.find(snapshot.id);
            const nowMs = world.clock.nowMs();
            assert.ok(current !== null);
            await tx.snapshots.update({ ...current, bin: { enteredAtMs: nowMs, exitAtMs: nowMs + DAY_MS } });
          });
        }
        return await ports.meta.transact(body);
      },
    },
  });
  await emptyBin({ ...ports, meta }).activate(new AbortController().signal);
  assert.ok(!isFirst);
  assert.equal((await bin.listBinnedSnapshots(ports, scope, ALL)).snapshots.length, 1);
});

test('a volume in the bin that cannot be closed holds up nothing else', async () => {
  const { world, scope, volume, snapshot } = await binWorld();
  await using _ = world;
  const { ports } = world;
  await deleteVolume(ports, scope, volume.id, NOTHING);
  await deleteSnapshot(ports, scope, snapshot.id, NOTHING);
  await bin.recoverSnapshot(ports, scope, snapshot.id);
  const host: ControlPorts['host'] = Object.create(ports.host, {
    status: { value: () => Promise.reject(new VolumeHostError('damaged', 'it does not answer')) },
  });
  const report = await emptyBin({ ...ports, host }).activate(new AbortController().signal);
  assert.ok(report.failed > 0);
  assert.equal((await findSnapshot(ports, scope, snapshot.id)).state, 'completed');
});
