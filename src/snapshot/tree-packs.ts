import { setImmediate as nextTurn } from 'node:timers/promises';

import type { ChunkStore } from '#chunk/chunk-store.ts';
import { StoreError, throwIfAborted } from '#chunk/errors.ts';
import { packObjectKey } from '#chunk/pack.ts';
import type { AccountId } from '#domain/ids.ts';

import { FAN_OUT, type Child, type TreeNode } from './tree-node.ts';
import { loadNode, rootChild, type TreeRoot } from './tree.ts';

/** Nodes read at once below one: of a bucket, each is a wait. */
const NODES_AHEAD_MAX = 4;

/** Object keys of the packs in which the records lie now that a root needs: nodes, chunks, and what deltas rest on. Throws StoreError 'damaged' when one is in no pack. */
export async function packsOfTree(
  chunks: ChunkStore,
  account: AccountId,
  root: TreeRoot,
  signal: AbortSignal,
): Promise<ReadonlySet<string>> {
  const packs = new Set<string>();
  const add = (key: Buffer): void => {
    const chain = chunks.index.chain(account, key);
    if (chain === null || chain.length === 0 || chain.at(-1)?.place.base !== null) {
      throw new StoreError(
        'damaged',
        `record ${key.toString('hex')} of account ${account} is needed, and is in no pack`,
      );
    }
    for (const { place } of chain) packs.add(packObjectKey({ account, id: place.pack }));
  };
  const visit = async (node: TreeNode, level: number): Promise<void> => {
    throwIfAborted(signal);
    await nextTurn(); // Some hundred look-ups are a millisecond.
    const children = childrenOf(node);
    for (const { key } of children) add(key);
    if (level === 0) return;
    for (let at = 0; at < children.length; at += NODES_AHEAD_MAX) {
      const some = children.slice(at, at + NODES_AHEAD_MAX);
      const loaded = await Promise.all(some.map((child) => loadNode(chunks, account, child, level - 1)));
      for (const below of loaded) await visit(below, level - 1);
    }
  };
  const top = rootChild(root);
  if (top !== null) {
    add(top.key);
    await visit(await loadNode(chunks, account, top, root.depth - 1), root.depth - 1);
  }
  return packs;
}

function childrenOf(node: TreeNode): readonly Child[] {
  const children: Child[] = [];
  for (let slot = 0; slot < FAN_OUT; slot += 1) {
    const below = node.child(slot);
    if (below !== null) children.push(below);
  }
  return children;
}
