import type { ChunkStore } from '#chunk/chunk-store.ts';
import { StoreError } from '#chunk/errors.ts';
import type { AccountId } from '#domain/ids.ts';
import { childSpan, FAN_OUT, type Child, type TreeNode } from '#snapshot/tree-node.ts';
import type { FoundChunk } from '#snapshot/tree-walk.ts';
import { loadNode, rootChild, type TreeRoot } from '#snapshot/tree.ts';

/** What a scan meets: the chunks of one leaf, or a part of the tree that cannot be read, so that nobody can tell what is there. */
export type Scanned =
  | { readonly kind: 'leaf'; readonly node: Child; readonly chunks: readonly FoundChunk[] }
  | { readonly kind: 'damage'; readonly index: number; readonly count: number; readonly reason: string };

export interface ScanOptions {
  /** Chunks before it are left out. */
  readonly start?: number;
  /** Says of a node whether all below it may be left out. */
  readonly skip?: (node: Child) => boolean;
  /** All below a node that was not left out has been handed out. */
  readonly leave?: (node: Child) => void;
}

/** The chunks of a snapshot in ascending order, a leaf at a time. Goes on behind what is damaged. Memory: a path of nodes. */
export async function* scanTree(
  chunks: ChunkStore,
  account: AccountId,
  root: TreeRoot,
  options: ScanOptions = {},
): AsyncGenerator<Scanned> {
  const top = rootChild(root);
  if (top !== null) yield* scanNode({ chunks, account, chunkCount: root.chunkCount, options }, top, root.depth - 1, 0);
}

interface Scan {
  readonly chunks: ChunkStore;
  readonly account: AccountId;
  readonly chunkCount: number;
  readonly options: ScanOptions;
}

async function* scanNode(scan: Scan, top: Child, level: number, base: number): AsyncGenerator<Scanned> {
  const { options } = scan;
  const start = options.start ?? 0;
  if (base + childSpan(level + 1) <= start || options.skip?.(top) === true) return;
  let node: TreeNode;
  try {
    node = await loadNode(scan.chunks, scan.account, top, level);
  } catch (error) {
    if (!(error instanceof StoreError && error.kind === 'damaged')) throw error;
    const index = Math.max(base, start);
    const end = Math.min(base + childSpan(level + 1), scan.chunkCount);
    if (end > index) yield { kind: 'damage', index, count: end - index, reason: error.message };
    options.leave?.(top);
    return;
  }
  const found: FoundChunk[] = [];
  for (let slot = 0; slot < FAN_OUT; slot += 1) {
    const child = node.child(slot);
    if (child === null) continue;
    const index = base + slot * childSpan(level);
    if (level > 0) yield* scanNode(scan, child, level - 1, index);
    else if (index >= start) found.push({ index, key: child.key });
  }
  if (found.length > 0) yield { kind: 'leaf', node: top, chunks: found };
  options.leave?.(top);
}
