import assert from 'node:assert/strict';
import { test } from 'node:test';

import { systemClock } from '#base/clock.ts';

import { treeLines, treesOf, treesWith } from './snapshot-tree.ts';
import type { ListedSnapshot } from './snapshots.ts';
import type { ListedVolume } from './volumes.ts';

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;

function volume(id: string, atMs: number, more: Partial<ListedVolume> = {}): ListedVolume {
  return {
    ...{ id, name: id, face: 'lightsail', account: '1', region: 'us-east-1', outpost: null, sizeBytes: 8 * GIB },
    ...{ state: 'available', origin: null, instance: null, createdAtMs: atMs, clientCount: 0, ownBytes: 0 },
    ...{ encrypted: false, failure: null, hydration: null },
    ...more,
  };
}

function snapshot(id: string, of: string, atMs: number, more: Partial<ListedSnapshot> = {}): ListedSnapshot {
  return {
    ...{ id, name: null, face: 'ec2', account: '1', region: 'us-east-1', outpost: null, volume: of, volumeName: null },
    ...{ parent: null, copiedFrom: null, description: '', instanceSnapshot: null, autoDate: null, sizeBytes: 8 * GIB },
    ...{ state: 'completed', progressPercent: 100, startedAtMs: atMs, completedAtMs: atMs, fullBytes: 5 * MIB },
    ...{ changedBytes: MIB, newBytes: MIB, exclusiveBytes: MIB / 2, sharedBytes: 0 },
    ...more,
  };
}

test('a tree has volumes above their snapshots, and these above what was restored and copied', () => {
  const trees = treesOf(
    [volume('disk-1', 1000), volume('disk-2', 5000, { origin: 's-1' }), volume('other', 500)],
    [
      snapshot('s-2', 'disk-1', 3000, { parent: 's-1', state: 'pending', progressPercent: 40 }),
      snapshot('s-1', 'disk-1', 2000),
      snapshot('s-3', 'disk-2', 6000, { parent: 's-1', name: 'later' }),
      snapshot('c-1', 'vol-ffffffff', 4000, { copiedFrom: 's-1' }),
    ],
  );
  const line = (atMs: number, rest: string): string =>
    `${new Date(atMs).toISOString().slice(0, 19).replace('T', ' ')}${rest}`;
  assert.deepEqual(
    [...treeLines(trees)],
    [
      'other  other  (disk of 8 GiB)',
      'disk-1  disk-1  (disk of 8 GiB)',
      `├─ s-1  (${line(2000, ', 1 MiB changed, 512 KiB its own')})`,
      `│  ├─ c-1  (${line(4000, ', a copy, 1 MiB changed, 512 KiB its own')})`,
      '│  └─ disk-2  disk-2  (disk of 8 GiB)',
      `│     └─ later  s-3  (${line(6000, ', 1 MiB changed, 512 KiB its own')})`,
      `└─ s-2  (${line(3000, ', 1 MiB changed, 512 KiB its own, pending 40%')})`,
    ],
  );
  assert.deepEqual(
    treesWith(trees, new Set(['s-3'])).map(({ id }) => id),
    ['disk-1'],
  );
});

test('snapshots of a deleted volume stand under it still, and that under what it was made from', () => {
  const trees = treesOf(
    [volume('disk-1', 1000)],
    [
      snapshot('s-1', 'disk-1', 2000),
      snapshot('s-2', 'gone', 4000, { parent: 's-1', volumeName: 'web' }),
      snapshot('s-3', 'gone', 5000, { parent: 's-2', volumeName: 'web' }),
      snapshot('s-4', 'lost', 6000, { parent: 's-0' }),
    ],
  );
  assert.deepEqual(
    [...treeLines(trees)].map((line) => line.replace(/ {2}\(.*?(deleted)?\)$/, ' $1').trimEnd()),
    ['disk-1  disk-1', '└─ s-1', '   └─ web  gone deleted', '      ├─ s-2', '      └─ s-3', 'lost deleted', '└─ s-4'],
  );
});

test('names that would steer the terminal do not', () => {
  const [line] = treeLines(treesOf([volume('v', 1, { name: 'a\u001B[2Jb' })], []));
  assert.equal(line, 'a\uFFFD[2Jb  v  (disk of 8 GiB)');
});

test('a hundred thousand snapshots of one disk, and of disks that are gone, are a tree in a moment', () => {
  const of = (at: number): string => (at % 2 === 0 ? 'disk-1' : `gone-${at % 10_001}`);
  const snapshots = Array.from({ length: 100_000 }, (_, at) => snapshot(`s-${at}`, of(at), at));
  const began = systemClock.monotonicMs();
  const trees = treesOf([volume('disk-1', 0)], snapshots);
  assert.equal(trees[0]?.children.length, 50_000);
  assert.equal([...treeLines(trees)].length, 100_000 + trees.length);
  // Each copied for the next would take minutes.
  assert.ok(systemClock.monotonicMs() - began < 30_000);
});
