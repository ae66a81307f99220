import assert from 'node:assert/strict';
import { test } from 'node:test';

import { SeededRandom } from '#base/random.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { AccountId } from '#domain/ids.ts';

import { DamageError } from './errors.ts';
import { accountKeys, addressOf, checkRecord, derive, sealRecord, unsealRecord, type PlainKind } from './seal.ts';
import { unsealChunk } from './unseal.ts';

const random = new SeededRandom(1);
const masterKey = Buffer.from(Array.from({ length: 32 }, (_, index) => index));
const keys = accountKeys(masterKey, '000000000001' as AccountId);
const otherKeys = accountKeys(masterKey, '000000000002' as AccountId);

function sealed(plain: Buffer, kind: PlainKind = 'chunk'): { key: Buffer; record: Buffer } {
  const key = addressOf(keys, kind, plain);
  return { key, record: sealRecord({ keys, kind, key, plain, nonce: random.bytes(12) }) };
}

test('what is sealed comes back, compressible or not, whole chunk or small', async () => {
  const plains = [Buffer.alloc(CHUNK_BYTES), random.bytes(CHUNK_BYTES), Buffer.from('x'), Buffer.alloc(9000, 'ab')];
  for (const plain of plains) {
    const { key, record } = sealed(plain);
    assert(unsealRecord(keys, 'chunk', key, record).equals(plain));
    assert((await unsealChunk(keys, key, record)).equals(plain));
    assert.equal(checkRecord(keys, record).plainBytes, plain.length);
  }
});

test('a compressible chunk is stored small, an incompressible one as it is', () => {
  assert(sealed(Buffer.alloc(CHUNK_BYTES, 'abc')).record.length < 1000);
  assert.equal(sealed(random.bytes(CHUNK_BYTES)).record.length, CHUNK_BYTES + 56 + 16);
});

test('a record lies in memory of its own', () => {
  const { record } = sealed(Buffer.from('small'));
  assert.equal(record.buffer.byteLength, record.length);
});

test('any one wrong bit of a record is found, by each of the three readers', async () => {
  const { key, record } = sealed(
    Buffer.from('some bytes that compress, compress, compress, compress, compress, compress'),
  );
  for (let bit = 0; bit < record.length * 8; bit += 1) {
    const wrong = Buffer.from(record);
    wrong.writeUInt8(wrong.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
    assert.throws(() => unsealRecord(keys, 'chunk', key, wrong), DamageError, `bit ${bit}`);
    assert.throws(() => checkRecord(keys, wrong), DamageError, `bit ${bit}`);
    await assert.rejects(unsealChunk(keys, key, wrong), DamageError, `bit ${bit}`);
  }
});

test('a record cut short anywhere is found', async () => {
  const { key, record } = sealed(random.bytes(100));
  for (let length = 0; length < record.length; length += 1) {
    assert.throws(() => unsealRecord(keys, 'chunk', key, record.subarray(0, length)), DamageError);
    await assert.rejects(unsealChunk(keys, key, record.subarray(0, length)), DamageError);
  }
});

test('a record passes for no other: not of another key, kind or account', async () => {
  const plain = random.bytes(1000);
  const { key, record } = sealed(plain);
  assert.throws(() => unsealRecord(keys, 'node', key, record), DamageError);
  assert.throws(() => unsealRecord(keys, 'chunk', random.bytes(32), record), DamageError);
  assert.throws(() => unsealRecord(otherKeys, 'chunk', key, record), DamageError);
  assert.throws(() => checkRecord(otherKeys, record), DamageError);
  await assert.rejects(unsealChunk(otherKeys, key, record), DamageError);
});

test('a record sealed under an address that is not its content’s is found', async () => {
  const key = random.bytes(32);
  const record = sealRecord({ keys, kind: 'chunk', key, plain: Buffer.from('other'), nonce: random.bytes(12) });
  assert.throws(() => unsealRecord(keys, 'chunk', key, record), /does not have its address/);
  await assert.rejects(unsealChunk(keys, key, record), /does not have its address/);
});

test('equal content has equal addresses within an account and a kind, and nowhere else', () => {
  const plain = random.bytes(100);
  assert(addressOf(keys, 'chunk', plain).equals(addressOf(keys, 'chunk', Buffer.from(plain))));
  assert(!addressOf(keys, 'chunk', plain).equals(addressOf(keys, 'node', plain)));
  assert(!addressOf(keys, 'chunk', plain).equals(addressOf(otherKeys, 'chunk', plain)));
});

test('the derivation of format 2 does not change', () => {
  assert.equal(
    derive(masterKey, 'seal 000000000001').toString('hex'),
    'a59ecd5fce683607478371febae9c2128d5e7e153500e9b29fd603c6af3ee93a',
  );
  assert.equal(
    addressOf(keys, 'chunk', Buffer.alloc(CHUNK_BYTES)).toString('hex'),
    '49636a363161172587dbbcd46f4e83acd6fe056c690edbaf556b5cb3caaaf178',
  );
  const squares = Buffer.from(Uint8Array.from({ length: CHUNK_BYTES }, (_, at) => Math.floor((at * at) / 256) % 256));
  assert.equal(
    addressOf(keys, 'chunk', squares).toString('hex'),
    'fa34d4cfa6f6579b154d9a6dca7c19bdd9bea0ae91b166e8c9cb67e99dab035d',
  );
  assert.equal(
    addressOf(keys, 'node', Buffer.alloc(8200)).toString('hex'),
    'f99b903a57fd1393f41cf3e25102ed7fb1de8030e9d6065a91e182f48db953e7',
  );
});
