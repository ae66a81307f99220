import { assert } from '#base/assert.ts';
import type { ChunkStore } from '#chunk/chunk-store.ts';
import type { DataKeyId } from '#chunk/data-key-ring.ts';
import type { AccountId } from '#domain/ids.ts';

import { childSpan, FAN_OUT, TreeNode, type Child } from './tree-node.ts';
import { depthFor, loadNode, rootChild, type TreeRoot } from './tree.ts';

/** Stores a node that may be new, and answers its address. */
export type NodeWriter = (plain: Buffer) => Promise<Buffer>;

export interface TreeBuilderOptions {
  readonly chunks: ChunkStore;
  readonly account: AccountId;
  /** What the chunks are sealed under; missing or null: nothing. */
  readonly dataKey?: DataKeyId | null;
  /** What is not set stays as it is here; null: empty. Not larger than the new tree, and of the same data key. */
  readonly base: TreeRoot | null;
  readonly chunkCount: number;
  readonly write: NodeWriter;
}

/** A node being changed. */
interface OpenNode {
  readonly node: TreeNode;
  /** Where it hangs in the open node above it; 0 for the top. */
  readonly slot: number;
  changed: boolean;
}

/**
 * Makes a tree from another by setting chunks in ascending order. Holds the nodes on the path to the last chunk set; a node
 * is stored when the path leaves it, so memory is depth × node, and cost is depth × changed leaves, whatever the tree's size.
 */
export class TreeBuilder {
  readonly #options: TreeBuilderOptions;
  readonly #depth: number;
  /** From the top down to the leaf; empty before the first chunk. */
  readonly #path: OpenNode[] = [];
  #top: Child | null = null;
  #lastIndex = -1;
  #changedCount = 0;
  /** The nodes above the base's top, by key: they may be opened again before they can be read. */
  readonly #lifted = new Map<string, TreeNode>();
  #isLifted = false;

  constructor(options: TreeBuilderOptions) {
    this.#options = options;
    this.#depth = depthFor(options.chunkCount);
    const { base, dataKey = null } = options;
    assert(base === null || (base.dataKey ?? null) === dataKey, 'a tree has one data key');
    assert(base === null || base.chunkCount <= options.chunkCount, 'a tree is not smaller than its base');
  }

  /** Chunks set so far to something else than the base has. */
  get changedCount(): number {
    return this.#changedCount;
  }

  /** Sets one chunk; null: nothing there. */
  async set(index: number, key: Buffer | null): Promise<void> {
    assert(index > this.#lastIndex && index < this.#options.chunkCount, 'chunks are set in ascending order');
    const sameLeaf = this.#lastIndex >= 0 && Math.floor(index / FAN_OUT) === Math.floor(this.#lastIndex / FAN_OUT);
    if (!sameLeaf) await this.#moveTo(index);
    this.#lastIndex = index;
    const leaf = this.#path.at(-1);
    assert(leaf !== undefined && leaf.node.level === 0, 'the path ends in a leaf');
    const slot = index % FAN_OUT;
    const before = leaf.node.child(slot)?.key ?? null;
    if (before === null ? key === null : key?.equals(before) === true) return;
    leaf.node.setChild(slot, key === null ? null : { key, count: 1 });
    leaf.changed = true;
    this.#changedCount += 1;
  }

  /** Stores what is left. */
  async finish(): Promise<TreeRoot> {
    await this.#lift();
    await this.#closeDownTo(0);
    const { chunkCount, dataKey = null } = this.#options;
    const top = this.#top;
    return {
      key: top?.key.toString('hex') ?? null,
      depth: this.#depth,
      chunkCount,
      presentCount: top?.count ?? 0,
      ...(dataKey === null ? {} : { dataKey }),
    };
  }

  /** Opens the path to a chunk, closing what is not on it. */
  async #moveTo(index: number): Promise<void> {
    await this.#lift();
    const topLevel = this.#depth - 1;
    let kept = 0;
    while (kept < this.#path.length && this.#isOnPath(kept, index)) kept += 1;
    await this.#closeDownTo(kept);
    for (let level = topLevel - kept; level >= 0; level -= 1) {
      const above = this.#path.at(-1);
      const slot = above === undefined ? 0 : Math.floor(index / childSpan(level + 1)) % FAN_OUT;
      const child = above === undefined ? this.#top : above.node.child(slot);
      const node = child === null ? TreeNode.empty(level) : (await this.#load(child, level)).copy();
      this.#path.push({ node, slot, changed: false });
    }
  }

  /** Whether the open node at this place of the path covers the chunk. */
  #isOnPath(place: number, index: number): boolean {
    const span = childSpan(this.#depth - place);
    return Math.floor(index / span) === Math.floor(this.#lastIndex / span);
  }

  /** Stores the open nodes from the leaf up, and leaves the first `count` of the path open. */
  async #closeDownTo(count: number): Promise<void> {
    while (this.#path.length > count) {
      const closed = this.#path.pop();
      assert(closed !== undefined, 'the path has a node to close');
      if (!closed.changed) continue;
      const child = await this.#store(closed.node);
      const above = this.#path.at(-1);
      if (above === undefined) this.#top = child;
      else {
        above.node.setChild(closed.slot, child);
        above.changed = true;
      }
    }
  }

  /** Brings the base's top to this tree's depth: a volume that grew has its old tree as the first child of the new one. */
  async #lift(): Promise<void> {
    if (this.#isLifted) return;
    this.#isLifted = true;
    const { base } = this.#options;
    if (base === null) return;
    this.#top = rootChild(base);
    for (let level = base.depth; level < this.#depth && this.#top !== null; level += 1) {
      const node = TreeNode.empty(level);
      node.setChild(0, this.#top);
      this.#top = await this.#store(node);
      assert(this.#top !== null, 'a tree above one that is not empty is not empty');
      this.#lifted.set(this.#top.key.toString('hex'), node);
    }
  }

  /** An empty node is no node, so that equal content has equal trees. */
  async #store(node: TreeNode): Promise<Child | null> {
    const count = node.presentCount();
    return count === 0 ? null : { key: await this.#options.write(node.bytes), count };
  }

  /** A node of the base. Of what this builder stores itself only the lifted nodes are opened again: the path passes a leaf once. */
  async #load(child: Child, level: number): Promise<TreeNode> {
    const lifted = this.#lifted.get(child.key.toString('hex'));
    if (lifted !== undefined) return lifted;
    return loadNode(this.#options.chunks, this.#options.account, child, level);
  }
}
