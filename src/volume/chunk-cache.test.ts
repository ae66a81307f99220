import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CHUNK_BYTES } from '#domain/geometry.ts';

import { ChunkCache } from './chunk-cache.ts';

const chunk = (byte: number): Uint8Array => new Uint8Array(CHUNK_BYTES).fill(byte);

test('however many readers wait for a chunk, it is fetched once', async () => {
  const cache = new ChunkCache({ bytesMax: CHUNK_BYTES });
  const fetched = Promise.withResolvers<Uint8Array>();
  let fetchCount = 0;
  const fetch = async () => {
    fetchCount += 1;
    return await fetched.promise;
  };
  const readers = [cache.get('s/1', fetch), cache.get('s/1', fetch)];
  fetched.resolve(chunk(1));
  assert.deepEqual(await Promise.all(readers), [chunk(1), chunk(1)]);
  await cache.get('s/1', fetch);
  assert.equal(fetchCount, 1);
});

test('it holds what was used last, and never more than its bound', async () => {
  const cache = new ChunkCache({ bytesMax: 2 * CHUNK_BYTES + 1 });
  for (const name of ['a', 'b']) await cache.get(name, async () => chunk(1));
  cache.peek('a');
  await cache.get('c', async () => chunk(1));
  assert.equal(cache.bytes, 2 * CHUNK_BYTES);
  assert.deepEqual(
    ['a', 'b', 'c'].map((name) => cache.peek(name) !== null),
    [true, false, true],
  );
});

test('an error and an absent chunk are not kept', async () => {
  const cache = new ChunkCache({ bytesMax: CHUNK_BYTES });
  await assert.rejects(cache.get('a', () => Promise.reject(new Error('once'))));
  assert.equal(await cache.get('a', async () => null), null);
  assert.deepEqual(await cache.get('a', async () => chunk(3)), chunk(3));
});

test('what an export put in goes with it', async () => {
  const cache = new ChunkCache({ bytesMax: 4 * CHUNK_BYTES });
  for (const name of ['one/1', 'one/2', 'two/1']) await cache.get(name, async () => chunk(1));
  cache.forget('one/');
  assert.equal(cache.bytes, CHUNK_BYTES);
  assert.notEqual(cache.peek('two/1'), null);
});
