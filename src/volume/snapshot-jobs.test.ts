import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';

import { StoreError } from '#chunk/errors.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { SnapshotId } from '#domain/ids.ts';

import { VolumeHostError } from './host.ts';
import { SnapshotJobs } from './snapshot-jobs.ts';

const [first, second] = ['snap-1', 'snap-2'] as [SnapshotId, SnapshotId];
const never = new AbortController().signal;

/** Work that ends when it is told to, or is aborted. */
class Work {
  readonly begun: SnapshotId[] = [];
  readonly ends = new Map<SnapshotId, PromiseWithResolvers<number>>();
  readonly jobs = new SnapshotJobs<number>({ doing: 'test', countMax: 1 });

  run(snapshot: SnapshotId, signal: AbortSignal = never): Promise<number> {
    return this.jobs.run(snapshot, signal, async ({ signal: ended, onProgress }) => {
      this.begun.push(snapshot);
      const end = Promise.withResolvers<number>();
      this.ends.set(snapshot, end);
      ended.addEventListener('abort', () => end.reject(new StoreError('aborted', 'it is said')));
      onProgress({ doneCount: 1, totalCount: 2 });
      return await end.promise;
    });
  }
}

function isHostError(kind: VolumeHostError['kind']): (error: unknown) => boolean {
  return (error) => error instanceof VolumeHostError && error.kind === kind;
}

test('who asks for the same joins it; another waits for a place', async () => {
  const work = new Work();
  const asked = [work.run(first), work.run(first), work.run(second)];
  await nextTurn();
  assert.deepEqual(work.begun, [first]);
  assert.deepEqual(work.jobs.progress(), { [first]: { doneBytes: CHUNK_BYTES, totalBytes: 2 * CHUNK_BYTES } });
  work.ends.get(first)?.resolve(1);
  await nextTurn();
  work.ends.get(second)?.resolve(2);
  assert.deepEqual(await Promise.all(asked), [1, 1, 2]);
  assert.deepEqual([work.begun, work.jobs.progress()], [[first, second], {}]);
});

test('an abort ends it for all, also while it waits, and it can be asked for again', async () => {
  const work = new Work();
  const abort = new AbortController();
  const asked = [work.run(first), work.run(first, abort.signal)];
  const waiting = new AbortController();
  const waits = work.run(second, waiting.signal);
  await nextTurn();
  waiting.abort();
  await assert.rejects(waits, isHostError('aborted'));
  abort.abort();
  for (const one of asked) await assert.rejects(one, isHostError('aborted'));
  const again = work.run(first);
  await nextTurn();
  assert.deepEqual(work.begun, [first, first]);
  await Promise.all([assert.rejects(again, isHostError('aborted')), work.jobs.abortSnapshot(first)]);
  await work.jobs.abortSnapshot(second);
  await nextTurn();
  assert.deepEqual(work.begun, [first, first], 'what was ended while it waited is not begun');
});

test('the end of all waits for what is at work; trouble is told in the words of the port', async () => {
  const work = new Work();
  const fails = work.run(first);
  await nextTurn();
  work.ends.get(first)?.reject(new StoreError('no-space', 'full'));
  await assert.rejects(fails, isHostError('no-space'));
  const [running, waiting] = [work.run(first), work.run(second)];
  await nextTurn();
  await Promise.all([
    assert.rejects(running, isHostError('unavailable')),
    assert.rejects(waiting, isHostError('unavailable')),
    work.jobs[Symbol.asyncDispose](),
  ]);
});
