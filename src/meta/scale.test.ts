import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '#base/random.ts';
import { VirtualClock } from '#base/virtual-clock.ts';
import { newSnapshotId, newVolumeId, regionName, type AccountId } from '#domain/ids.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import { KyselyStore } from './kysely-store.ts';
import type { SnapshotSearch } from './meta-store.ts';
import { snapshotRecord } from './snapshot.fixture.ts';

const COUNT = 10_000;
const random = new SeededRandom(11);
const scope = { account: '123456789012' as AccountId, region: regionName('us-east-1') };

function snapshot(index: number): Snapshot {
  const isPending = index % 1000 === 0;
  return snapshotRecord(
    scope,
    { id: newSnapshotId(random), volume: newVolumeId(random) },
    {
      state: isPending ? 'pending' : 'completed',
      description: `number ${index}`,
      startedAtMs: index,
      released: !isPending,
      tags: { index: String(index) },
    },
  );
}

test('ten thousand snapshots are listed in pages, found by id, and their work found without looking at all', async () => {
  await using store = await KyselyStore.open(':memory:', new VirtualClock());
  const all = Array.from({ length: COUNT }, (_, index) => snapshot(index));
  await store.transact(async (tx) => {
    for (const one of all) await tx.snapshots.insert(one);
  });
  let after = 0;
  const listed: string[] = [];
  for (;;) {
    const from = after;
    const rows = await store.read((tx) => tx.snapshots.list({ scope, face: 'ec2' }, { after: from, countMax: 500 }));
    for (const { sequence, record } of rows) {
      listed.push(record.id);
      after = sequence;
    }
    if (rows.length < 500) break;
  }
  assert.deepEqual(
    listed,
    all.map(({ id }) => id),
  );
  const last = all.at(-1);
  assert.ok(last !== undefined);
  assert.deepEqual(await store.read((tx) => tx.snapshots.find(last.id)), last);
  const unreleased = await store.read((tx) => tx.snapshots.unreleased({ after: 0, countMax: 500 }));
  assert.equal(unreleased.length, COUNT / 1000);
  // Cost, in a unit that a busy machine does not change: lookups by index against one scan of the table.
  const scanMs = await cost(() => store.read((tx) => tx.snapshots.named('none')), 20);
  const findMs = await cost(() => store.read((tx) => tx.snapshots.find(last.id)), 20);
  const workMs = await cost(() => store.read((tx) => tx.snapshots.unreleased({ after: 0, countMax: 500 })), 20);
  const wholeMs = await cost(
    () => store.read((tx) => tx.snapshots.list({ scope, face: null }, { after: 0, countMax: COUNT })),
    3,
  );
  // A page of what is searched for, also where all match, and where few do.
  const searches: readonly SnapshotSearch[] = [
    { kind: 'tag', key: 'index', value: '9999' },
    { kind: 'tag', key: 'index', value: null },
    { kind: 'volume', volume: last.volume },
    { kind: 'state', state: 'pending' },
    { kind: 'state', state: 'completed' },
    { kind: 'shared-with', grantee: 'all' },
  ];
  const searchMs: number[] = [];
  for (const search of searches) {
    searchMs.push(
      await cost(
        () => store.read((tx) => tx.snapshots.list({ scope, face: 'ec2', search }, { after: 0, countMax: 5 })),
        20,
      ),
    );
  }
  for (const ms of [scanMs, findMs, workMs, ...searchMs])
    assert.ok(ms < wholeMs / 5, `${ms} ms against ${wholeMs} ms for everything`);
});

/** The least of several runs, in ms. */
async function cost(run: () => Promise<unknown>, times: number): Promise<number> {
  let least = Infinity;
  for (let time = 0; time < times; time += 1) {
    const startMs = performance.now();
    await run();
    least = Math.min(least, performance.now() - startMs);
  }
  return least;
}
