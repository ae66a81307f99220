import assert from 'node:assert/strict';
import { test } from 'node:test';

import { SeededRandom } from './random.ts';
import { MASKED_SECTORS_MAX, sectorMasks } from './sector-masks.ts';

const SECTOR_BYTES = 4096;
const random = new SeededRandom(11);
const masks = sectorMasks();

/** By the definition, one bit at a time: all masks of a sector. */
function masksFrom(first: Uint8Array): Buffer {
  const rows = Buffer.alloc(SECTOR_BYTES);
  let mask = BigInt(`0x${Buffer.from(first.toReversed()).toString('hex')}`);
  for (let at = 0; at < SECTOR_BYTES; at += 16) {
    rows.writeBigUInt64LE(mask & 0xffff_ffff_ffff_ffffn, at);
    rows.writeBigUInt64LE(mask >> 64n, at + 8);
    mask <<= 1n;
    if (mask >> 128n === 1n) mask ^= (1n << 128n) | 0x87n;
  }
  return rows;
}

const FIRSTS: Readonly<Record<string, Uint8Array>> = {
  zeros: Buffer.alloc(16),
  ones: Buffer.alloc(16, 0xff),
  'the last bit': Buffer.from('00000000000000000000000000000080', 'hex'),
  'the last bit of the lower half': Buffer.from('00000000000000800000000000000000', 'hex'),
  'the first bit': Buffer.from('01000000000000000000000000000000', 'hex'),
};

for (const [name, first] of Object.entries(FIRSTS)) {
  test(`masks that begin with ${name} go on by x in GF(2^128)`, () => {
    masks.sectors.fill(0);
    masks.firsts.set(first);
    masks.mask(1);
    assert(masks.sectors.subarray(0, SECTOR_BYTES).equals(masksFrom(first)));
  });
}

test('each sector gets masks of its own, what lies behind them none', () => {
  for (let run = 0; run < 40; run += 1) {
    const before = random.bytes(masks.sectors.length);
    const firsts = random.bytes(masks.firsts.length);
    masks.sectors.set(before);
    masks.firsts.set(firsts);
    const count = 1 + random.below(MASKED_SECTORS_MAX);
    masks.mask(count);
    for (let sector = 0; sector < MASKED_SECTORS_MAX; sector += 1) {
      const row =
        sector < count ? masksFrom(firsts.subarray(sector * 16, sector * 16 + 16)) : Buffer.alloc(SECTOR_BYTES);
      for (let at = 0; at < SECTOR_BYTES; at += 1) {
        const place = sector * SECTOR_BYTES + at;
        assert.equal(
          masks.sectors[place],
          (before[place] as number) ^ (row[at] as number),
          `sector ${sector}, byte ${at}`,
        );
      }
    }
    assert(masks.firsts.equals(firsts), 'the first masks stay');
    masks.maskAgain(count);
    assert(masks.sectors.equals(before), 'twice is as never');
  }
});
