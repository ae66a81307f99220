import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CHUNK_BYTES } from '#domain/geometry.ts';

import { ChunkMap } from './chunk-map.ts';
import { OriginChunks } from './origin-chunks.ts';

test('who waits to learn what the origin holds while that is let go is told nothing of its end', async () => {
  const listing = Promise.withResolvers<never>();
  const origin = new OriginChunks({
    chunks: new ChunkMap({ chunkCount: 4, originCount: 4, watch: { stamp: 0, saver: null } }),
    chunkCount: 4,
    read: (wanted) => wanted.map(() => Promise.reject(new Error('it is gone'))),
    keeper: { reserve: () => null, keep: () => true, giveUp: () => {} },
    list: () => listing.promise,
  });
  const needed = origin.needed(0, CHUNK_BYTES);
  const learned = origin.learn(1);
  origin.detach();
  listing.reject(new Error('it is gone'));
  assert.equal((await needed)?.size, 0);
  await learned;
  assert.equal(origin.needed(0, 4 * CHUNK_BYTES), null);
  await origin.close();
});
