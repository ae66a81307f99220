/**
 * Exact sizes of snapshots, kept as they come and go.
 *
 * Every record that something needs is an item, with the number of those that refer to it: nodes, deltas, roots. A root is
 * a manifest or what a volume reads through to. A new root is walked only as far as nodes are new; one that goes lets its
 * top go, and what nothing refers to any more goes after it: each costs what differs. What deleting a snapshot would free
 * is the same cascade, only counted: it costs what the snapshot has for itself, and no more.
 *
 * The table follows the store. It is brought up to date before it is asked, and, so that this takes no time then, after
 * each snapshot that was written or deleted. Which roots are counted is in the table itself, in the same transactions as
 * their counts: after a crash it goes on from there. The first time after a start all manifests are compared with the
 * roots; from then on only those that `changed` names, so that an upload costs the same beside any number of snapshots.
 *
 * The table is made anew, from all manifests, when the index was, when the index turned to a copy of a record that is of
 * another length or rests on another base (`forms`), and when a collection deleted records that it had not let go of before
 * (`prepared`, `swept`): they may come back as others.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';

import { AssertionError } from '#base/assert.ts';
import type { ChunkStore } from '#chunk/chunk-store.ts';
import { isDamagedDatabase } from '#chunk/database.ts';
import { eachPack } from '#chunk/each-pack.ts';
import { DamageError, StoreError, throwIfAborted } from '#chunk/errors.ts';
import { MarkSet } from '#chunk/mark-set.ts';
import { parseSnapshotId, type AccountId, type SnapshotId } from '#domain/ids.ts';

import type { AccountRoot, Holds } from './holds.ts';
import type { ManifestStore } from './manifest-store.ts';
import { manifestObjectKey } from './manifest.ts';
import { SizesTable, type ChildItem, type CountedRoot } from './sizes-table.ts';
import { Tally } from './sizes-tally.ts';
import { FAN_OUT, type Child } from './tree-node.ts';
import { loadNode, rootChild } from './tree.ts';

/** All in bytes. What a snapshot needs is `exclusive` and `shared` together. */
export interface SnapshotSize {
  readonly snapshot: SnapshotId;
  /** Of all chunks that it holds, 512 KiB each. */
  readonly fullBytes: number;
  /** Of the packs that were stored for it when it was made. */
  readonly newBytes: number;
  /** Of the records, chunks and nodes, that only it needs, and its manifest: what deleting it would free now. */
  readonly exclusiveBytes: number;
  /** Of the records that it needs and something else too. */
  readonly sharedBytes: number;
}

export interface StoreSize {
  readonly snapshotCount: number;
  /** Of all packs and manifests. */
  readonly storedBytes: number;
  /** Of the records that something needs, and the manifests. The rest is footers, and what the next collections give back. */
  readonly neededBytes: number;
  /** What all snapshots hold, each for itself. */
  readonly fullBytes: number;
}

/** What a volume reads through to. */
export interface VolumeRoot extends AccountRoot {
  readonly volume: string;
}

export interface SizesPorts {
  readonly chunks: ChunkStore;
  readonly manifests: ManifestStore;
  readonly holds: Holds;
}

/** Rows in one turn of the event loop: a fraction of a millisecond. */
const ROWS_PER_TURN = 64;
const SNAPSHOT = 'snapshot ';
const VOLUME = 'volume ';

export class Sizes implements Disposable {
  readonly #ports: SizesPorts;
  readonly #path: string;
  #opened: SizesTable | null = null;
  /** One thing at a time: an item that was just added and that nothing refers to yet must not be taken for one to delete. */
  #last: Promise<unknown> = Promise.resolve();
  #isWoken = false;
  #rowCount = 0;
  /** Snapshots that may have come or gone since the table last followed them. Null: any may have, and every one is looked at. */
  #changed: Set<SnapshotId> | null = null;
  /** Snapshots that are there and did not read: tried again before an answer. */
  readonly #uncounted = new Set<SnapshotId>();

  constructor(path: string, ports: SizesPorts) {
    this.#ports = ports;
    this.#path = path;
  }

  [Symbol.dispose](): void {
    this.#opened?.[Symbol.dispose]();
    this.#opened = null;
  }

  get #table(): SizesTable {
    this.#opened ??= SizesTable.open(this.#path);
    return this.#opened;
  }

  /**
   * A snapshot was written or deleted, or that was tried: to be told after each, whether it succeeded or not, since what
   * failed may have been done. The next time the table is brought up to date it follows.
   */
  changed(snapshot: SnapshotId): void {
    this.#changed?.add(snapshot);
  }

  /** Of those of the snapshots that are there and whole. `volumes`: all that read through to something. */
  async of(
    snapshots: readonly SnapshotId[],
    volumes: readonly VolumeRoot[],
    signal: AbortSignal,
  ): Promise<readonly SnapshotSize[]> {
    return await this.#alone(async () => {
      this.#retryUncounted();
      await this.#follow(signal);
      await this.#followVolumes(volumes, signal);
      await this.#removeUnneeded(signal);
      const sizes: SnapshotSize[] = [];
      for (const snapshot of snapshots) {
        const root = this.#table.root(`${SNAPSHOT}${snapshot}`);
        if (root !== null) sizes.push(await this.#sizeOf(snapshot, root, signal));
      }
      return sizes;
    });
  }

  /** Bytes that deleting all of these would free: more than the sum of what each has for itself, where they share. Those that are not there, or do not read, count nothing. */
  async freedBy(
    snapshots: readonly SnapshotId[],
    volumes: readonly VolumeRoot[],
    signal: AbortSignal,
  ): Promise<number> {
    return await this.#alone(async () => {
      this.#retryUncounted();
      await this.#follow(signal);
      await this.#followVolumes(volumes, signal);
      await this.#removeUnneeded(signal);
      const roots = [...new Set(snapshots)].flatMap((snapshot) => {
        const root = this.#table.root(`${SNAPSHOT}${snapshot}`);
        return root === null ? [] : [root];
      });
      const manifestBytes = roots.reduce((sum, root) => sum + root.manifestBytes, 0);
      const items = roots.map(({ item }) => item);
      return manifestBytes + (await this.#exclusive(items, signal));
    });
  }

  /** Of the whole store. */
  async ofStore(signal: AbortSignal): Promise<StoreSize> {
    return await this.#alone(async () => {
      this.#retryUncounted();
      await this.#follow(signal);
      await this.#removeUnneeded(signal);
      let packBytes = 0;
      for await (const pack of eachPack(this.#ports.chunks)) {
        packBytes += pack.sizeBytes;
        await this.#breathe(signal);
      }
      const { snapshotCount, fullBytes, manifestBytes } = this.#table.totals();
      const neededBytes = this.#table.neededBytes + manifestBytes;
      return { snapshotCount, fullBytes, neededBytes, storedBytes: packBytes + manifestBytes };
    });
  }

  /** Brings the table up to date with the snapshots that changed. Calls while one waits for its turn are one. */
  async follow(signal: AbortSignal): Promise<void> {
    if (this.#isWoken) return;
    this.#isWoken = true;
    await this.#alone(async () => {
      this.#isWoken = false;
      await this.#follow(signal);
      await this.#removeUnneeded(signal);
    });
  }

  /**
   * Before the collection of this epoch deletes records: lets go of what no manifest and none of these roots needs any more.
   * So every record that is counted stays in the index as it was counted; one that goes and comes back may be of another
   * length. Never fails: counts that cannot be changed are given up, and made anew when there is a need.
   */
  async beforeSweep(epoch: number, extraRoots: readonly AccountRoot[], signal: AbortSignal): Promise<void> {
    await this.#alone(async () => {
      try {
        this.#checkLineage();
        const tops = new Set<number>([0]);
        for (const { root } of extraRoots) {
          const item = root.key === null ? null : this.#table.findKey(Buffer.from(root.key, 'hex'));
          if (item !== null) tops.add(item.id);
        }
        await this.#removeSnapshots(signal);
        await this.#removeRoots(VOLUME, ({ item }) => tops.has(item), signal);
        await this.#removeUnneeded(signal);
        this.#table.setMeta('prepared', epoch);
      } catch (error) {
        if (isBrokenTable(error)) throw error;
        this.#ports.chunks.log.warn('sizes not brought up to date', { error });
      }
    });
  }

  /** Adds the snapshots that came, and lets the roots of those that went go. What nothing needs any more is still there then. */
  async #follow(signal: AbortSignal): Promise<void> {
    this.#checkLineage();
    const changed = this.#changed;
    // From here on, before anything is looked at: what changes meanwhile is looked at the next time.
    this.#changed = new Set();
    try {
      if (changed === null) await this.#followAll(signal);
      else await this.#followSome(changed, signal);
    } catch (error) {
      if (changed === null) this.#changed = null;
      else for (const snapshot of changed) this.#changed.add(snapshot);
      throw error;
    }
  }

  /** New ones first: what they share with those that go need not be deleted and added again. */
  async #followAll(signal: AbortSignal): Promise<void> {
    const { index } = this.#ports.chunks;
    this.#uncounted.clear();
    for (let after = ''; ;) {
      const snapshots = index.manifestsAfter(after, ROWS_PER_TURN);
      const last = snapshots.at(-1);
      if (last === undefined) break;
      for (const text of snapshots) {
        const snapshot = parseSnapshotId(text);
        if (snapshot !== null) await this.#addSnapshot(snapshot, signal);
        await this.#breathe(signal);
      }
      after = last;
    }
    await this.#removeSnapshots(signal);
  }

  async #followSome(changed: ReadonlySet<SnapshotId>, signal: AbortSignal): Promise<void> {
    const { index } = this.#ports.chunks;
    for (const snapshot of changed) {
      this.#uncounted.delete(snapshot);
      if (index.hasManifest(snapshot)) await this.#addSnapshot(snapshot, signal);
      await this.#breathe(signal);
    }
    for (const snapshot of changed) {
      if (!index.hasManifest(snapshot)) this.#table.removeRoot(`${SNAPSHOT}${snapshot}`);
      await this.#breathe(signal);
    }
  }

  /** Snapshots that did not read may read now. */
  #retryUncounted(): void {
    for (const snapshot of this.#uncounted) this.changed(snapshot);
  }

  async #followVolumes(volumes: readonly VolumeRoot[], signal: AbortSignal): Promise<void> {
    const kept = new Set(volumes.map(({ volume }) => `${VOLUME}${volume}`));
    for (const root of volumes) {
      await this.#addVolume(root, signal);
      await this.#breathe(signal);
    }
    await this.#removeRoots(VOLUME, ({ name }) => kept.has(name), signal);
  }

  /** Roots of snapshots whose manifest is not there. */
  async #removeSnapshots(signal: AbortSignal): Promise<void> {
    const { index } = this.#ports.chunks;
    await this.#removeRoots(SNAPSHOT, ({ name }) => index.hasManifest(name.slice(SNAPSHOT.length)), signal);
  }

  /** Of those whose name begins so. */
  async #removeRoots(
    prefix: string,
    isKept: (root: Pick<CountedRoot, 'name' | 'item'>) => boolean,
    signal: AbortSignal,
  ): Promise<void> {
    for (let after = prefix; ;) {
      const roots = this.#table.roots(after, ROWS_PER_TURN);
      for (const root of roots) {
        if (!root.name.startsWith(prefix)) return;
        if (!isKept(root)) this.#table.removeRoot(root.name);
        after = root.name;
        await this.#breathe(signal);
      }
      if (roots.length < ROWS_PER_TURN) return;
    }
  }

  #checkLineage(): void {
    const { index } = this.#ports.chunks;
    const table = this.#table;
    const isCurrent =
      table.meta('index', index.id) === index.id &&
      table.meta('forms', index.forms) === index.forms &&
      table.meta('prepared', index.swept) >= index.swept;
    if (isCurrent) return;
    this.#changed = null;
    table.transact(() => {
      table.clear();
      table.setMeta('index', index.id);
      table.setMeta('forms', index.forms);
      table.setMeta('prepared', index.swept);
    });
  }

  /** One that does not read stays uncounted; what it needs is then not told of as shared. */
  async #addSnapshot(snapshot: SnapshotId, signal: AbortSignal): Promise<void> {
    const name = `${SNAPSHOT}${snapshot}`;
    if (this.#table.root(name) !== null) return;
    const { manifests, holds, chunks } = this.#ports;
    try {
      const held = await holds.opening(async () => {
        const manifest = await manifests.read(snapshot);
        if (manifest === null) return null;
        const root = { account: manifest.label.account, root: manifest.root };
        return { manifest, root, hold: holds.hold(root) };
      });
      if (held === null) return; // Deleted since it was looked for.
      using _hold = held.hold;
      const item = await this.#addTree(held.root, signal);
      const { fullBytes, storedBytes } = held.manifest;
      const manifestBytes = (await chunks.objects.get(manifestObjectKey(snapshot)))?.length ?? 0;
      const { account } = held.root;
      this.#table.putRoot({ ...NEW_ROOT, name, account, item, manifestBytes, fullBytes, newBytes: storedBytes });
    } catch (error) {
      if (!(error instanceof StoreError) || error.kind !== 'damaged') throw error;
      this.#uncounted.add(snapshot);
      chunks.log.error('snapshot not counted', { snapshot, why: error.message });
    }
  }

  async #addVolume({ volume, account, root }: VolumeRoot, signal: AbortSignal): Promise<void> {
    const name = `${VOLUME}${volume}`;
    if (this.#table.root(name) !== null) return;
    const { holds, chunks } = this.#ports;
    using _hold = holds.hold({ account, root });
    try {
      const item = await this.#addTree({ account, root }, signal);
      this.#table.putRoot({ ...NEW_ROOT, name, account, item });
    } catch (error) {
      if (!(error instanceof StoreError) || error.kind !== 'damaged') throw error;
      chunks.log.error('origin not counted', { volume, why: error.message });
    }
  }

  /** The id of the top; 0: there is nothing. */
  async #addTree({ account, root }: AccountRoot, signal: AbortSignal): Promise<number> {
    const top = rootChild(root);
    return top === null ? 0 : (await this.#addNode(account, top, root.depth - 1, signal)).id;
  }

  /** Children first, so that a node that is there has all that it needs there. */
  async #addNode(account: AccountId, child: Child, level: number, signal: AbortSignal): Promise<ChildItem> {
    const known = this.#table.findKey(child.key);
    if (known !== null) return { ...known, hasBase: false, isNode: true };
    throwIfAborted(signal);
    await nextTurn();
    const node = await loadNode(this.#ports.chunks, account, child, level);
    const below: Child[] = [];
    for (let slot = 0; slot < FAN_OUT; slot += 1) {
      const found = node.child(slot);
      if (found !== null) below.push(found);
    }
    // The same record may be there more than once: it is referred to once.
    const children = new Map<number, ChildItem>();
    if (level > 0) {
      for (const one of below) {
        const item = await this.#addNode(account, one, level - 1, signal);
        children.set(item.id, item);
      }
    } else {
      for (let start = 0; start < below.length; start += ROWS_PER_TURN) {
        const some = below.slice(start, start + ROWS_PER_TURN);
        const items = this.#table.transact(() => some.map(({ key }) => this.#addChunk(account, key)));
        for (const item of items) children.set(item.id, item);
        await nextTurn();
      }
    }
    const { length } = this.#placeOf(account, child.key);
    const id = this.#table.transact(() =>
      this.#table.insert({ account, key: child.key, length, base: 0, children: [...children.values()] }),
    );
    return { id, length, hasBase: false, isNode: true };
  }

  /** In a transaction. */
  #addChunk(account: AccountId, key: Buffer): ChildItem {
    const known = this.#table.findKey(key);
    if (known !== null) return { id: known.id, length: known.length, hasBase: known.base !== 0, isNode: false };
    const { length, base } = this.#placeOf(account, key);
    // The index keeps chains short.
    const baseId = base === null ? 0 : this.#addChunk(account, base).id;
    const id = this.#table.insert({ account, key, length, base: baseId, children: null });
    return { id, length, hasBase: baseId !== 0, isNode: false };
  }

  #placeOf(account: AccountId, key: Buffer): { readonly length: number; readonly base: Buffer | null } {
    const place = this.#ports.chunks.index.find(account, key);
    if (place !== null) return place;
    throw new StoreError('damaged', `record ${key.toString('hex')} of account ${account} is needed, and is in no pack`);
  }

  async #removeUnneeded(signal: AbortSignal): Promise<void> {
    for (;;) {
      const ids = this.#table.unneeded(ROWS_PER_TURN);
      if (ids.length === 0) return;
      for (const id of ids) {
        this.#table.transact(() => this.#table.remove(id));
        await this.#breathe(signal);
      }
    }
  }

  async #sizeOf(snapshot: SnapshotId, root: CountedRoot, signal: AbortSignal): Promise<SnapshotSize> {
    const version = this.#table.version(root.account);
    const neededBytes = root.neededBytes ?? (await this.#needed(root.item, signal));
    const isCurrent = root.exclusiveVersion === version;
    const exclusiveBytes = isCurrent
      ? root.exclusiveBytes
      : this.#table.hasOneRoot(root.account)
        ? neededBytes
        : await this.#exclusive([root.item], signal);
    if (!isCurrent) this.#table.setSizes(root.name, { neededBytes, exclusiveBytes, exclusiveVersion: version });
    if (exclusiveBytes > neededBytes) throw new DamageError('a snapshot needs more for itself than in all');
    return {
      snapshot,
      fullBytes: root.fullBytes,
      newBytes: root.newBytes,
      exclusiveBytes: exclusiveBytes + root.manifestBytes,
      sharedBytes: neededBytes - exclusiveBytes,
    };
  }

  /** Bytes of all different records below a top, itself included. Looks at nodes and deltas only: some 50 ns a chunk. */
  async #needed(top: number, signal: AbortSignal): Promise<number> {
    if (top === 0) return 0;
    const seen = new MarkSet();
    seen.add(top);
    let bytes = this.#table.item(top).length;
    const nodes = [top];
    for (let node = nodes.pop(); node !== undefined; node = nodes.pop()) {
      for (const { id, length, hasBase, isNode } of this.#table.children(node)) {
        if (!seen.add(id)) continue;
        bytes += length;
        if (isNode) nodes.push(id);
        if (!hasBase) continue;
        for (let base = this.#table.item(id).base; base !== 0 && seen.add(base);) {
          const item = this.#table.item(base);
          bytes += item.length;
          ({ base } = item);
        }
      }
      await this.#breathe(signal);
    }
    return bytes;
  }

  /** Bytes of what nothing would refer to if these references to tops went (0: to an empty tree). Memory: a byte a record that is looked at. */
  async #exclusive(tops: readonly number[], signal: AbortSignal): Promise<number> {
    const gone = new Tally();
    let bytes = 0;
    const dropped = tops.filter((top) => top !== 0).map((id) => ({ id, isNode: true }));
    for (let one = dropped.pop(); one !== undefined; one = dropped.pop()) {
      const { refs, length, base } = this.#table.item(one.id);
      await this.#breathe(signal);
      const isGone = refs === 1 || gone.add(one.id) === refs;
      if (!isGone) continue;
      bytes += length;
      if (base !== 0) dropped.push({ id: base, isNode: false });
      if (one.isNode) dropped.push(...this.#table.children(one.id));
    }
    return bytes;
  }

  /** Others have their turn after some rows. */
  async #breathe(signal: AbortSignal): Promise<void> {
    this.#rowCount += 1;
    if (this.#rowCount % ROWS_PER_TURN !== 0) return;
    await nextTurn();
    throwIfAborted(signal);
  }

  /** After whatever runs. Counts that cannot be are given up, and everything is counted anew, once. */
  #alone<R>(body: () => Promise<R>): Promise<R> {
    const result = this.#last.then(async () => {
      try {
        return await body();
      } catch (error) {
        if (!isBrokenTable(error)) throw error;
        this.#ports.chunks.log.error('sizes are counted anew', { error });
        this[Symbol.dispose]();
        this.#changed = null;
        SizesTable.remove(this.#path);
        return await body();
      }
    });
    this.#last = result.catch(() => {}); // Whoever asked is told.
    return result;
  }
}

/** The file is derived: what it says wrong must not stop the process again and again. */
function isBrokenTable(error: unknown): boolean {
  return isDamagedDatabase(error) || error instanceof DamageError || error instanceof AssertionError;
}

const NEW_ROOT = {
  manifestBytes: 0,
  fullBytes: 0,
  newBytes: 0,
  neededBytes: null,
  exclusiveBytes: 0,
  exclusiveVersion: 0,
} as const;
