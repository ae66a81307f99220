import assert from 'node:assert/strict';
import { test } from 'node:test';
import { blueprintIdOf, blueprintProblem } from '#domain/blueprint.ts';
import type { SnapshotId } from '#domain/ids.ts';
import { regionName } from '#domain/ids.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import type { Scope } from '#domain/volume.ts';
import { findBlueprint, listBlueprints, type NewBlueprint, registerBlueprint, removeBlueprint } from './blueprints.ts';
import { setPublicSharing } from './public-sharing.ts';
import { refusal, snapshotRequest, volumeRequest } from './request.fake.ts';
import { createSnapshot, deleteSnapshot, findUsableSnapshot } from './snapshots.ts';
import { createVolume } from './volumes.ts';
import { World } from './world.fake.ts';

async function completed(world: World, scope: Scope, sizeGib = 1): Promise<Snapshot> {
  const { volume } = await createVolume(world.ports, scope, volumeRequest({ sizeGib, zone: `${scope.region}a` }));
  const { snapshot } = await createSnapshot(world.ports, scope, snapshotRequest(volume.id));
  await world.settle();
  return snapshot;
}

function words(snapshot: SnapshotId, some: Partial<NewBlueprint> = {}): NewBlueprint {
  return {
    id: 'tiny',
    name: 'Tiny',
    group: 'tiny',
    description: 'A small one',
    version: '1',
    snapshot,
    minimumPower: 0,
    userName: 'admin',
    replaces: false,
    ...some,
  };
}

test('a registered snapshot is a blueprint, of the size of its disk, and every account may use it', async () => {
  await using world = await World.make();
  const operator = await world.account();
  const other = await world.account();
  const { id } = await completed(world, operator, 3);
  const made = await registerBlueprint(world.ports, words(id));
  assert.equal(made.diskGibMin, 3);
  assert.deepEqual(await listBlueprints(world.ports), [made]);
  assert.deepEqual(await findBlueprint(world.ports, 'tiny'), made);
  assert.equal(await findBlueprint(world.ports, 'tin'), null);
  assert.equal((await findUsableSnapshot(world.ports, other, id)).id, id);
});

test('one id is one blueprint, and one snapshot is of one blueprint', async () => {
  await using world = await World.make();
  const operator = await world.account();
  const another = await world.account('eu-west-1');
  const first = await completed(world, operator);
  const second = await completed(world, another);
  await registerBlueprint(world.ports, words(first.id));
  await assert.rejects(registerBlueprint(world.ports, words(second.id)), refusal({ kind: 'name-taken' }));
  await assert.rejects(
    registerBlueprint(world.ports, words(first.id, { id: 'other' })),
    refusal({ kind: 'in-use', by: 'blueprint tiny' }),
  );
  const made = await registerBlueprint(world.ports, words(second.id, { replaces: true, version: '2' }));
  assert.deepEqual(await listBlueprints(world.ports), [made]);
  await world.settle();
  await assert.rejects(findUsableSnapshot(world.ports, operator, first.id), refusal({ kind: 'not-found' }));
});

test('a blueprint that is removed takes its snapshot with it', async () => {
  await using world = await World.make();
  const operator = await world.account();
  const { id } = await completed(world, operator);
  await registerBlueprint(world.ports, words(id));
  assert.equal((await removeBlueprint(world.ports, 'tiny')).snapshot, id);
  await world.settle();
  assert.deepEqual(await listBlueprints(world.ports), []);
  await assert.rejects(findUsableSnapshot(world.ports, operator, id), refusal({ kind: 'not-found' }));
  await assert.rejects(removeBlueprint(world.ports, 'tiny'), refusal({ kind: 'not-found' }));
});

test('a blueprint whose snapshot was deleted is not offered, and can still be removed', async () => {
  await using world = await World.make();
  const operator = await world.account();
  const { id } = await completed(world, operator);
  await registerBlueprint(world.ports, words(id));
  await deleteSnapshot(world.ports, operator, id, { token: null, operation: null });
  assert.equal(await findBlueprint(world.ports, 'tiny'), null);
  assert.deepEqual(await listBlueprints(world.ports), []);
  await removeBlueprint(world.ports, 'tiny');
  const again = await completed(world, operator);
  await registerBlueprint(world.ports, words(again.id));
});

test('what cannot be used by everybody is refused', async () => {
  await using world = await World.make();
  const operator = await world.account();
  const { volume } = await createVolume(world.ports, operator, volumeRequest());
  const { snapshot } = await createSnapshot(world.ports, operator, snapshotRequest(volume.id));
  await assert.rejects(registerBlueprint(world.ports, words(snapshot.id)), refusal({ kind: 'wrong-state' }));
  await world.settle();
  await setPublicSharing(world.ports, operator, 'block-new-sharing');
  await assert.rejects(registerBlueprint(world.ports, words(snapshot.id)), refusal({ kind: 'not-permitted' }));
  await setPublicSharing(world.ports, { ...operator, region: regionName('eu-west-1') }, 'block-new-sharing');
  await setPublicSharing(world.ports, operator, 'unblocked');
  await assert.rejects(
    registerBlueprint(world.ports, words(snapshot.id, { userName: 'Bobby Tables' })),
    refusal({ kind: 'invalid-value', field: 'userName' }),
  );
  await assert.rejects(
    registerBlueprint(world.ports, words('snap-00000000000000000' as SnapshotId)),
    refusal({ kind: 'not-found' }),
  );
  assert.deepEqual(await listBlueprints(world.ports), []);
});

test('an id is made of a name, and words have rules', () => {
  assert.equal(blueprintIdOf('Debian 12.11 (slim)'), 'debian_12_11_slim');
  assert.equal(blueprintIdOf('9front'), 'front');
  assert.equal(blueprintIdOf('...'), null);
  assert.equal(blueprintIdOf('x'.repeat(200))?.length, 64);
  const good = words('snap-00000000000000000' as SnapshotId);
  assert.equal(blueprintProblem(good), null);
  for (const bad of [
    { id: 'Tiny' },
    { id: 'a__b' },
    { group: '' },
    { name: '' },
    { version: 'a\nb' },
    { minimumPower: -1 },
  ]) {
    const field = Object.keys(bad)[0];
    assert.equal(blueprintProblem({ ...good, ...bad })?.field, field);
  }
});
