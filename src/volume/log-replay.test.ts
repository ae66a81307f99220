import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { CutId } from '#domain/ids.ts';

import { VolumeHostError } from './host.ts';
import type { LogRecord } from './log-record.ts';
import { LogReplay } from './log-replay.ts';
import { VolumeMap } from './volume-map.ts';

function replayOf(): LogReplay {
  const replay = new LogReplay(new VolumeMap({ chunkCount: 8, originCount: 0 }), 0, 'boot');
  replay.take({ kind: 'start', firstSequence: 0, tailBytes: 0, bootId: 'boot' });
  return replay;
}

test('a record puts one chunk into a slot, or several to zero', () => {
  assert(replayOf().take({ kind: 'put', index: 7, count: 1, state: 2, epoch: 1 }));
  assert(replayOf().take({ kind: 'put', index: 0, count: 8, state: 0, epoch: 1 }));
});

test('a record that puts several chunks into one slot, or one beyond the volume, is damage', () => {
  for (const [index, count, state] of [
    [0, 2, 2],
    [0, 2, 1],
    [8, 1, 2],
    [1, 8, 0],
  ] as const) {
    assert.throws(
      () => replayOf().take({ kind: 'put', index, count, state, epoch: 1 }),
      (error) => error instanceof VolumeHostError && error.kind === 'damaged',
      `${count} from ${index} in ${state}`,
    );
  }
});

test('a record that puts no block, one beyond the chunk, or one of a chunk or slot that cannot be, is damage', () => {
  const part = { kind: 'part', index: 7, slot: 7, epoch: 1, first: 127, count: 1 } as const;
  assert(replayOf().take(part));
  for (const wrong of [{ count: 0 }, { count: 2 }, { first: 128 }, { index: 8 }, { slot: 0x7fff_fffe }]) {
    assert.throws(
      () => replayOf().take({ ...part, ...wrong }),
      (error) => error instanceof VolumeHostError && error.kind === 'damaged',
      JSON.stringify(wrong),
    );
  }
  assert.throws(() => replayOf().take({ kind: 'put', index: 0, count: 1, state: 0x8000_0002, epoch: 1 }));
});

test('blocks come into a partial slot, which ends where a chunk is put whole, or merged', () => {
  const map = new VolumeMap({ chunkCount: 8, originCount: 0 });
  const replay = new LogReplay(map, 0, 'boot');
  replay.take({ kind: 'start', firstSequence: 0, tailBytes: 0, bootId: 'boot' });
  for (const record of [
    { kind: 'put', index: 3, count: 1, state: 4 + 2, epoch: 1 },
    { kind: 'put', index: 5, count: 1, state: 6 + 2, epoch: 1 },
    { kind: 'cut', epoch: 1, cut: 'a' as CutId },
    { kind: 'part', index: 3, slot: 7, epoch: 2, first: 9, count: 2 },
    { kind: 'part', index: 3, slot: 7, epoch: 2, first: 127, count: 1 },
    { kind: 'part', index: 5, slot: 8, epoch: 2, first: 0, count: 1 },
    { kind: 'release', epoch: 1 },
    { kind: 'put', index: 5, count: 1, state: 6 + 2, epoch: 2 },
    { kind: 'cut', epoch: 2, cut: 'b' as CutId },
  ] as const) {
    assert(replay.take(record));
  }
  replay.finish();
  assert.deepEqual(
    [...map.changes('b' as CutId, 1)].map(({ index, slotOffset, under }) => [
      index,
      (slotOffset ?? -1) / CHUNK_BYTES,
      under === null ? null : [under.offset / CHUNK_BYTES, ...under.above],
    ]),
    [
      [3, 7, [4, 3 << 9, 0, 0, 0x8000_0000]],
      [5, 6, null],
    ],
  );
});

test('what moves within the data file keeps its epoch, whatever the epoch is by then', () => {
  const replay = replayOf();
  for (const record of [
    { kind: 'put', index: 3, count: 1, state: 9, epoch: 1 },
    { kind: 'cut', epoch: 1, cut: 'a' as CutId },
    { kind: 'release', epoch: 1 },
    { kind: 'put', index: 3, count: 1, state: 2, epoch: 1 },
  ] as const) {
    assert(replay.take(record));
  }
  replay.finish();
});

test('records that no volume writes, with good checksums, are damage and no broken invariant', () => {
  const cut = { kind: 'cut', epoch: 1, cut: 'a' as CutId } as const;
  const put = { kind: 'put', index: 3, count: 1, state: 4 + 2, epoch: 1 } as const;
  const part = { kind: 'part', index: 3, slot: 7, epoch: 2, first: 0, count: 1 } as const;
  const wrong: Readonly<Record<string, readonly LogRecord[]>> = {
    'a release of no cut': [{ kind: 'release', epoch: 1 }],
    'a release twice': [cut, { kind: 'release', epoch: 1 }, { kind: 'release', epoch: 1 }],
    'a cut of another epoch': [{ ...cut, epoch: 2 }],
    'a cut of a pending name': [cut, { ...cut, epoch: 2 }],
    'a cut without a name': [{ ...cut, cut: '' as CutId }],
    'a chunk put where it is': [{ kind: 'put', index: 0, count: 1, state: 0, epoch: 1 }],
    'blocks of a chunk in another epoch': [put, cut, { ...part, epoch: 1 }],
    'blocks of a chunk that is in no slot': [cut, part],
    'blocks of a chunk above itself': [put, cut, { ...part, slot: 4 }],
    'blocks of a chunk that is of the epoch': [put, { ...part, epoch: 1 }],
    'blocks of a chunk in another slot than the partial one': [put, cut, part, { ...part, slot: 8 }],
    'blocks of a chunk above a partial slot': [
      put,
      cut,
      part,
      { ...cut, cut: 'b' as CutId, epoch: 2 },
      { ...part, epoch: 3 },
    ],
    'a chunk of a later epoch': [{ kind: 'put', index: 0, count: 1, state: 2, epoch: 7 }],
  };
  for (const [what, records] of Object.entries(wrong)) {
    const replay = replayOf();
    for (const record of records) assert(replay.take(record));
    assert.throws(
      () => replay.finish(),
      (error) => error instanceof VolumeHostError && error.kind === 'damaged',
      what,
    );
  }
});
