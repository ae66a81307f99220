import assert from 'node:assert/strict';
import { createCipheriv } from 'node:crypto';
import { test } from 'node:test';

import { SeededRandom } from './random.ts';
import { SECTOR_BYTES, SECTOR_KEY_BYTES, SectorCipher } from './sector-cipher.ts';

const random = new SeededRandom(7);
const key = random.bytes(SECTOR_KEY_BYTES);

/** By OpenSSL's own XTS. */
function expected(sector: number, plain: Uint8Array): Buffer {
  const number = Buffer.alloc(16);
  number.writeBigUInt64LE(BigInt(sector));
  return createCipheriv('aes-256-xts', key, number).update(plain);
}

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
