/** What the digests of a chunk's base are good for: addresses by what changed, against a model that knows all of it. */
import assert from 'node:assert/strict';
import { readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { present } from '#base/assert.ts';
import { SeededRandom } from '#base/random.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { SectorCipher } from '#base/sector-cipher.ts';
import { BLOCK_BYTES, CHUNK_BYTES } from '#domain/geometry.ts';

import {
  BLOCK_COUNT,
  countBlocks,
  differingBlocks,
  emptyBlockSet,
  hasBlock,
  isSubset,
  type BlockSet,
} from './block-set.ts';
import { DIGESTS_BYTES } from './chunk-digests.ts';
import { TEST_ACCOUNT, TEST_MASTER_KEY } from './chunk-store.fixture.ts';
import { isHintChecked, readBatch, type ReadChunk } from './read-batch.ts';
import { sealAsOrdered } from './seal-batch.ts';
import type { SealBatch, SealOrder, SealSource } from './seal-pool.ts';
import { accountKeys, addressOf, sealRecord, unsealRecord } from './seal.ts';
import { openChain } from './unseal.ts';

const SEED = Number(process.env['VARVE_SEED'] ?? 1 + Math.floor(performance.timeOrigin % 1e6));
const keys = accountKeys(TEST_MASTER_KEY, TEST_ACCOUNT);
const directory = scratchDirectory('read-batch');
const dataPath = join(directory, 'data');
const digestPath = join(directory, 'digests');
const zeros = Buffer.alloc(CHUNK_BYTES);
const keyOf = (chunk: Buffer): Buffer => addressOf(keys, 'chunk', chunk);

function addBlock(set: BlockSet, block: number): void {
  set[block >>> 5] = (set[block >>> 5] as number) | (1 << (block & 31));
}

function readOne(source: SealSource, options: Partial<SealBatch> = {}): ReadChunk {
  const batch = { account: TEST_ACCOUNT, sources: [source], keepZeroChunks: false, digestPath, ...options };
  // As a thread's memory is: with what was there before.
  const [chunk] = readBatch(keys, batch, Buffer.alloc(CHUNK_BYTES, 'left'));
  return present(chunk, 'a chunk');
}

/** A chunk whose address is, or is not, one of those of which the hint is checked. */
function chunkChecked(random: SeededRandom, isChecked: boolean, from: Buffer, block: number): Buffer {
  for (;;) {
    const chunk = Buffer.from(from);
    random.bytes(BLOCK_BYTES).copy(chunk, block * BLOCK_BYTES);
    if (isHintChecked(keyOf(chunk)) === isChecked) return chunk;
  }
}

function hintOf(...blocks: number[]): BlockSet {
  const set = emptyBlockSet();
  for (const block of blocks) addBlock(set, block);
  return set;
}

test('of a chunk whose base is known, only the segments that changed are read', () => {
  const random = new SeededRandom(1);
  const base = random.bytes(CHUNK_BYTES);
  const next = chunkChecked(random, false, base, 9);
  rmSync(digestPath, { force: true });
  writeFileSync(dataPath, base);
  assert(readOne({ path: dataPath, offset: 0, index: 3 }).key?.equals(keyOf(base)));
  assert.equal(readFileSync(digestPath).length, 4 * DIGESTS_BYTES);

  // What the hint does not tell of is not looked at: block 40 is another one now.
  const other = Buffer.from(next);
  random.bytes(BLOCK_BYTES).copy(other, 40 * BLOCK_BYTES);
  writeFileSync(dataPath, other);
  const source = { path: dataPath, offset: 0, index: 3, change: { base: keyOf(base), blocks: hintOf(9, 100) } };
  const digests = readFileSync(digestPath);
  const chunk = readOne(source);
  assert(chunk.key?.equals(keyOf(next)));
  assert.deepEqual(chunk.changed, hintOf(9), 'the segment of block 100 is as it was');

  // Nothing that is not the base's proves anything: then all of it is read.
  const whole = keyOf(other);
  for (const [what, spoil] of [
    ['missing', () => rmSync(digestPath)],
    ['torn', () => truncateSync(digestPath, 4 * DIGESTS_BYTES - 1)],
    ['of another chunk', () => writeFileSync(digestPath, Buffer.alloc(4 * DIGESTS_BYTES, digests.subarray(-16)))],
    [
      'damaged',
      () =>
        writeFileSync(
          digestPath,
          digests.map((byte, at) => (at === digests.length - 1 ? byte ^ 1 : byte)),
        ),
    ],
  ] as const) {
    writeFileSync(digestPath, digests);
    spoil();
    const found = readOne(source);
    assert(found.key?.equals(whole), what);
    assert.deepEqual(found.changed, hintOf(9, 100), what);
  }
  writeFileSync(digestPath, digests);
  assert(readOne({ ...source, index: 2 }).key?.equals(whole), 'at the place of another chunk');
  assert(readOne(source, { digestPath: join(directory, 'no', 'where') }).key?.equals(whole), 'no file');
  assert(readOne({ ...source, change: { base: keyOf(next), blocks: hintOf(9) } }).key?.equals(whole), 'another base');
});

test('of one chunk in 64 all is read, and a block that changed untold is found', () => {
  const random = new SeededRandom(2);
  const base = random.bytes(CHUNK_BYTES);
  const next = chunkChecked(random, true, base, 9);
  const change = { base: keyOf(base), blocks: hintOf(9) };
  for (const isTold of [true, false]) {
    rmSync(digestPath, { force: true });
    writeFileSync(dataPath, base);
    readOne({ path: dataPath, offset: 0, index: 0 });
    const chunk = Buffer.from(next);
    if (!isTold) chunk.writeUInt8(chunk.readUInt8(CHUNK_BYTES - 1) ^ 1, CHUNK_BYTES - 1);
    writeFileSync(dataPath, chunk);
    const read = readOne({ path: dataPath, offset: 0, index: 0, change });
    assert.equal(read.finding ?? 'none', isTold ? 'none' : 'hint-wrong');
    assert.equal(sealAsOrdered(keys, read, { type: 'full' }, random).finding, isTold ? 'none' : 'hint-wrong');
  }
});

test('a full record is never made of what was not read: the rest is, and checked', () => {
  const random = new SeededRandom(3);
  const base = random.bytes(CHUNK_BYTES);
  const next = chunkChecked(random, false, base, 9);
  const source = { path: dataPath, offset: 0, index: 0, change: { base: keyOf(base), blocks: hintOf(9) } };
  rmSync(digestPath, { force: true });
  writeFileSync(dataPath, base);
  readOne({ path: dataPath, offset: 0, index: 0 });
  writeFileSync(dataPath, next);
  const { record } = sealAsOrdered(keys, readOne(source), { type: 'full' }, random);
  assert(unsealRecord(keys, 'chunk', keyOf(next), present(record, 'a record')).equals(next));

  rmSync(digestPath);
  writeFileSync(dataPath, base);
  readOne({ path: dataPath, offset: 0, index: 0 });
  const other = Buffer.from(next);
  random.bytes(BLOCK_BYTES).copy(other, 40 * BLOCK_BYTES);
  writeFileSync(dataPath, other);
  assert.deepEqual(sealAsOrdered(keys, readOne(source), { type: 'full' }, random), {
    record: null,
    finding: 'hint-wrong',
  });
});

test('what was zeros is read by its blocks, and is zeros again when they are', () => {
  const random = new SeededRandom(4);
  const next = chunkChecked(random, false, zeros, 77);
  writeFileSync(dataPath, next);
  const source = { path: dataPath, offset: 0, index: 0, change: { base: null, blocks: hintOf(77, 3) } };
  const chunk = readOne(source);
  assert(chunk.key?.equals(keyOf(next)));
  const { record } = sealAsOrdered(keys, chunk, { type: 'full' }, random);
  assert(unsealRecord(keys, 'chunk', keyOf(next), present(record, 'a record')).equals(next));
  const back = { ...source, change: { base: keyOf(next), blocks: hintOf(77) } };
  writeFileSync(dataPath, zeros);
  assert.equal(readOne(back).key, null);
  assert(readOne(back, { keepZeroChunks: true }).key?.equals(keyOf(zeros)));
  assert(readOne(source, { keepZeroChunks: true }).key?.equals(keyOf(zeros)));
});

interface Version {
  readonly content: Buffer;
  /** Null: zeros, left out. */
  readonly key: Buffer | null;
}

const CHUNKS = 3;

/** Chunks in a file, some in two places, encrypted or not, with their history. */
class Model {
  readonly counts = { derived: 0, whole: 0, same: 0, zeros: 0, deltas: 0, full: 0 };
  readonly #random: SeededRandom;
  readonly #dataKey: Buffer | null;
  readonly #histories: Version[][] = Array.from({ length: CHUNKS }, () => [{ content: zeros, key: null }]);

  constructor(seed: number) {
    this.#random = new SeededRandom(seed);
    this.#dataKey = this.#random.below(2) === 0 ? this.#random.bytes(64) : null;
  }

  step(): void {
    if (this.#random.below(5) === 0) this.#spoil();
    const read = Array.from({ length: CHUNKS }, (_, index) => index).filter(() => this.#random.below(3) > 0);
    if (read.length === 0) return;
    const nexts = read.map((index) => this.#change(index));
    const file = Buffer.alloc(2 * CHUNKS * CHUNK_BYTES);
    const sources = nexts.map(({ index, content, change }) => ({
      ...this.#place(file, index, content),
      index,
      change,
    }));
    this.#encrypt(file);
    writeFileSync(dataPath, file);
    const batch = { account: TEST_ACCOUNT, sources, keepZeroChunks: false, digestPath };
    const chunks = readBatch(keys, batch, Buffer.alloc(read.length * CHUNK_BYTES, 'left'));
    for (const [at, chunk] of chunks.entries()) this.#check(present(nexts[at], 'a change'), chunk);
  }

  /** Another content, and the blocks that were written since one of those before. */
  #change(index: number): Changed {
    const random = this.#random;
    const history = present(this.#histories[index], 'a history');
    const base = present(history[random.below(4) === 0 ? random.below(history.length) : history.length - 1], 'a base');
    const content = Buffer.from(base.content);
    const blocks = emptyBlockSet();
    for (let count = random.below(1 + 2 ** random.below(8)); count > 0; count -= 1) {
      const block = random.below(BLOCK_COUNT);
      addBlock(blocks, block);
      const fill = random.below(4);
      if (fill === 0) continue; // With what is there already.
      const bytes = fill === 1 ? Buffer.alloc(BLOCK_BYTES) : random.bytes(BLOCK_BYTES);
      bytes.copy(content, block * BLOCK_BYTES);
    }
    if (random.below(12) === 0) {
      content.fill(0);
      blocks.fill(0xffff_ffff);
    }
    const change = random.below(8) === 0 ? null : { base: base.key, blocks };
    return { index, base, content, change };
  }

  /** Puts a chunk into the file, in one place or two. */
  #place(file: Buffer, index: number, content: Buffer): SealSource {
    const offset = 2 * index * CHUNK_BYTES;
    const place = { path: dataPath, offset, dataKey: this.#dataKey };
    if (this.#random.below(2) === 0) {
      content.copy(file, offset);
      return place;
    }
    const above = emptyBlockSet().map(() => this.#random.below(2 ** 31));
    const underOffset = offset + CHUNK_BYTES;
    for (let block = 0; block < BLOCK_COUNT; block += 1) {
      const start = block * BLOCK_BYTES;
      const to = hasBlock(above, block) ? offset : underOffset;
      content.copy(file, to + start, start, start + BLOCK_BYTES);
    }
    return { ...place, under: { offset: underOffset, above } };
  }

  #encrypt(file: Buffer): void {
    if (this.#dataKey !== null) new SectorCipher(this.#dataKey).encrypt(0, file, 0, file.length, file, 0);
  }

  #spoil(): void {
    const [random, kind] = [this.#random, this.#random.below(4)];
    if (kind === 0) {
      rmSync(digestPath, { force: true });
      return;
    }
    const digests = readOrEmpty();
    if (digests.length === 0) return;
    if (kind === 1) truncateSync(digestPath, random.below(digests.length));
    else {
      const at = random.below(digests.length);
      if (kind === 2) digests.writeUInt8(digests.readUInt8(at) ^ (1 << random.below(8)), at);
      else digests.copy(digests, 0, DIGESTS_BYTES * random.below(2)); // Of other chunks.
      writeFileSync(digestPath, digests);
    }
  }

  #check({ index, base, content, change }: Changed, chunk: ReadChunk): void {
    const key = content.equals(zeros) ? null : keyOf(content);
    assert.deepEqual(chunk.key, key);
    assert.equal(chunk.finding ?? 'none', 'none');
    if (change !== null && key !== null) {
      const changed = present(chunk.changed ?? undefined, 'what is known of a change is told on');
      assert(isSubset(differingBlocks(content, base.content), changed) && isSubset(changed, change.blocks));
    }
    this.counts[key === null ? 'zeros' : (chunk.unread ?? null) === null ? 'whole' : 'derived'] += 1;
    if (key !== null) this.#seal(chunk, { base, content, key });
    present(this.#histories[index], 'a history').push({ content, key });
  }

  #seal(chunk: ReadChunk, { base, content, key }: { base: Version; content: Buffer; key: Buffer }): void {
    const { changed = null } = chunk;
    if (base.key?.equals(key) === true) this.counts.same += 1;
    const isDelta = base.key !== null && !base.key.equals(key) && (changed === null || countBlocks(changed) <= 64);
    const link = base.key === null ? null : linkOf(base.content, base.key, this.#random);
    const isCompared = changed === null || this.#random.below(4) === 0;
    const order: SealOrder =
      isDelta && base.key !== null && link !== null
        ? { type: 'delta', base: base.key, fullBytes: CHUNK_BYTES, changed, chain: isCompared ? [link] : null }
        : { type: 'full' };
    const { record, finding } = sealAsOrdered(keys, chunk, order, this.#random);
    assert.equal(finding, 'none');
    const own = { key, record: present(record, 'a record') };
    const isOwnDelta = own.record.readUInt8(0) === 3;
    this.counts[isOwnDelta ? 'deltas' : 'full'] += 1;
    assert(openChain(keys, isOwnDelta && link !== null ? [own, link] : [own]).equals(content));
  }
}

interface Changed {
  readonly index: number;
  readonly base: Version;
  readonly content: Buffer;
  readonly change: { readonly base: Buffer | null; readonly blocks: BlockSet } | null;
}

function linkOf(plain: Buffer, key: Buffer, random: SeededRandom): { key: Buffer; record: Buffer } {
  return { key, record: sealRecord({ keys, kind: 'chunk', key, plain, nonce: random.bytes(12) }) };
}

function readOrEmpty(): Buffer {
  try {
    return readFileSync(digestPath);
  } catch {
    return Buffer.alloc(0);
  }
}

test(`keys and records are those of all of the content, whatever is remembered (seed ${SEED})`, (context) => {
  const total: Record<string, number> = {};
  for (let run = 0; run < 3; run += 1) {
    rmSync(digestPath, { force: true });
    const model = new Model(SEED + run);
    for (let step = 0; step < 40; step += 1) model.step();
    for (const [name, count] of Object.entries(model.counts)) total[name] = (total[name] ?? 0) + count;
  }
  context.diagnostic(JSON.stringify(total));
  for (const [name, count] of Object.entries(total)) assert(count > 0, `the run saw ${name}`);
});
