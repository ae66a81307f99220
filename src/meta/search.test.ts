import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '#base/random.ts';
import { VirtualClock } from '#base/virtual-clock.ts';
import { type AccountId, newSnapshotId, newVolumeId, regionName, type VolumeId } from '#domain/ids.ts';
import type { Snapshot, SnapshotState } from '#domain/snapshot.ts';
import { KyselyStore } from './kysely-store.ts';
import type { SnapshotSearch } from './meta-store.ts';
import { snapshotRecord } from './snapshot.fixture.ts';

const owner = { account: '111111111111' as AccountId, region: regionName('us-east-1') };
const other = { account: '222222222222' as AccountId, region: regionName('us-east-1') };
const abroad = { account: owner.account, region: regionName('eu-west-1') };
const random = new SeededRandom(21);
const volumes: readonly VolumeId[] = Array.from({ length: 3 }, () => newVolumeId(random));

function randomSnapshot(): Snapshot {
  const volume = volumes[random.below(3)] as VolumeId;
  const scope = [owner, owner, other, abroad][random.below(4)] ?? owner;
  return snapshotRecord(scope, { id: newSnapshotId(random), volume }, { state: randomState(), ...changing() });
}

function randomState(): SnapshotState {
  const states: readonly SnapshotState[] = ['cutting', 'pending', 'completed', 'completed', 'error', 'deleting'];
  return states[random.below(states.length)] ?? 'completed';
}

function changing(): Pick<Snapshot, 'tags' | 'sharedWith'> {
  const tags = Object.fromEntries(
    ['a', '"b"', 'ключ'].filter(() => random.below(2) === 0).map((key) => [key, String(random.below(3))]),
  );
  const sharedWith = (['all', other.account, owner.account] as const).filter(() => random.below(3) === 0);
  return { tags, sharedWith };
}

const SEARCHES: readonly (SnapshotSearch | null)[] = [
  null,
  ...['a', '"b"', 'ключ', 'absent'].flatMap((key) => [
    { kind: 'tag' as const, key, value: null },
    { kind: 'tag' as const, key, value: '1' },
  ]),
  ...volumes.map((volume) => ({ kind: 'volume' as const, volume })),
  ...(['pending', 'completed', 'error', 'deleting'] as const).map((state) => ({ kind: 'state' as const, state })),
  ...(['all', owner.account, other.account] as const).map((grantee) => ({ kind: 'shared-with' as const, grantee })),
];

function found(snapshot: Snapshot, scope: typeof owner, search: SnapshotSearch | null): boolean {
  if (!['pending', 'completed', 'error'].includes(snapshot.state) || snapshot.region !== scope.region) return false;
  if (search?.kind === 'shared-with') return snapshot.sharedWith.includes(search.grantee);
  if (snapshot.account !== scope.account) return false;
  switch (search?.kind) {
    case undefined:
      return true;
    case 'id':
      return snapshot.id === search.id;
    case 'volume':
      return snapshot.volume === search.volume;
    case 'state':
      return snapshot.state === search.state;
    case 'tag': {
      const value = snapshot.tags[search.key];
      return value !== undefined && (search.value === null || value === search.value);
    }
  }
}

test('searches find what going through everything finds, in order and by page, whatever changes', async () => {
  await using store = await KyselyStore.open(':memory:', new VirtualClock());
  let model: Snapshot[] = [];
  for (let round = 0; round < 30; round += 1) {
    await store.transact(async (tx) => {
      for (let count = 0; count < 20; count += 1) {
        const made = randomSnapshot();
        model.push(made);
        await tx.snapshots.insert(made);
        const changed = model[random.below(model.length)];
        if (changed === undefined) continue;
        if (random.below(6) === 0) {
          model = model.filter(({ id }) => id !== changed.id);
          await tx.snapshots.remove(changed.id);
          continue;
        }
        const now = {
          ...changed,
          ...(random.below(2) === 0 ? changing() : {}),
          description: 'changed',
          state: randomState(),
        };
        model = model.map((one) => (one.id === now.id ? now : one));
        await tx.snapshots.update(now);
      }
    });
    for (const scope of [owner, other, abroad]) {
      const mine = model.filter((one) => one.account === scope.account && one.region === scope.region);
      assert.equal(
        await store.read((tx) => tx.snapshots.count(scope)),
        mine.filter(({ state }) => state !== 'deleting').length,
      );
    }
    for (const search of SEARCHES) {
      for (const scope of [owner, other, abroad]) {
        const expected = model.filter((one) => found(one, scope, search)).map(({ id }) => id);
        const listed: string[] = [];
        for (let after = 0; ;) {
          const from = after;
          const rows = await store.read((tx) =>
            tx.snapshots.list({ scope, face: 'ec2', search }, { after: from, countMax: 13 }),
          );
          for (const { sequence, record } of rows) {
            assert.ok(sequence > after);
            after = sequence;
            listed.push(record.id);
          }
          if (rows.length < 13) break;
        }
        assert.deepEqual(listed, expected, JSON.stringify(search));
      }
    }
  }
});
