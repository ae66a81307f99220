import assert from 'node:assert/strict';
import { test } from 'node:test';

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
  const wrong: Readonly<Record<string, readonly LogRecord[]>> = {
    'a release of no cut': [{ kind: 'release', epoch: 1 }],
    'a release twice': [cut, { kind: 'release', epoch: 1 }, { kind: 'release', epoch: 1 }],
    'a cut of another epoch': [{ ...cut, epoch: 2 }],
    'a cut of a pending name': [cut, { ...cut, epoch: 2 }],
    'a cut without a name': [{ ...cut, cut: '' as CutId }],
    'a chunk put where it is': [{ kind: 'put', index: 0, count: 1, state: 0, epoch: 1 }],
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
