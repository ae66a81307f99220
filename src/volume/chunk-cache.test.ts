import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CHUNK_BYTES } from '#domain/geometry.ts';

import { ChunkCache } from './chunk-cache.ts';

const chunk = (byte: number): Uint8Array => new Uint8Array(CHUNK_BYTES).fill(byte);

test('it holds what was used last, and never more than its bound', () => {
  const cache = new ChunkCache({ bytesMax: 2 * CHUNK_BYTES + 1 });
  for (const name of ['a', 'b']) cache.put(name, chunk(1));
  cache.peek('a');
  cache.put('c', chunk(1));
  assert.equal(cache.bytes, 2 * CHUNK_BYTES);
  assert.deepEqual(
    ['a', 'b', 'c'].map((name) => cache.peek(name) !== null),
    [true, false, true],
  );
});

test('what an export put in goes with it', () => {
  const cache = new ChunkCache({ bytesMax: 4 * CHUNK_BYTES });
  for (const name of ['one/1', 'one/2', 'two/1']) cache.put(name, chunk(1));
  cache.forget('one/');
  assert.equal(cache.bytes, CHUNK_BYTES);
  assert.notEqual(cache.peek('two/1'), null);
});
