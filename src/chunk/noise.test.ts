import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deflateRawSync } from 'node:zlib';

import { SeededRandom } from '#base/random.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';

import { looksRandom } from './noise.ts';

const random = new SeededRandom(17);

test('random bytes look random, a block of them or a chunk', () => {
  for (let round = 0; round < 200; round += 1) assert(looksRandom(random.bytes(4096)));
  for (let round = 0; round < 10; round += 1) assert(looksRandom(random.bytes(CHUNK_BYTES)));
});

test('what was compressed looks random', () => {
  const words = Array.from({ length: 60_000 }, () => `word${random.below(5000)}`).join(' ');
  assert(looksRandom(deflateRawSync(words, { level: 9 })));
});

test('what has structure does not, nor does a random chunk with some of it that has', () => {
  assert(!looksRandom(Buffer.alloc(CHUNK_BYTES)));
  assert(!looksRandom(Buffer.alloc(CHUNK_BYTES, 'the quick brown fox')));
  assert(!looksRandom(Buffer.from(random.bytes(CHUNK_BYTES / 2).toString('base64'))));
  const codes = Buffer.alloc(CHUNK_BYTES);
  for (let at = 0; at < CHUNK_BYTES; at += 4) codes.writeUInt32LE(random.below(1 << 20), at);
  assert(!looksRandom(codes));
  const mixed = random.bytes(CHUNK_BYTES);
  mixed.fill(0, 0, CHUNK_BYTES / 8);
  assert(!looksRandom(mixed));
});

test('too little to tell is not random', () => {
  assert(!looksRandom(random.bytes(4095)));
  assert(!looksRandom(Buffer.alloc(0)));
});
