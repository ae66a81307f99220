import type { ChunkStore } from '#chunk/chunk-store.ts';
import type { AccountId } from '#domain/ids.ts';

import { childSpan, FAN_OUT, type Child, type TreeNode } from './tree-node.ts';
import { loadNode, subtreeOf, type Subtree, type TreeRoot } from './tree.ts';

export interface FoundChunk {
  readonly index: number;
  readonly key: Buffer;
}

export interface ChangedKeys {
  readonly index: number;
  /** Null: nothing there. */
  readonly first: Buffer | null;
  readonly second: Buffer | null;
}

/** Chunks that are there, ascending, from `start` on, a leaf at a time. Memory: a path of nodes. */
export async function* walkTree(
  chunks: ChunkStore,
  account: AccountId,
  root: TreeRoot,
  start: number,
): AsyncGenerator<readonly FoundChunk[]> {
  const empty: Subtree = { level: 0, top: null };
  for await (const changes of walk(chunks, account, { first: empty, second: subtreeOf(root), base: 0 }, start)) {
    yield changes.flatMap(({ index, second }) => (second === null ? [] : [{ index, key: second }]));
  }
}

/** Chunks that differ, ascending, from `start` on. Subtrees that are equal are not read: it costs what differs. */
export async function* diffTrees(
  chunks: ChunkStore,
  account: AccountId,
  roots: { readonly first: TreeRoot; readonly second: TreeRoot },
  start: number,
): AsyncGenerator<readonly ChangedKeys[]> {
  const pair = { first: subtreeOf(roots.first), second: subtreeOf(roots.second), base: 0 };
  yield* walk(chunks, account, pair, start);
}

/** Two subtrees whose first chunk is `base`. They may differ in level: the lower one is then the first child of what is missing above it. */
interface Pair {
  readonly first: Subtree;
  readonly second: Subtree;
  readonly base: number;
}

async function* walk(
  chunks: ChunkStore,
  account: AccountId,
  { first, second, base }: Pair,
  start: number,
): AsyncGenerator<readonly ChangedKeys[]> {
  const level = Math.max(first.top === null ? 0 : first.level, second.top === null ? 0 : second.level);
  const sameNode = first.level === second.level && sameKey(first.top, second.top);
  if (sameNode || (first.top === null && second.top === null)) return;
  const firstNode = await nodeAt(chunks, account, first, level);
  const secondNode = await nodeAt(chunks, account, second, level);
  const span = childSpan(level);
  const changes: ChangedKeys[] = [];
  for (let slot = Math.max(0, Math.floor((start - base) / span)); slot < FAN_OUT; slot += 1) {
    const a = childAt(firstNode, first, level, slot);
    const b = childAt(secondNode, second, level, slot);
    if (a.level === b.level && sameKey(a.top, b.top)) continue;
    const index = base + slot * span;
    if (level > 0) yield* walk(chunks, account, { first: a, second: b, base: index }, start);
    else changes.push({ index, first: a.top?.key ?? null, second: b.top?.key ?? null });
  }
  if (changes.length > 0) yield changes;
}

/** The top node, when it is of this level; null when the subtree is empty or lower. */
async function nodeAt(
  chunks: ChunkStore,
  account: AccountId,
  subtree: Subtree,
  level: number,
): Promise<TreeNode | null> {
  if (subtree.top === null || subtree.level !== level) return null;
  return loadNode(chunks, account, subtree.top, level);
}

/** The child in a slot; a child of a leaf is a chunk, of level -1. */
function childAt(node: TreeNode | null, subtree: Subtree, level: number, slot: number): Subtree {
  if (node !== null) return { level: level - 1, top: node.child(slot) };
  if (subtree.top === null || slot > 0) return { level: level - 1, top: null };
  return subtree;
}

function sameKey(a: Child | null, b: Child | null): boolean {
  if (a === null || b === null) return a === b;
  return a.key.equals(b.key);
}
