import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';

import { systemClock } from '#base/clock.ts';
import { FuzzWatch, mutated } from '#base/mutations.fixture.ts';
import { SeededRandom } from '#base/random.ts';
import { DamageError } from '#chunk/errors.ts';
import type { AccountId, RegionName, SnapshotId, VolumeId } from '#domain/ids.ts';

import { decodeManifest, encodeManifest, manifestKey, type Manifest } from './manifest.ts';
import { DEPTH_MAX, FAN_OUT, TreeNode } from './tree-node.ts';

const SEED = Number(process.env['FUZZ_SEED'] ?? systemClock.nowMs() % 1_000_000);
const INPUTS = Number(process.env['FUZZ_INPUTS'] ?? 20_000);
const MEMORY_BYTES_MAX = 256 * 1024 * 1024;
const KEY = manifestKey(Buffer.alloc(32, 3));
const SNAPSHOT = 'snap-00000000000000001' as SnapshotId;

const MANIFEST: Manifest = {
  label: {
    snapshot: SNAPSHOT,
    account: '000000000001' as AccountId,
    region: 'us-east-1' as RegionName,
    volume: 'vol-00000000000000001' as VolumeId,
    sizeBytes: 2 ** 30,
    description: 'a "description" ü',
    startedAtMs: 1_700_000_000_000,
    tags: { name: 'one', other: '' },
    parent: 'snap-00000002' as SnapshotId,
  },
  completedAtMs: 1_700_000_001_000,
  root: { key: 'ab'.repeat(32), depth: 2, chunkCount: 2048, presentCount: 17 },
  fullBytes: 17 * 524_288,
  changedBytes: 524_288,
  storedBytes: 1234,
};

const VALUES: readonly unknown[] = [
  null,
  0,
  -1,
  0.5,
  1e300,
  2 ** 60,
  '',
  'x',
  SNAPSHOT,
  true,
  [],
  [[]],
  [['a']],
  [[1, 2]],
  {},
  { key: 'zz', depth: 9 },
  { key: null, depth: 4, chunkCount: 2 ** 40, presentCount: 0 },
];

/** Makes the authentication good again: what only somebody with the key, or a program of another version, can write. */
function sealed(line: string): Buffer {
  return Buffer.from(`${line}${createHmac('sha256', KEY).update(line).digest('hex')}\n`);
}

function input(random: SeededRandom): Buffer {
  const whole = encodeManifest(KEY, MANIFEST);
  const line = whole.toString('utf8').split('\n')[0] ?? '';
  switch (random.below(4)) {
    case 0:
      return mutated(random, whole);
    case 1: {
      const wrong = mutated(random, Buffer.from(line)).toString('utf8').replaceAll('\n', ' ');
      return sealed(`${wrong}\n`);
    }
    case 2: {
      const content = JSON.parse(line) as Record<string, unknown>;
      const names = Object.keys(content);
      content[names[random.below(names.length)] ?? ''] = VALUES[random.below(VALUES.length)];
      return sealed(`${JSON.stringify(content)}\n`);
    }
    default:
      return random.below(8) === 0 ? whole : sealed(`${JSON.stringify(VALUES[random.below(VALUES.length)])}\n`);
  }
}

test(`a manifest, whatever is in it, is read or refused as damage (FUZZ_SEED=${SEED})`, (t) => {
  const random = new SeededRandom(SEED);
  const watch = new FuzzWatch(() => systemClock.monotonicMs());
  const ends = { read: 0, damaged: 0 };
  for (let count = 0; count < INPUTS; count += 1) {
    const bytes = input(random);
    try {
      watch.run(() => decodeManifest(KEY, SNAPSHOT, bytes));
      ends.read += 1;
    } catch (error) {
      assert(error instanceof DamageError, `input ${count}, ${bytes.toString('latin1')}: ${String(error)}`);
      ends.damaged += 1;
    }
  }
  t.diagnostic(`${watch.summary()}; ${JSON.stringify(ends)}`);
  assert(ends.read > 0 && ends.damaged > 0, 'both ends were seen');
  assert(watch.slowestMs < 2000 && watch.growthBytes < MEMORY_BYTES_MAX, watch.summary());
});

test(`a tree node, whatever is in it, is read or refused as damage (FUZZ_SEED=${SEED})`, (t) => {
  const random = new SeededRandom(SEED);
  const watch = new FuzzWatch(() => systemClock.monotonicMs());
  const ends = { read: 0, damaged: 0 };
  for (let count = 0; count < INPUTS; count += 1) {
    const level = random.below(DEPTH_MAX);
    const node = TreeNode.empty(level);
    for (let children = random.below(5); children > 0; children -= 1) {
      const child = { key: random.bytes(32), count: level === 0 ? 1 : random.below(1000) };
      node.setChild(random.below(FAN_OUT), child);
    }
    const wrong = random.below(3) === 0 ? Buffer.from(node.bytes) : mutated(random, node.bytes);
    if (random.below(2) === 0)
      wrong.subarray(random.below(2) * 8).set(random.bytes(Math.min(40, Math.max(0, wrong.length - 8))));
    try {
      watch.run(() => readNode(TreeNode.parse(wrong, random.below(20) === 0 ? random.below(DEPTH_MAX) : level)));
      ends.read += 1;
    } catch (error) {
      assert(error instanceof DamageError, `input ${count}: ${String(error)}`);
      ends.damaged += 1;
    }
  }
  t.diagnostic(`${watch.summary()}; ${JSON.stringify(ends)}`);
  assert(ends.read > 0 && ends.damaged > 0, 'both ends were seen');
  assert(watch.slowestMs < 2000 && watch.growthBytes < MEMORY_BYTES_MAX, watch.summary());
});

function readNode(node: TreeNode): void {
  let count = 0;
  for (let slot = 0; slot < FAN_OUT; slot += 1) count += node.child(slot)?.count ?? 0;
  assert(count >= 0 && node.presentCount() >= 0);
}
