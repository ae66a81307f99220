import assert from 'node:assert/strict';
import { createCipheriv } from 'node:crypto';
import { test } from 'node:test';

import { SeededRandom } from './random.ts';
import { SECTOR_BYTES, SECTOR_KEY_BYTES, SectorCipher } from './sector-cipher.ts';

const random = new SeededRandom(7);
const key = random.bytes(SECTOR_KEY_BYTES);

/** By OpenSSL's own XTS. */
function expected(sector: number, plain: Uint8Array, own: Uint8Array = key): Buffer {
  const number = Buffer.alloc(16);
  number.writeBigUInt64LE(BigInt(sector));
  return createCipheriv('aes-256-xts', own, number).update(plain);
}

// IEEE 1619-2007, annex B, vectors 10 and 14: their data units are the beginnings of sectors.
for (const [sector, begin, end] of [
  [0xff, '1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b', 'c4f36ffda9fcea70b9c6e693e148c151'],
  [
    0xffffffffff,
    '64497e5a831e4a932c09be3e5393376daa599548b816031d224bbf50a818ed23',
    'd609d273ad5b0d59631c531f6a0a57b9',
  ],
] as const) {
  test(`sector ${sector} begins as in the standard’s example`, () => {
    const first = '2718281828459045235360287471352662497757247093699959574966967627';
    const second = '3141592653589793238462643383279502884197169399375105820974944592';
    const cipher = new SectorCipher(Buffer.from(first + second, 'hex'));
    const bytes = Buffer.from(Array.from({ length: SECTOR_BYTES }, (_, at) => at & 0xff));
    cipher.encrypt(sector, bytes, 0, SECTOR_BYTES, bytes, 0);
    assert.equal(bytes.toString('hex', 0, 32), begin);
    assert.equal(bytes.toString('hex', 496, 512), end);
  });
}

test('any sectors at any place are what XTS makes of them, with several keys in turns', () => {
  const ciphers = [random.bytes(SECTOR_KEY_BYTES), random.bytes(SECTOR_KEY_BYTES)].map(
    (own) => [own, new SectorCipher(own)] as const,
  );
  for (let run = 0; run < 200; run += 1) {
    const [own, cipher] = ciphers[random.below(2)] as (typeof ciphers)[number];
    const first = random.below(2 ** 31) * 2 ** random.below(20);
    const length = (1 + random.below(40)) * SECTOR_BYTES;
    const plain = random.bytes(length);
    const bytes = Buffer.concat([random.bytes(random.below(40)), plain]);
    const start = bytes.length - length;
    const at = random.below(start + 1); // Over itself, or moved towards the beginning.
    cipher.encrypt(first, bytes, start, length, bytes, at);
    const sector = random.below(length / SECTOR_BYTES) * SECTOR_BYTES;
    const stored = bytes.subarray(at + sector, at + sector + SECTOR_BYTES);
    const whole = plain.subarray(sector, sector + SECTOR_BYTES);
    assert(stored.equals(expected(first + sector / SECTOR_BYTES, whole, own)), `run ${run}`);
    cipher.decrypt(first, bytes, at, length);
    assert(bytes.subarray(at, at + length).equals(plain), `run ${run}`);
  }
});

for (const [first, count] of [
  [0, 1],
  [5, 16],
  [2 ** 32 - 3, 40],
  [2 ** 40, 3],
] as const) {
  test(`${count} sectors from number ${first} are what XTS makes of them`, () => {
    const cipher = new SectorCipher(key);
    const plain = random.bytes(count * SECTOR_BYTES);
    const stored = Buffer.alloc(plain.length + 3);
    cipher.encrypt(first, plain, 0, plain.length, stored, 3);
    for (let at = 0; at < count; at += 1) {
      const sector = plain.subarray(at * SECTOR_BYTES, (at + 1) * SECTOR_BYTES);
      const place = 3 + at * SECTOR_BYTES;
      assert(stored.subarray(place, place + SECTOR_BYTES).equals(expected(first + at, sector)));
    }
    cipher.decrypt(first, stored, 3, plain.length);
    assert(stored.subarray(3).equals(plain));
  });
}

test('sectors of zeros as stored are zeros, and no others', () => {
  const cipher = new SectorCipher(key);
  const plain = random.bytes(20 * SECTOR_BYTES);
  const stored = Buffer.alloc(plain.length);
  cipher.encrypt(9, plain, 0, plain.length, stored, 0);
  for (const hole of [0, 7, 19]) {
    stored.fill(0, hole * SECTOR_BYTES, (hole + 1) * SECTOR_BYTES);
    plain.fill(0, hole * SECTOR_BYTES, (hole + 1) * SECTOR_BYTES);
  }
  // Begins with zeros as well.
  stored.fill(0, 3 * SECTOR_BYTES, 3 * SECTOR_BYTES + 100);
  cipher.decrypt(9, stored, 0, stored.length);
  assert(!stored.subarray(3 * SECTOR_BYTES, 4 * SECTOR_BYTES).equals(Buffer.alloc(SECTOR_BYTES)));
  stored.copy(plain, 3 * SECTOR_BYTES, 3 * SECTOR_BYTES, 4 * SECTOR_BYTES);
  assert(stored.equals(plain));
});

test('a sector written with zeros is not stored as zeros', () => {
  const stored = Buffer.alloc(SECTOR_BYTES);
  new SectorCipher(key).encrypt(1, Buffer.alloc(SECTOR_BYTES), 0, SECTOR_BYTES, stored, 0);
  assert(!stored.equals(Buffer.alloc(SECTOR_BYTES)));
});
