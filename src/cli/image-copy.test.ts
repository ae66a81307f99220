import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '#base/random.ts';
import { copyImage, type ImageRange, type ImageSource, nonZeroRuns, piecesOf } from './image-copy.ts';
import { formatBytes, progressLine } from './image-progress.ts';

const PIECE = 64 * 1024;

/** An image in memory whose reads end in any order. */
function sourceOf(image: Buffer, ranges: readonly ImageRange[], random: SeededRandom): ImageSource {
  return {
    sizeBytes: image.length,
    data: async function* () {
      yield* ranges;
    },
    read: async (offset, length) => {
      for (let turns = random.below(5); turns > 0; turns -= 1) await Promise.resolve();
      return image.subarray(offset, offset + length);
    },
  };
}

test('a copy is the image, whatever it holds, and what is zeros is not written', async () => {
  const seed = Number(process.env['VARVE_SEED'] ?? 3);
  const random = new SeededRandom(seed);
  for (let round = 0; round < 20; round += 1) {
    const image = Buffer.alloc(20 * PIECE + random.below(PIECE));
    const ranges: ImageRange[] = [];
    for (let at = 0; at < image.length;) {
      const length = Math.min(1 + random.below(4 * PIECE), image.length - at);
      if (random.below(3) > 0) {
        ranges.push({ offset: at, length });
        if (random.below(3) > 0) image.fill(random.below(256), at, at + random.below(length + 1));
      }
      at += length;
    }
    const copy = Buffer.alloc(image.length);
    let end = 0;
    const progress: number[] = [];
    await copyImage(
      sourceOf(image, ranges, random),
      {
        write: async (offset, bytes) => {
          assert.ok(offset >= end, 'in ascending order');
          assert.ok(
            bytes.some((byte) => byte !== 0),
            'not only zeros',
          );
          end = offset + bytes.length;
          copy.set(bytes, offset);
        },
      },
      { signal: new AbortController().signal, onProgress: (bytes) => progress.push(bytes) },
    );
    assert.ok(copy.equals(image), `seed ${seed}, round ${round}`);
    assert.deepEqual(
      progress,
      progress.toSorted((a, b) => a - b),
    );
  }
});

test('a read that fails ends the copy with its error once the others have ended, and so does an abort', async () => {
  const image = Buffer.alloc(64 * PIECE, 1);
  const ranges = [...piecesOf(0, image.length, PIECE)];
  let running = 0;
  const source: ImageSource = {
    ...sourceOf(image, ranges, new SeededRandom(1)),
    read: async (offset, length) => {
      running += 1;
      await new Promise((resolve) => setImmediate(resolve));
      running -= 1;
      if (offset === 5 * PIECE) throw new Error('no such bytes');
      return image.subarray(offset, offset + length);
    },
  };
  const nowhere = { write: async () => {} };
  const going = { signal: new AbortController().signal, onProgress: () => {} };
  await assert.rejects(copyImage(source, nowhere, going), /no such bytes/);
  assert.equal(running, 0);
  const stopped = new AbortController();
  const onProgress = (): void => stopped.abort(new Error('enough'));
  await assert.rejects(copyImage(source, nowhere, { signal: stopped.signal, onProgress }), /enough/);
  assert.equal(running, 0);
});

test('runs of what is not zeros are joined', () => {
  const bytes = Buffer.alloc(5 * PIECE + 10);
  bytes[PIECE] = 1;
  bytes[2 * PIECE + 5] = 1;
  bytes[5 * PIECE + 9] = 1;
  const runs = [...nonZeroRuns(bytes)].map((run) => [run.start, run.bytes.length]);
  assert.deepEqual(runs, [
    [PIECE, 2 * PIECE],
    [5 * PIECE, 10],
  ]);
  assert.deepEqual([...nonZeroRuns(Buffer.alloc(3 * PIECE))], []);
});

test('progress is told in words that fit one line', () => {
  assert.equal(
    progressLine('exporting', 1024 ** 3, 4 * 1024 ** 3, 2000),
    'exporting  [======>                 ]  25%  1 GiB of 4 GiB  512 MiB/s  0:06 left',
  );
  assert.equal(progressLine('importing', 5 * 1024 ** 2, null, 1000), 'importing  5 MiB  5 MiB/s');
  assert.equal(progressLine('x', 10, 10, 0), 'x  [========================] 100%  10 B of 10 B  0 B/s');
  assert.deepEqual([0, 1023, 1536, 10 * 1024 ** 4].map(formatBytes), ['0 B', '1023 B', '1.5 KiB', '10 TiB']);
});
