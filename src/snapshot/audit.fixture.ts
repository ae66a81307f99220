import assert from 'node:assert/strict';

import { TEST_ACCOUNT, TEST_MASTER_KEY } from '#chunk/chunk-store.fixture.ts';
import type { MemoryStore } from '#chunk/memory-store.ts';
import { checkPack, parsePackObjectKey } from '#chunk/pack.ts';
import { accountKeys, unsealRecord } from '#chunk/seal.ts';
import type { SnapshotId } from '#domain/ids.ts';

import { decodeManifest, manifestKey, parseManifestObjectKey } from './manifest.ts';
import { contentNumber, type ContentNumber } from './snapshot-store.fixture.ts';
import { childSpan, FAN_OUT, TreeNode, type Child } from './tree-node.ts';
import { rootChild, type TreeRoot } from './tree.ts';

interface StoredRecord {
  /** Of a node; empty for a chunk. */
  readonly plain: Buffer;
  /** The content number of a chunk; 0 for a node. */
  readonly content: ContentNumber;
}

const NO_NODE = Buffer.alloc(0);

type StoredRecords = ReadonlyMap<string, { readonly record: StoredRecord; readonly packs: readonly string[] }>;

/** What an object store holds, looked at from outside: no index, no cache of the store that is tested. */
export class Audit {
  readonly #objects: MemoryStore;
  readonly #manifestKey = manifestKey(TEST_MASTER_KEY);
  readonly #keys = accountKeys(TEST_MASTER_KEY, TEST_ACCOUNT);
  /** What a record was found to hold; the same bytes hold the same. */
  readonly #known = new Map<string, { readonly record: Buffer; readonly stored: StoredRecord }>();
  #records: StoredRecords | null = null;
  #recordsOf = '';
  /** Packs never change, so each is read once. */
  readonly #packs = new Map<string, ReadonlyMap<string, StoredRecord>>();

  constructor(objects: MemoryStore) {
    this.#objects = objects;
  }

  /** Every record that is stored, by key, and the packs that hold it. */
  async records(): Promise<StoredRecords> {
    const names: string[] = [];
    for await (const { key } of this.#objects.list('packs/')) names.push(key);
    if (this.#records !== null && names.join() === this.#recordsOf) return this.#records;
    this.#records = await this.#readAll(names);
    this.#recordsOf = names.join();
    return this.#records;
  }

  async #readAll(packs: readonly string[]): Promise<StoredRecords> {
    const all = new Map<string, { readonly record: StoredRecord; readonly packs: string[] }>();
    for (const key of packs) {
      for (const [name, record] of await this.#readPack(key)) {
        const known = all.get(name);
        if (known === undefined) all.set(name, { record, packs: [key] });
        else known.packs.push(key);
      }
    }
    return all;
  }

  async manifests(): Promise<Map<SnapshotId, TreeRoot>> {
    const roots = new Map<SnapshotId, TreeRoot>();
    for await (const { key } of this.#objects.list('snapshots/')) {
      const snapshot = parseManifestObjectKey(key);
      const bytes = await this.#objects.get(key);
      assert(snapshot !== null && bytes !== null);
      roots.set(snapshot, decodeManifest(this.#manifestKey, snapshot, bytes).root);
    }
    return roots;
  }

  /** The content numbers of a tree, by index; every record that it needs is added to `needed`. Fails when one is not stored. */
  async restore(
    root: TreeRoot,
    needed: Set<string>,
    records: StoredRecords,
  ): Promise<ReadonlyMap<number, ContentNumber>> {
    const content = new Map<number, ContentNumber>();
    const visit = (child: Child, level: number, base: number): void => {
      const key = child.key.toString('hex');
      const found = records.get(key);
      assert(found !== undefined, `record ${key} of level ${level} is needed and is not stored`);
      needed.add(key);
      if (level < 0) {
        content.set(base, found.record.content);
        return;
      }
      const node = TreeNode.parse(found.record.plain, level);
      for (let slot = 0; slot < FAN_OUT; slot += 1) {
        const below = node.child(slot);
        if (below !== null) visit(below, level - 1, base + slot * childSpan(level));
      }
    };
    const top = rootChild(root);
    if (top !== null) visit(top, root.depth - 1, 0);
    assert.equal(content.size, root.presentCount);
    return content;
  }

  async #readPack(objectKey: string): Promise<ReadonlyMap<string, StoredRecord>> {
    const known = this.#packs.get(objectKey);
    if (known !== undefined) return known;
    const name = parsePackObjectKey(objectKey);
    const pack = await this.#objects.get(objectKey);
    assert(name !== null && pack !== null);
    const records = new Map<string, StoredRecord>();
    for (const { key, kind, offset, length } of checkPack(this.#keys, name, pack)) {
      const record = pack.subarray(offset, offset + length);
      const name = key.toString('hex');
      const known = this.#known.get(name);
      if (known?.record.equals(record) === true) records.set(name, known.stored);
      else {
        const plain = unsealRecord(this.#keys, kind, key, record);
        const stored = kind === 'chunk' ? { plain: NO_NODE, content: contentNumber(plain) } : { plain, content: 0 };
        records.set(name, stored);
        this.#known.set(name, { record, stored });
      }
    }
    this.#packs.set(objectKey, records);
    return records;
  }
}
