import { setImmediate as nextTurn } from 'node:timers/promises';

import { DamageError, throwIfAborted } from '#chunk/errors.ts';
import { packObjectKey } from '#chunk/pack.ts';
import { unsealRecord, type AccountKeys } from '#chunk/seal.ts';
import type { AccountId } from '#domain/ids.ts';

import { CopyState, type Copy, type VerifyCatalog } from './verify-catalog.ts';
import { MISSING, type DamageLedger, type RootName } from './verify-ledger.ts';
import { childSpan, FAN_OUT, TreeNode, type Child } from './tree-node.ts';
import { rootChild, type TreeRoot } from './tree.ts';

export interface NamedRoot {
  readonly name: RootName;
  readonly account: AccountId;
  readonly root: TreeRoot;
}

export interface TreePorts {
  readonly catalog: VerifyCatalog;
  readonly ledger: DamageLedger;
  readonly keysOf: (account: AccountId) => AccountKeys;
  /** The bytes of a copy; null: its pack is gone. Throws DamageError when they cannot be read. */
  readonly read: (copy: Copy) => Promise<Buffer | null>;
  /** A node was read that nothing read before. */
  readonly onNode: (copy: Copy) => void;
  readonly signal: AbortSignal;
}

/**
 * Walks the trees of all roots. Trees share nodes, so it goes over each node once, remembering only whether anything below
 * it is damaged; then, for each root, only over what is. Memory: some 100 bytes a node, 13 MB for a tree of 16 TiB.
 */
export class VerifyTrees {
  readonly #ports: TreePorts;
  /** By key: whether the node, or anything below it, is damaged. */
  readonly #visited = new Map<string, boolean>();
  /** By key: damages of the record. */
  readonly #bad = new Map<string, readonly number[]>();
  #missingCount = 0;

  constructor(ports: TreePorts) {
    this.#ports = ports;
  }

  /** Records that something needs and that are in no pack. */
  get missingCount(): number {
    return this.#missingCount;
  }

  /** Tells the ledger what the damages known so far, and records that are missing, affect. */
  async check(roots: readonly NamedRoot[]): Promise<void> {
    for (const { name, account, root } of roots) {
      const top = rootChild(root);
      if (top === null || !(await this.#visit(account, top, root.depth - 1))) continue;
      await this.#affect({ name, account, root }, top, root.depth - 1, 0);
    }
  }

  /** Asks for every copy of every record that the root needs. */
  async want({ account, root }: NamedRoot): Promise<void> {
    const top = rootChild(root);
    if (top !== null) await this.#want(account, top, root.depth - 1);
    this.#visited.clear();
  }

  async #want(account: AccountId, child: Child, level: number): Promise<void> {
    const { catalog } = this.#ports;
    const name = nameOf(child.key);
    if (this.#visited.has(name)) return;
    this.#visited.set(name, false);
    const node = await this.#load(account, child, level);
    if (node === null) return;
    for (const below of childrenOf(node)) if (level > 0) await this.#want(account, below.child, level - 1);
    if (level === 0) {
      catalog.transact(() => {
        for (const { child: chunk } of childrenOf(node)) catalog.want(account, chunk.key);
      });
    }
  }

  async #visit(account: AccountId, child: Child, level: number): Promise<boolean> {
    const name = nameOf(child.key);
    const known = this.#visited.get(name);
    if (known !== undefined) return known;
    await nextTurn();
    throwIfAborted(this.#ports.signal);
    const node = await this.#load(account, child, level);
    let isBad = this.#look(account, child.key);
    if (node === null) isBad = true;
    else {
      for (const { child: below } of childrenOf(node)) {
        const isBelowBad = level > 0 ? await this.#visit(account, below, level - 1) : this.#look(account, below.key);
        isBad ||= isBelowBad;
      }
    }
    this.#visited.set(name, isBad);
    return isBad;
  }

  /** Answers whether anything is wrong with the record, and remembers what. */
  #look(account: AccountId, key: Buffer): boolean {
    let condition = this.#ports.catalog.condition(account, key);
    if (condition?.isBereft === true) {
      this.#tellBereft(account, key);
      condition = this.#ports.catalog.condition(account, key);
    }
    if (condition !== null && condition.damages.length === 0) return false;
    const name = nameOf(key);
    if (this.#bad.has(name)) return true;
    if (condition === null) {
      this.#missingCount += 1;
      this.#bad.set(name, [MISSING]);
    } else this.#bad.set(name, condition.damages);
    return true;
  }

  /** Deltas that are needed and whose bases are nowhere. */
  #tellBereft(account: AccountId, key: Buffer): void {
    const { catalog, ledger } = this.#ports;
    for (const copy of catalog.copies(account, key)) {
      if (copy.state !== CopyState.bereft) continue;
      const damage = ledger.add({ ...damageOfCopy(copy, 'its base is in no pack'), what: 'missing' });
      catalog.settle(copy, CopyState.damaged, damage);
    }
  }

  async #affect(named: NamedRoot, child: Child, level: number, base: number): Promise<void> {
    const { name, account, root } = named;
    const end = Math.min(base + childSpan(level + 1), root.chunkCount);
    for (const damage of this.#bad.get(nameOf(child.key)) ?? []) this.#ports.ledger.affect(damage, name, base, end);
    const node = await this.#load(account, child, level);
    if (node === null) return;
    for (const { child: below, slot } of childrenOf(node)) {
      const start = base + slot * childSpan(level);
      const key = nameOf(below.key);
      if (level > 0) {
        if (this.#visited.get(key) === true) await this.#affect(named, below, level - 1, start);
      } else {
        for (const damage of this.#bad.get(key) ?? []) this.#ports.ledger.affect(damage, name, start, start + 1);
      }
    }
  }

  /** The node, from any copy that reads; null when none does. A copy that turns out to be damaged is told of. */
  async #load(account: AccountId, child: Child, level: number): Promise<TreeNode | null> {
    const { catalog, ledger, keysOf, read } = this.#ports;
    for (const copy of catalog.copies(account, child.key)) {
      if (copy.kind !== 'node' || copy.state === CopyState.damaged) continue;
      try {
        const record = await read(copy);
        if (record === null) continue;
        const node = TreeNode.parse(unsealRecord(keysOf(account), 'node', child.key, record), level);
        if (node.presentCount() !== child.count)
          throw new DamageError('the tree node counts other chunks than its parent says');
        if (copy.state === CopyState.listed || copy.state === CopyState.wanted) {
          this.#ports.onNode(copy);
          catalog.settle(copy, CopyState.whole, null);
        }
        return node;
      } catch (error) {
        if (!(error instanceof DamageError)) throw error;
        const damage = ledger.add(damageOfCopy(copy, error.message));
        catalog.settle(copy, CopyState.damaged, damage);
      }
    }
    return null;
  }
}

export function damageOfCopy(copy: Copy, message: string): Parameters<DamageLedger['add']>[0] {
  return {
    what: 'record',
    object: packObjectKey({ account: copy.account, id: copy.packId }),
    place: { offset: copy.offset, length: copy.length },
    message: `${copy.kind} ${copy.key.toString('hex')}: ${message}`,
    record: { account: copy.account, key: copy.key },
    lost: true,
  };
}

function* childrenOf(node: TreeNode): Generator<{ readonly child: Child; readonly slot: number }> {
  for (let slot = 0; slot < FAN_OUT; slot += 1) {
    const child = node.child(slot);
    if (child !== null) yield { child, slot };
  }
}

function nameOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1');
}
