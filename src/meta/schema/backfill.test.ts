import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { Kysely } from 'kysely';
import { SeededRandom } from '#base/random.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { VirtualClock } from '#base/virtual-clock.ts';
import { type AccountId, type Lineage, newSnapshotId, newVolumeId, regionName } from '#domain/ids.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import { NO_VOLUME_DETAILS, type Volume, type VolumeState } from '#domain/volume.ts';
import { KyselyStore } from '#meta/kysely-store.ts';
import { snapshotRecord } from '#meta/snapshot.fixture.ts';
import { snapshotTable } from '#meta/snapshot-table.ts';
import { openExclusive, sqliteDialect } from '#meta/sqlite.ts';
import { volumeTable } from '#meta/volume-table.ts';
import { MIGRATIONS } from './migrations.ts';
import type { Tables } from './tables.ts';

const scope = { account: '111111111111' as AccountId, region: regionName('us-east-1') };
const random = new SeededRandom(5);

function volume(state: VolumeState, sizeGib: number, draft = false): Volume {
  const id = newVolumeId(random);
  return {
    ...scope,
    id,
    face: 'ec2',
    draft,
    name: null,
    zone: 'us-east-1a',
    sizeGib,
    type: 'gp2',
    iops: 100,
    throughputMibps: null,
    multiAttach: false,
    state,
    createdAtMs: 0,
    origin: null,
    generation: 1,
    lineage: id as string as Lineage,
    ...NO_VOLUME_DETAILS,
    tags: { size: String(sizeGib) },
  };
}

function snapshot(state: Snapshot['state'], sharedWith: Snapshot['sharedWith']): Snapshot {
  const ids = { id: newSnapshotId(random), volume: newVolumeId(random) };
  return snapshotRecord(scope, ids, { state, sharedWith, tags: { of: 'before' } });
}

test('what was there before there were searches and tallies is found and counted', async () => {
  const path = join(scratchDirectory('meta'), 'meta.db');
  const [open, secret, gone] = [snapshot('completed', ['all']), snapshot('completed', []), snapshot('deleting', [])];
  const db = new Kysely<Tables>({ dialect: sqliteDialect(openExclusive(path)) });
  await db.schema
    .createTable('schema_versions')
    .addColumn('version', 'integer', (column) => column.primaryKey().notNull())
    .addColumn('applied_at_ms', 'integer', (column) => column.notNull())
    .execute();
  for (const [index, step] of MIGRATIONS.slice(0, 2).entries()) {
    await step(db);
    await db
      .insertInto('schema_versions')
      .values({ version: index + 1, applied_at_ms: 0 })
      .execute();
  }
  for (const one of [open, secret, gone]) await snapshotTable(db).insert(one);
  for (const one of [volume('available', 8), volume('error', 3), volume('deleting', 5), volume('available', 7, true)]) {
    await volumeTable(db).insert(one);
  }
  await db.destroy();

  await using store = await KyselyStore.open(path, new VirtualClock());
  const page = { after: 0, countMax: 10 };
  const found = await store.read(async (tx) => ({
    snapshots: await tx.snapshots.count(scope),
    volumes: await tx.volumes.count(scope),
    tagged: await tx.snapshots.list({ scope, face: null, search: { kind: 'tag', key: 'of', value: 'before' } }, page),
    shared: await tx.snapshots.list({ scope, face: null, search: { kind: 'shared-with', grantee: 'all' } }, page),
    sized: await tx.volumes.list({ scope, face: null, search: { kind: 'tag', key: 'size', value: null } }, page),
  }));
  assert.deepEqual([found.snapshots, found.volumes], [2, { count: 2, sizeGib: 11 }]);
  assert.deepEqual(
    found.tagged.map(({ record }) => record.id),
    [open.id, secret.id],
  );
  assert.deepEqual(
    found.shared.map(({ record }) => record.id),
    [open.id],
  );
  assert.equal(found.sized.length, 2);
});

test('the tally of volumes follows what happens to them', async () => {
  await using store = await KyselyStore.open(':memory:', new VirtualClock());
  let model: Volume[] = [];
  const states: readonly VolumeState[] = ['creating', 'available', 'error', 'deleting'];
  for (let step = 0; step < 300; step += 1) {
    const state = states[random.below(4)] ?? 'available';
    const changed = model[random.below(model.length + 1)];
    await store.transact(async (tx) => {
      if (changed === undefined || random.below(2) === 0) {
        const made = volume(state, 1 + random.below(9), random.below(4) === 0);
        model.push(made);
        await tx.volumes.insert(made);
      } else if (random.below(3) === 0) {
        model = model.filter(({ id }) => id !== changed.id);
        await tx.volumes.remove(changed.id);
      } else {
        const now = { ...changed, state, sizeGib: changed.sizeGib + random.below(2) };
        model = model.map((one) => (one.id === now.id ? now : one));
        await tx.volumes.update(now);
      }
    });
    const counted = model.filter((one) => !one.draft && one.state !== 'deleting');
    assert.deepEqual(await store.read((tx) => tx.volumes.count(scope)), {
      count: counted.length,
      sizeGib: counted.reduce((sum, one) => sum + one.sizeGib, 0),
    });
  }
});
