import { assert } from '#base/assert.ts';
import type { ChunkStore } from '#chunk/chunk-store.ts';
import { type DataKeyId, parseDataKeyId } from '#chunk/data-key-ring.ts';
import { DamageError, StoreError } from '#chunk/errors.ts';
import type { AccountId } from '#domain/ids.ts';
import { type OutpostId, parseOutpostId } from '#domain/outpost.ts';

import { childSpan, DEPTH_MAX, FAN_OUT, TreeNode, type Child } from './tree-node.ts';

/**
 * What a snapshot holds, as one value: the root of a Merkle tree over chunk keys (docs/formats/tree.md). Plain JSON, to be
 * copied wherever the content must be kept reachable (a volume's origin). Equal trees of one account have equal roots.
 */
export interface TreeRoot {
  /** Content address of the root node, 64 lower-case hexadecimal digits; null when the tree holds no chunk. */
  readonly key: string | null;
  /** Levels of nodes, 1 for a single leaf; follows from chunkCount. */
  readonly depth: number;
  /** Chunks that the volume spans: an index is below it. */
  readonly chunkCount: number;
  /** Chunks that are there; the others are zeros. */
  readonly presentCount: number;
  /** What its chunks are sealed under beside the account's keys; missing: nothing. */
  readonly dataKey?: DataKeyId;
  /** The Outpost in whose store it is; missing: it is in the region's. Known to PlacedStores and whoever keeps a root, and not to a store itself. */
  readonly outpost?: OutpostId;
}

export function emptyRoot(chunkCount: number): TreeRoot {
  return { key: null, depth: depthFor(chunkCount), chunkCount, presentCount: 0 };
}

/** Levels needed for so many chunks; at least one. */
export function depthFor(chunkCount: number): number {
  assert(Number.isSafeInteger(chunkCount) && chunkCount >= 0, 'a count of chunks is a whole number');
  let depth = 1;
  while (childSpan(depth) < chunkCount) depth += 1;
  assert(depth <= DEPTH_MAX, 'a tree has at most four levels');
  return depth;
}

const KEY = /^[0-9a-f]{64}$/;

/** Reads a root that was stored somewhere as JSON; null when it is none. */
export function parseTreeRoot(value: unknown): TreeRoot | null {
  if (typeof value !== 'object' || value === null) return null;
  const { key, depth, chunkCount, presentCount, dataKey, outpost } = value as Readonly<Record<string, unknown>>;
  if (key !== null && (typeof key !== 'string' || !KEY.test(key))) return null;
  if (!isCount(chunkCount) || !isCount(presentCount) || chunkCount > FAN_OUT ** DEPTH_MAX) return null;
  if (depth !== depthFor(chunkCount) || presentCount > chunkCount || (presentCount === 0) !== (key === null))
    return null;
  const keyId = dataKey === undefined ? undefined : parseDataKeyId(dataKey);
  const outpostId = outpost === undefined ? undefined : typeof outpost === 'string' ? parseOutpostId(outpost) : null;
  if (keyId === null || outpostId === null) return null;
  return {
    ...{ key, depth, chunkCount, presentCount },
    ...(keyId === undefined ? {} : { dataKey: keyId }),
    ...(outpostId === undefined ? {} : { outpost: outpostId }),
  };
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

export function rootChild(root: TreeRoot): Child | null {
  return root.key === null ? null : { key: Buffer.from(root.key, 'hex'), count: root.presentCount };
}

/** A subtree: `level` is that of its top node; null is an empty one. */
export interface Subtree {
  readonly level: number;
  readonly top: Child | null;
}

export function subtreeOf(root: TreeRoot): Subtree {
  return { level: root.depth - 1, top: rootChild(root) };
}

/** A node of the store, verified. Throws StoreError 'damaged'. */
export async function loadNode(chunks: ChunkStore, account: AccountId, child: Child, level: number): Promise<TreeNode> {
  try {
    return TreeNode.parse(await chunks.readNode(account, child.key), level);
  } catch (error) {
    if (!(error instanceof DamageError)) throw error;
    throw new StoreError('damaged', `node ${child.key.toString('hex')} of account ${account}: ${error.message}`);
  }
}

/** As `findChunk`, of several: those that share a leaf find it together. */
export async function findChunks(
  chunks: ChunkStore,
  account: AccountId,
  root: TreeRoot,
  indexes: readonly number[],
): Promise<readonly (Buffer | null)[]> {
  const keys: (Buffer | null)[] = [];
  let leaf: TreeNode | null = null;
  let leafNumber = -1;
  for (const index of indexes) {
    const number = Math.floor(index / FAN_OUT);
    if (number !== leafNumber) leaf = await findLeaf(chunks, account, root, index);
    leafNumber = number;
    keys.push(leaf?.child(index % FAN_OUT)?.key ?? null);
  }
  return keys;
}

/** The key of one chunk; null when nothing is there. */
export async function findChunk(
  chunks: ChunkStore,
  account: AccountId,
  root: TreeRoot,
  index: number,
): Promise<Buffer | null> {
  const leaf = await findLeaf(chunks, account, root, index);
  return leaf?.child(index % FAN_OUT)?.key ?? null;
}

async function findLeaf(
  chunks: ChunkStore,
  account: AccountId,
  root: TreeRoot,
  index: number,
): Promise<TreeNode | null> {
  assert(Number.isSafeInteger(index) && index >= 0, 'a chunk index is a whole number');
  if (index >= root.chunkCount) return null;
  let child = rootChild(root);
  for (let level = root.depth - 1; child !== null; level -= 1) {
    const node = await loadNode(chunks, account, child, level);
    if (level === 0) return node;
    child = node.child(Math.floor(index / childSpan(level)) % FAN_OUT);
  }
  return null;
}
