import assert from 'node:assert/strict';
import { test } from 'node:test';

import { crc32c } from '#base/crc32c.ts';
import { SeededRandom } from '#base/random.ts';
import type { AccountId } from '#domain/ids.ts';

import { DamageError } from './errors.ts';
import { checkPack, PackBuilder, packObjectKey, parsePackObjectKey, readPackEntries, type PackName } from './pack.ts';
import { accountKeys, addressOf, sealRecord, unsealRecord } from './seal.ts';

const random = new SeededRandom(2);
const account = '000000000001' as AccountId;
const keys = accountKeys(random.bytes(32), account);
const name: PackName = { account, id: random.bytes(16).toString('hex') };

function makePack(recordCount: number): Buffer {
  const builder = new PackBuilder(name);
  for (let index = 0; index < recordCount; index += 1) {
    const plain = Buffer.from(`record ${index}`);
    const kind = index % 2 === 0 ? 'chunk' : 'node';
    const key = addressOf(keys, kind, plain);
    builder.add(sealRecord({ keys, kind, key, plain, nonce: random.bytes(12) }));
  }
  const pack = Buffer.concat(builder.finish());
  assert.equal(pack.length, builder.sizeBytes);
  return pack;
}

const entriesOf = (pack: Buffer, as: PackName = name): ReturnType<typeof readPackEntries> =>
  readPackEntries(as, pack.length, async (offset, length) => pack.subarray(offset, offset + length));

test('a pack gives back every record that was added', async () => {
  const pack = makePack(5);
  const entries = await entriesOf(pack);
  assert.deepEqual(entries, checkPack(keys, name, pack));
  assert.equal(entries.length, 5);
  for (const [index, { kind, key, offset, length }] of entries.entries()) {
    assert(kind !== 'delta');
    const plain = unsealRecord(keys, kind, key, pack.subarray(offset, offset + length));
    assert.equal(String(plain), `record ${index}`);
  }
});

test('a footer larger than the first read is read whole', async () => {
  const pack = makePack(2000);
  assert.equal((await entriesOf(pack)).length, 2000);
});

test('any one wrong bit of a pack is found', () => {
  const pack = makePack(3);
  for (let bit = 0; bit < pack.length * 8; bit += 1) {
    const wrong = Buffer.from(pack);
    wrong.writeUInt8(wrong.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
    assert.throws(() => checkPack(keys, name, wrong), DamageError, `bit ${bit}`);
  }
});

test('any one wrong bit outside the records is found without reading them', async () => {
  const pack = makePack(3);
  const entries = await entriesOf(pack);
  const last = entries.at(-1);
  assert(last !== undefined);
  for (let byte = 0; byte < pack.length; byte += 1) {
    if (byte >= 64 && byte < last.offset + last.length) continue;
    const wrong = Buffer.from(pack);
    wrong.writeUInt8(wrong.readUInt8(byte) ^ (1 << random.below(8)), byte);
    await assert.rejects(entriesOf(wrong), DamageError, `byte ${byte}`);
  }
});

test('a pack cut short, or longer than it was, is found', async () => {
  const pack = makePack(3);
  for (let length = 0; length < pack.length; length += 1) {
    assert.throws(() => checkPack(keys, name, pack.subarray(0, length)), DamageError);
    await assert.rejects(entriesOf(pack.subarray(0, length)), DamageError);
  }
  assert.throws(() => checkPack(keys, name, Buffer.concat([pack, Buffer.alloc(1)])), DamageError);
});

test('a pack under another’s name is found', async () => {
  const pack = makePack(1);
  const otherId = { ...name, id: 'f'.repeat(32) };
  const otherAccount = { ...name, account: '000000000002' as AccountId };
  for (const other of [otherId, otherAccount]) {
    await assert.rejects(entriesOf(pack, other), /another one/);
    assert.throws(() => checkPack(keys, other, pack), /another one/);
  }
});

test('a name and its object key are one', () => {
  assert.deepEqual(parsePackObjectKey(packObjectKey(name)), name);
  const wrongs = [
    'packs/1/x',
    `packs/${account}/x`,
    `packs/${account}/${name.id}/y`,
    `snapshots/${account}/${name.id}`,
  ];
  for (const wrong of wrongs) assert.equal(parsePackObjectKey(wrong), null);
});

test('bytes that must be zero and are not, and a pack of no records, are refused, their checksums right', async () => {
  const reseal = (pack: Buffer, footerBytes: number): Buffer => {
    const end = pack.length - 32;
    pack.writeUInt32LE(crc32c(pack.subarray(end - footerBytes, end), crc32c(pack.subarray(0, 64))), end + 24);
    pack.writeUInt32LE(crc32c(pack.subarray(end, end + 28)), end + 28);
    return pack;
  };
  for (const fromEnd of [32 + 15, 32 + 13]) {
    const pack = makePack(1);
    pack.writeUInt8(1, pack.length - fromEnd);
    await assert.rejects(entriesOf(reseal(pack, 48)), /unknown flags/);
  }
  for (const [deltaCount, why] of [
    [1, /footer is damaged/],
    [2, /more deltas than records/],
  ] as const) {
    const pack = makePack(1);
    pack.writeUInt32LE(deltaCount, pack.length - 12);
    await assert.rejects(entriesOf(reseal(pack, 48)), why);
  }
  const whole = makePack(1);
  const empty = Buffer.concat([whole.subarray(0, 64), whole.subarray(-32)]);
  empty.writeUInt32LE(0, 64 + 12);
  empty.writeUInt32LE(empty.length, 64 + 16);
  await assert.rejects(entriesOf(reseal(empty, 0)), /holds no record/);
});
