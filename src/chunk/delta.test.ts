import assert from 'node:assert/strict';
import { test } from 'node:test';

import { crc32c } from '#base/crc32c.ts';
import { SeededRandom } from '#base/random.ts';
import { BLOCK_BYTES, CHUNK_BYTES } from '#domain/geometry.ts';
import type { AccountId } from '#domain/ids.ts';

import {
  BLOCK_COUNT,
  countBlocks,
  decodeBlockSet,
  differingBlocks,
  emptyBlockSet,
  encodeBlockSet,
  gatherBlocks,
  hasBlock,
  isSubset,
  scatterBlocks,
  type BlockSet,
} from './block-set.ts';
import { DamageError } from './errors.ts';
import { checkPack, PackBuilder, readPackEntries, type PackName } from './pack.ts';
import { accountKeys, addressOf, checkRecord, parseRecordHeader, sealDelta, sealRecord, unsealRecord } from './seal.ts';
import { LinkDamageError, openChain, unsealChain, type ChainLink } from './unseal.ts';

const random = new SeededRandom(3);
const account = '000000000001' as AccountId;
const keys = accountKeys(random.bytes(32), account);
const otherKeys = accountKeys(random.bytes(32), '000000000002' as AccountId);

function blockSet(...blocks: number[]): BlockSet {
  const set = emptyBlockSet();
  for (const block of blocks) set[block >>> 5] = (set[block >>> 5] ?? 0) | (1 << (block & 31));
  return set;
}

/** The chunk with some blocks overwritten. */
function changed(plain: Buffer, blocks: readonly number[], fill: Buffer): Buffer {
  const next = Buffer.from(plain);
  for (const block of blocks) fill.copy(next, block * BLOCK_BYTES);
  return next;
}

const keyOf = (plain: Buffer): Buffer => addressOf(keys, 'chunk', plain);

function fullLink(plain: Buffer): ChainLink {
  const key = keyOf(plain);
  return { key, record: sealRecord({ keys, kind: 'chunk', key, plain, nonce: random.bytes(12) }) };
}

function deltaLink(plain: Buffer, base: Buffer, set: BlockSet = differingBlocks(plain, base)): ChainLink {
  const key = keyOf(plain);
  const nonce = random.bytes(12);
  return { key, record: sealDelta({ keys, key, plain, base: keyOf(base), changed: set, nonce }) };
}

const one = random.bytes(CHUNK_BYTES);
const two = [0, 31, 32, 127].reduce((plain, block) => changed(plain, [block], random.bytes(BLOCK_BYTES)), one);
const three = changed(two, [31, 33], Buffer.alloc(BLOCK_BYTES, 'abc'));

test('a set of blocks says which blocks differ, and carries them from chunk to chunk', () => {
  const set = differingBlocks(two, one);
  assert.deepEqual(set, blockSet(0, 31, 32, 127));
  assert.equal(countBlocks(set), 4);
  assert(hasBlock(set, 127) && !hasBlock(set, 126));
  assert.deepEqual(decodeBlockSet(encodeBlockSet(set)), set);
  assert.equal(encodeBlockSet(blockSet(9)).toString('hex'), `0002${'00'.repeat(14)}`);
  assert(isSubset(blockSet(31), set) && !isSubset(blockSet(31, 30), set));
  const target = Buffer.from(one);
  scatterBlocks(target, set, gatherBlocks(two, set));
  assert(target.equals(two));
  assert.equal(countBlocks(differingBlocks(random.bytes(CHUNK_BYTES), one)), BLOCK_COUNT);
  assert.equal(countBlocks(differingBlocks(one, Buffer.from(one))), 0);
});

test('a chain of deltas gives its chunk, and costs about the blocks that changed', async () => {
  const chain = [deltaLink(three, two), deltaLink(two, one), fullLink(one)];
  assert((await unsealChain(keys, chain)).equals(three));
  assert(openChain(keys, chain).equals(three));
  assert((await unsealChain(keys, chain.slice(1))).equals(two));
  assert.equal(chain[1]?.record.length, 4 * BLOCK_BYTES + 104 + 16);
  assert((chain[0]?.record.length ?? 0) < 300);
});

test('blocks named that did not change do no harm', async () => {
  const chain = [deltaLink(two, one, blockSet(0, 5, 31, 32, 90, 127)), fullLink(one)];
  assert((await unsealChain(keys, chain)).equals(two));
});

test('a chain with another base, or in another order, is refused, and says where', async () => {
  const full = fullLink(one);
  const isLink = (link: number) => (error: unknown) => error instanceof LinkDamageError && error.link === link;
  await assert.rejects(unsealChain(keys, [deltaLink(three, two), full]), isLink(0));
  await assert.rejects(unsealChain(keys, [deltaLink(two, one)]), isLink(0));
  await assert.rejects(unsealChain(keys, [full, deltaLink(two, one)]), isLink(0));
  await assert.rejects(unsealChain(keys, [deltaLink(three, two), { ...full, key: keyOf(two) }]), isLink(1));
  assert.throws(() => openChain(keys, [deltaLink(two, one), { key: keyOf(one), record: Buffer.alloc(99) }]), isLink(1));
  await assert.rejects(unsealChain(otherKeys, [deltaLink(two, one), full]), DamageError);
  // A full record does not pass for the delta, nor the delta for a chunk by itself.
  const { key, record } = deltaLink(two, one);
  assert.throws(() => unsealRecord(keys, 'chunk', key, record), /another one/);
});

test('blocks that are not those of the chunk are found by its address', async () => {
  const record = sealDelta({
    ...{ keys, key: keyOf(two), plain: three, base: keyOf(one) },
    changed: differingBlocks(two, one),
    nonce: random.bytes(12),
  });
  await assert.rejects(unsealChain(keys, [{ key: keyOf(two), record }, fullLink(one)]), /does not have its address/);
  // A block left out: what a wrong hint would do.
  const hinted = [deltaLink(two, one, blockSet(0, 31, 32)), fullLink(one)];
  await assert.rejects(unsealChain(keys, hinted), /does not have its address/);
});

test('any one wrong bit of a delta is found', () => {
  const full = fullLink(one);
  const { key, record } = deltaLink(changed(one, [7], Buffer.alloc(BLOCK_BYTES, 'xy')), one);
  assert(record.length < 250);
  for (let bit = 0; bit < record.length * 8; bit += 1) {
    const wrong = Buffer.from(record);
    wrong.writeUInt8(wrong.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
    assert.throws(() => openChain(keys, [{ key, record: wrong }, full]), DamageError, `bit ${bit}`);
    assert.throws(() => checkRecord(keys, wrong), DamageError, `bit ${bit}`);
  }
  for (let length = 0; length < record.length; length += 1) {
    assert.throws(() => checkRecord(keys, record.subarray(0, length)), DamageError, `${length} bytes`);
  }
});

test('a header that makes no sense is refused by what is wrong', () => {
  const refused = (change: (record: Buffer) => void, why: RegExp): void => {
    const { record } = deltaLink(two, one);
    change(record);
    assert.throws(() => parseRecordHeader(record), why);
  };
  refused((record) => record.copy(record, 56, 24, 56), /its own base/);
  refused((record) => record.fill(0, 88, 104), /no blocks/);
  refused((record) => record.writeUInt32LE(4096, 4), /no whole chunk/);
  refused((record) => record.writeUInt8(0xff, 100), /wrong length/);
  refused((record) => record.writeUInt8(4, 0), /unknown kind 4/);
  refused((record) => record.writeUInt8(4, 1), /unknown codec 4/);
  refused((record) => record.writeUInt8(2, 1), /wrong length/);
  refused((record) => record.writeUInt8(3, 1), /wrong length/);
  refused((record) => record.writeUInt8(2, 2), /unknown flags/);
});

test('random bytes, and deltas with random changes, are refused as damage and nothing else', () => {
  const full = fullLink(one);
  const { key, record } = deltaLink(changed(one, [7, 9], Buffer.alloc(BLOCK_BYTES, 'xy')), one);
  for (let round = 0; round < 20_000; round += 1) {
    const input = round % 4 === 0 ? random.bytes(random.below(300)) : Buffer.from(record);
    for (let count = 1 + random.below(4); count > 0 && input.length > 0; count -= 1) {
      input.writeUInt8(random.below(256), random.below(input.length));
    }
    const cut = round % 5 === 0 ? input.subarray(0, random.below(input.length + 1)) : input;
    if (cut.equals(record)) continue;
    assert.throws(() => openChain(keys, [{ key, record: cut }, full]), DamageError);
  }
});

const name: PackName = { account, id: random.bytes(16).toString('hex') };

function makePack(): Buffer {
  const builder = new PackBuilder(name);
  for (const { record } of [fullLink(three.subarray(0, 500)), deltaLink(two, one), deltaLink(three, two)]) {
    builder.add(record);
  }
  const pack = Buffer.concat(builder.finish());
  assert.equal(pack.length, builder.sizeBytes);
  return pack;
}

const entriesOf = (pack: Buffer): ReturnType<typeof readPackEntries> =>
  readPackEntries(name, pack.length, async (offset, length) => pack.subarray(offset, offset + length));

test('a footer tells what its deltas need', async () => {
  const pack = makePack();
  const entries = await entriesOf(pack);
  assert.deepEqual(entries, checkPack(keys, name, pack));
  assert.deepEqual(
    entries.map(({ kind, base }) => [kind, base?.toString('hex') ?? null]),
    [
      ['chunk', null],
      ['delta', keyOf(one).toString('hex')],
      ['delta', keyOf(two).toString('hex')],
    ],
  );
});

/** Makes the checksums of a changed pack right. */
function reseal(pack: Buffer, footerBytes: number): Buffer {
  const end = pack.length - 32;
  pack.writeUInt32LE(crc32c(pack.subarray(end - footerBytes, end), crc32c(pack.subarray(0, 64))), end + 24);
  pack.writeUInt32LE(crc32c(pack.subarray(end, end + 28)), end + 28);
  return pack;
}

test('a footer that names another base than the record is found, its checksums right', async () => {
  const footerBytes = 48 + 80 + 80;
  const pack = makePack();
  pack.writeUInt8(pack.readUInt8(pack.length - 33) ^ 1, pack.length - 33);
  reseal(pack, footerBytes);
  assert.equal((await entriesOf(pack)).length, 3);
  assert.throws(() => checkPack(keys, name, pack), /not what the footer says/);
  // A delta that the footer has as a chunk: the lengths do not fit any more.
  const wrongKind = makePack();
  wrongKind.writeUInt8(1, wrongKind.length - 32 - 80 + 32);
  await assert.rejects(entriesOf(reseal(wrongKind, footerBytes)), DamageError);
});

test('any footer and trailer, their checksums right, is read or refused as damage', async () => {
  for (let round = 0; round < 3000; round += 1) {
    const pack = copyOfSample();
    const footerBytes = pack.length - 32 - footerStart;
    for (let count = 1 + random.below(3); count > 0; count -= 1) {
      pack.writeUInt8(random.below(256), footerStart + random.below(footerBytes + 32));
    }
    const deltaCount = pack.readUInt32LE(pack.length - 12);
    const entryCount = pack.readUInt32LE(pack.length - 20);
    const claimed = Math.min(entryCount * 48 + deltaCount * 32, pack.length - 32);
    try {
      await entriesOf(reseal(pack, claimed));
    } catch (error) {
      assert(error instanceof DamageError, String(error));
    }
  }
});

const sample = makePack();
const footerStart = sample.length - 32 - (48 + 80 + 80);
const copyOfSample = (): Buffer => Buffer.from(sample);
