import assert from 'node:assert/strict';
import { test } from 'node:test';

import { SeededRandom } from '#base/random.ts';
import type { VolumeId } from '#domain/ids.ts';

import { dataKeyOf, VolumeKeys } from './volume-key.ts';

const volume = 'vol-00000000000000001' as VolumeId;
const [one, other] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)];

test('a key that is sealed under a data key too opens with that data key alone', () => {
  const keys = new VolumeKeys({ masterKey: Buffer.alloc(32, 9), random: new SeededRandom(1) });
  const sealed = keys.make(volume, one);
  const key = keys.open(volume, sealed, one);
  assert.equal(key.length, 64);
  for (const wrong of [other, null]) assert.throws(() => keys.open(volume, sealed, wrong), { kind: 'damaged' });
  const elsewhere = new VolumeKeys({ masterKey: Buffer.alloc(32, 8), random: new SeededRandom(1) });
  assert.throws(() => elsewhere.open(volume, sealed, one), { kind: 'damaged' }, 'and not without the master key');
  const plain = keys.make(volume);
  assert.throws(() => keys.open(volume, plain, one), { kind: 'damaged' });
  assert.notDeepEqual(keys.open(volume, plain), key);
});

test('a data key has 32 bytes', () => {
  assert.deepEqual(dataKeyOf(one.toString('base64')), one);
  assert.equal(dataKeyOf(null), null);
  assert.throws(() => dataKeyOf('c2hvcnQ='), /32 bytes/);
});
