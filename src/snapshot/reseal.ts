import { assert } from '#base/assert.ts';
import { BATCH_COUNT_MAX } from '#chunk/seal-pool.ts';

import { spoolChunks, type SpoolParts } from './chunk-spool.ts';
import type { AccountRoot } from './holds.ts';
import type { Changes, ChunkChange } from './snapshot-store.ts';
import { walkTree } from './tree-walk.ts';

/** A chunk of the base that no change replaces, or a change. */
type Merged = { readonly kept: number } | { readonly change: ChunkChange };

/**
 * The changes that make of nothing what `changes` make of a base: every chunk of the base that they do not replace, read
 * back, and they themselves. For a snapshot that is sealed under another data key than its base: nothing of one can be
 * named by the other. The base is held, and its data key lent, meanwhile.
 */
export async function withoutBase(
  parts: SpoolParts,
  base: AccountRoot,
  changes: Changes,
  signal: AbortSignal,
): Promise<Changes> {
  let count = 0;
  for await (const _one of merged(parts, base, changes)) count += 1;
  return { count, items: { [Symbol.asyncIterator]: () => resealed(parts, base, changes, signal) } };
}

async function* resealed(
  parts: SpoolParts,
  base: AccountRoot,
  changes: Changes,
  signal: AbortSignal,
): AsyncGenerator<ChunkChange> {
  const kept: number[] = [];
  const flush = (): AsyncGenerator<ChunkChange> => spoolChunks(parts, base, kept.splice(0), signal);
  for await (const one of merged(parts, base, changes)) {
    if ('kept' in one) {
      kept.push(one.kept);
      if (kept.length === BATCH_COUNT_MAX) yield* flush();
      continue;
    }
    yield* flush();
    // What is known of its changes is known against the base.
    yield { index: one.change.index, source: one.change.source };
  }
  yield* flush();
}

/** In the order of their indexes. */
async function* merged(
  { chunks }: SpoolParts,
  { account, root }: AccountRoot,
  changes: Changes,
): AsyncGenerator<Merged> {
  const before = indexesOf(walkTree(chunks, account, root, 0));
  let next = await before.next();
  let last = -1;
  for await (const change of changes.items) {
    assert(change.index > last, 'changes come in ascending order');
    last = change.index;
    for (; next.done !== true && next.value < change.index; next = await before.next()) yield { kept: next.value };
    if (next.done !== true && next.value === change.index) next = await before.next();
    yield { change };
  }
  for (; next.done !== true; next = await before.next()) yield { kept: next.value };
}

async function* indexesOf(pages: AsyncIterable<readonly { readonly index: number }[]>): AsyncGenerator<number> {
  for await (const page of pages) for (const { index } of page) yield index;
}
