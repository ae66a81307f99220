import type { ChunkStore } from '#chunk/chunk-store.ts';
import { TEST_ACCOUNT } from '#chunk/chunk-store.fixture.ts';

import { TreeBuilder } from './tree-builder.ts';
import { diffTrees, walkTree, type ChangedKeys, type FoundChunk } from './tree-walk.ts';
import type { TreeRoot } from './tree.ts';

/** What a tree should hold: key, in hexadecimal, by index. */
export type TreeModel = ReadonlyMap<number, string>;

export interface BuiltTree {
  readonly root: TreeRoot;
  readonly changedCount: number;
  readonly writtenNodes: number;
}

/** Sets the chunks of `changes` (in any order) on a base, and stores the tree. */
export async function buildTree(
  chunks: ChunkStore,
  options: {
    readonly base: TreeRoot | null;
    readonly chunkCount: number;
    readonly changes: ReadonlyMap<number, string | null>;
  },
): Promise<BuiltTree> {
  await using writer = chunks.beginWrite(TEST_ACCOUNT);
  let writtenNodes = 0;
  const builder = new TreeBuilder({
    chunks,
    account: TEST_ACCOUNT,
    base: options.base,
    chunkCount: options.chunkCount,
    write: (plain) => {
      writtenNodes += 1;
      return writer.addNode(plain);
    },
  });
  for (const [index, key] of [...options.changes].toSorted(([a], [b]) => a - b)) {
    await builder.set(index, key === null ? null : Buffer.from(key, 'hex'));
  }
  const root = await builder.finish();
  await writer.finish();
  return { root, changedCount: builder.changedCount, writtenNodes };
}

export async function walkAll(chunks: ChunkStore, root: TreeRoot, start = 0): Promise<[number, string][]> {
  const found: FoundChunk[] = [];
  for await (const batch of walkTree(chunks, TEST_ACCOUNT, root, start)) found.push(...batch);
  return found.map(({ index, key }) => [index, key.toString('hex')]);
}

export async function diffAll(
  chunks: ChunkStore,
  first: TreeRoot,
  second: TreeRoot,
  start = 0,
): Promise<[number, string | null, string | null][]> {
  const found: ChangedKeys[] = [];
  for await (const batch of diffTrees(chunks, TEST_ACCOUNT, { first, second }, start)) found.push(...batch);
  return found.map((change) => [
    change.index,
    change.first?.toString('hex') ?? null,
    change.second?.toString('hex') ?? null,
  ]);
}
