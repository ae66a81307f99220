import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';

import { SeededRandom } from '#base/random.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import { newVolumeId, type VolumeId } from '#domain/ids.ts';

import { VolumeDevice } from './volume-device.ts';
import { VolumeStore } from './volume-store.ts';

const random = new SeededRandom(3);

async function storeOf(t: TestContext): Promise<{ store: VolumeStore; root: string }> {
  const directory = mkdtempSync(join(tmpdir(), 'varve-volumes-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const root = join(directory, 'volumes');
  return { store: await VolumeStore.open(root), root };
}

async function made(store: VolumeStore): Promise<VolumeId> {
  const volume = newVolumeId(random);
  const spec = { volume, account: '000000000001' as never, sizeBytes: CHUNK_BYTES, origin: null };
  await VolumeDevice.create(store.pathOf(volume), spec);
  return volume;
}

test('a volume is there until it is removed, and removing it again is no error', async (t) => {
  const { store, root } = await storeOf(t);
  const [kept, removed] = [await made(store), await made(store)];
  assert.deepEqual((await store.list()).toSorted(), [kept, removed].toSorted());
  await store.remove(removed);
  await store.remove(removed);
  assert.deepEqual([await store.has(kept), await store.has(removed)], [true, false]);
  assert.deepEqual(readdirSync(root), [kept]);
});

test('a removal that a crash interrupted is finished at the next start', async (t) => {
  const { store, root } = await storeOf(t);
  const kept = await made(store);
  const doomed = `${newVolumeId(random)}.removed`;
  mkdirSync(join(root, doomed));
  writeFileSync(join(root, doomed, 'data'), 'left');
  const again = await VolumeStore.open(root);
  assert.deepEqual(readdirSync(root), [kept]);
  assert.deepEqual(await again.list(), [kept]);
});

test('a removal that a killed process had begun is durable before anything of the volume goes', async (t) => {
  const { store, root } = await storeOf(t);
  const [first, second] = [await made(store), await made(store)];
  const file = await open(root, 'r');
  const prototype = Object.getPrototypeOf(file) as FileHandle;
  /** What was in the directory of a removed volume whenever a directory was synced. */
  const left: number[] = [];
  let removed = join(root, `${first}.removed`);
  t.mock.method(prototype, 'sync', async () => {
    left.push(existsSync(removed) ? readdirSync(removed).length : 0);
  });
  await file.close();
  renameSync(store.pathOf(first), removed); // And nothing synced.
  await store.remove(first);
  assert.ok((left[0] ?? 0) > 0, 'nothing of it was removed yet');

  removed = join(root, `${second}.removed`);
  left.length = 0;
  renameSync(store.pathOf(second), removed);
  await VolumeStore.open(root);
  assert.equal(left.filter((count) => count > 0).length, 2, 'the directory of volumes, and the one above');
});

test('a tombstone in the way of a removal is of no importance', async (t) => {
  const { store, root } = await storeOf(t);
  const volume = await made(store);
  mkdirSync(join(root, `${volume}.removed`));
  writeFileSync(join(root, `${volume}.removed`, 'data'), 'left');
  await store.remove(volume);
  assert.deepEqual(readdirSync(root), []);
});

test('a creation that a crash interrupted is no volume, and can be done again', async (t) => {
  const { store } = await storeOf(t);
  const volume = await made(store);
  rmSync(join(store.pathOf(volume), 'volume.json'));
  assert.equal(await store.read(volume), null);
  const spec = { volume, account: '000000000001' as never, sizeBytes: CHUNK_BYTES, origin: null };
  await VolumeDevice.create(store.pathOf(volume), spec);
  assert.equal((await store.read(volume))?.volume, volume);
});

test('data without volume.json is damage, not an interrupted creation', async (t) => {
  const { store } = await storeOf(t);
  const volume = await made(store);
  rmSync(join(store.pathOf(volume), 'volume.json'));
  writeFileSync(join(store.pathOf(volume), 'data'), 'something');
  await assert.rejects(store.read(volume), { kind: 'damaged' });
});
