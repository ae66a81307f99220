import assert from 'node:assert/strict';

import { TEST_ACCOUNT, TEST_MASTER_KEY } from '#chunk/chunk-store.fixture.ts';
import { BLOCK_COUNT, gatherBlocks, hasBlock } from '#chunk/block-set.ts';
import type { MemoryStore } from '#chunk/memory-store.ts';
import { checkPack, parsePackObjectKey } from '#chunk/pack.ts';
import { accountKeys, addressOf, openRecord, parseRecordHeader, unsealRecord, type RecordKind } from '#chunk/seal.ts';
import type { SnapshotId } from '#domain/ids.ts';

import { decodeManifest, manifestKey, parseManifestObjectKey } from './manifest.ts';
import { contentNumber, contentOf, type ContentNumber } from './snapshot-store.fixture.ts';
import { childSpan, FAN_OUT, TreeNode, type Child } from './tree-node.ts';
import { rootChild, type TreeRoot } from './tree.ts';

type StoredRecord =
  | { readonly kind: 'node'; readonly plain: Buffer }
  | { readonly kind: 'chunk'; readonly content: ContentNumber }
  /** It holds the content when its base is there: any content but 0 does as such. */
  | { readonly kind: 'delta'; readonly base: string; readonly content: ContentNumber };

/** All copies of a record, which may be of different kinds. */
type StoredRecords = ReadonlyMap<
  string,
  { readonly copies: readonly StoredRecord[]; readonly packs: readonly string[] }
>;

interface AuditedChunk {
  readonly content: ContentNumber;
  /** Itself and every base of every copy. */
  readonly needs: ReadonlySet<string>;
}

/** What an object store holds, looked at from outside: no index, no cache of the store that is tested. */
export class Audit {
  readonly #objects: MemoryStore;
  readonly #manifestKey = manifestKey(TEST_MASTER_KEY);
  readonly #keys = accountKeys(TEST_MASTER_KEY, TEST_ACCOUNT);
  /** What a record was found to hold; the same bytes hold the same. */
  readonly #known = new Map<string, { readonly record: Buffer; readonly stored: StoredRecord }>();
  #records: StoredRecords | null = null;
  #recordsOf = '';
  /** Deltas seen so far. */
  deltaCount = 0;
  /** Contents of the chunks that the records looked at last give. */
  #whole: ReadonlyMap<string, ContentNumber> | null = null;
  /** Of the records that were looked at last. */
  readonly #chunks = new Map<string, AuditedChunk>();
  /** Packs never change, so each is read once. */
  readonly #packs = new Map<string, ReadonlyMap<string, StoredRecord>>();
  /** Of each pack, the bytes of its records. */
  readonly #lengths = new Map<string, ReadonlyMap<string, number>>();

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

  /** Bytes of all records in all packs, and of those needed, each counted once, by its longest copy. */
  async bytes(needed: ReadonlySet<string>): Promise<{ readonly storedBytes: number; readonly neededBytes: number }> {
    const longest = new Map<string, number>();
    let storedBytes = 0;
    for await (const { key } of this.#objects.list('packs/')) {
      await this.#readPack(key);
      for (const [name, length] of this.#lengths.get(key) ?? []) {
        storedBytes += length;
        if (needed.has(name)) longest.set(name, Math.max(length, longest.get(name) ?? 0));
      }
    }
    return { storedBytes, neededBytes: [...longest.values()].reduce((sum, length) => sum + length, 0) };
  }

  async #readAll(packs: readonly string[]): Promise<StoredRecords> {
    const all = new Map<string, { readonly copies: StoredRecord[]; readonly packs: string[] }>();
    for (const key of packs) {
      for (const [name, record] of await this.#readPack(key)) {
        const known = all.get(name);
        if (known === undefined) all.set(name, { copies: [record], packs: [key] });
        else {
          known.copies.push(record);
          known.packs.push(key);
        }
      }
    }
    this.#chunks.clear();
    this.#whole = null;
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
      if (level < 0) {
        content.set(base, this.#chunkOf(key, records, needed));
        return;
      }
      const found = records.get(key)?.copies[0];
      assert(found?.kind === 'node', `node ${key} of level ${level} is needed and is not stored`);
      needed.add(key);
      const node = TreeNode.parse(found.plain, level);
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

  /** The content of a chunk; what any copy of it needs is added to `needed`. */
  #chunkOf(key: string, records: StoredRecords, needed: Set<string>): ContentNumber {
    const known = this.#chunks.get(key);
    const chunk = known ?? this.#assemble(key, records);
    this.#chunks.set(key, chunk);
    for (const name of chunk.needs) needed.add(name);
    return chunk.content;
  }

  #assemble(key: string, records: StoredRecords): AuditedChunk {
    this.#whole ??= wholeChunks(records);
    const content = this.#whole.get(key);
    assert(content !== undefined, `chunk ${key} is needed, and no copy of it is whole`);
    const needs = new Set([key]);
    for (const name of needs) {
      for (const copy of records.get(name)?.copies ?? []) {
        // A set that is walked goes on with what is added meanwhile.
        if (copy.kind === 'delta' && this.#whole.has(copy.base)) needs.add(copy.base);
      }
    }
    return { content, needs };
  }

  async #readPack(objectKey: string): Promise<ReadonlyMap<string, StoredRecord>> {
    const known = this.#packs.get(objectKey);
    if (known !== undefined) return known;
    const name = parsePackObjectKey(objectKey);
    const pack = await this.#objects.get(objectKey);
    assert(name !== null && pack !== null);
    const records = new Map<string, StoredRecord>();
    const lengths = new Map<string, number>();
    this.#lengths.set(objectKey, lengths);
    for (const { key, kind, offset, length } of checkPack(this.#keys, name, pack)) {
      const record = pack.subarray(offset, offset + length);
      const name = key.toString('hex');
      lengths.set(name, length);
      const known = this.#known.get(name);
      if (known?.record.equals(record) === true) records.set(name, known.stored);
      else {
        const stored = this.#open(kind, key, record);
        records.set(name, stored);
        this.#known.set(name, { record, stored });
      }
    }
    this.#packs.set(objectKey, records);
    return records;
  }

  #open(kind: RecordKind, key: Buffer, record: Buffer): StoredRecord {
    if (kind === 'delta') return this.#openDelta(key, record);
    const plain = unsealRecord(this.#keys, kind, key, record);
    return kind === 'node' ? { kind, plain } : { kind, content: contentNumber(plain) };
  }

  #openDelta(key: Buffer, record: Buffer): StoredRecord {
    this.deltaCount += 1;
    const header = parseRecordHeader(record);
    const blocks = openRecord(this.#keys, record, header);
    assert(header.delta !== null);
    const content = blocks.readUInt32LE(blocks.length - 100);
    const plain = contentOf(content);
    assert(hasBlock(header.delta.changed, BLOCK_COUNT - 1), 'contents differ in the last block');
    assert(blocks.equals(gatherBlocks(plain, header.delta.changed)), 'a delta has the blocks of its chunk');
    assert(addressOf(this.#keys, 'chunk', plain).equals(key), 'a delta has the address of its chunk');
    return { kind: 'delta', base: header.delta.base.toString('hex'), content };
  }
}

/** Chunks that are stored as such, and those of which a copy rests on one of these. */
function wholeChunks(records: StoredRecords): ReadonlyMap<string, ContentNumber> {
  const whole = new Map<string, ContentNumber>();
  for (let sizeBefore = -1; sizeBefore < whole.size;) {
    sizeBefore = whole.size;
    for (const [key, { copies }] of records) {
      if (whole.has(key)) continue;
      for (const copy of copies) {
        if (copy.kind === 'chunk') whole.set(key, copy.content);
        if (copy.kind === 'delta' && whole.has(copy.base)) {
          assert(whole.get(copy.base) !== 0, 'a delta rests on a content that it was made of');
          whole.set(key, copy.content);
        }
      }
    }
  }
  return whole;
}
