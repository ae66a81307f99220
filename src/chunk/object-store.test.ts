import assert from 'node:assert/strict';
import { type FileHandle, open, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import { SeededRandom } from '#base/random.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';

import { isNoSpace } from '#base/no-space.ts';
import { FaultStore } from './fault-store.ts';
import { FsStore } from './fs-store.ts';
import { MemoryStore } from './memory-store.ts';
import { ObjectStoreError } from './object-store.ts';
import { objectStoreSuite } from './object-store.suite.ts';

const directory = scratchDirectory('objects');
let count = 0;
const newRoot = (): string => join(directory, String((count += 1)));

objectStoreSuite('memory', async () => new MemoryStore());
objectStoreSuite('directory', () => FsStore.open(newRoot()));
objectStoreSuite('fault, quiet', async () => new FaultStore(new MemoryStore(), new SeededRandom(1)));

test('directory: objects are private files, and nothing else is left beside them', async () => {
  const root = newRoot();
  await using store = await FsStore.open(root);
  await store.put('a/b/c', [Buffer.from('x')]);
  await store.put('a/b/c', [Buffer.from('y')]);
  await store.put('a/b/d', [Buffer.from('z')], { ifAbsent: true });
  await assert.rejects(store.put('a/b/d', [Buffer.from('z')], { ifAbsent: true }));
  assert.equal((await stat(join(root, 'a/b/c'))).mode & 0o777, 0o600);
  assert.equal((await stat(join(root, 'a/b'))).mode & 0o777, 0o700);
  assert.deepEqual(await readdir(join(root, '.tmp')), []);
});

test('directory: a deletion that a killed process had begun is durable when it is answered', async (t) => {
  const root = newRoot();
  await using store = await FsStore.open(root);
  await store.put('a/b', [Buffer.from('x')]);
  await rm(join(root, 'a/b')); // And nothing synced.
  const file = await open(root, 'r');
  const syncs = t.mock.method(Object.getPrototypeOf(file) as FileHandle, 'sync').mock;
  await file.close();
  await store.delete('a/b');
  assert.equal(syncs.callCount(), 1);
  await store.delete('a/c/d'); // Not even its directory is there.
});

test('directory: what a crash left half-written is swept at open and is never an object', async () => {
  const root = newRoot();
  await FsStore.open(root);
  await writeFile(join(root, '.tmp', 'half'), 'half');
  await using store = await FsStore.open(root);
  assert.deepEqual(await readdir(join(root, '.tmp')), []);
  for await (const { key } of store.list('')) assert.fail(key);
});

test('directory: files that are no objects are not listed', async () => {
  const root = newRoot();
  await using store = await FsStore.open(root);
  await writeFile(join(root, '.hidden'), '');
  await writeFile(join(root, 'not a key'), '');
  for await (const { key } of store.list('')) assert.fail(key);
});

test('directory: trouble says what was being done, keeps its cause, and is not retryable when it will not pass', async () => {
  await using store = await FsStore.open(newRoot());
  await store.put('a', [Buffer.from('x')]);
  await assert.rejects(store.put('a/b', [Buffer.from('x')]), (error) => {
    assert(error instanceof ObjectStoreError);
    assert.match(error.message, /put a\/b/);
    assert(error.cause instanceof Error);
    assert.equal(error.retryable, false);
    return true;
  });
});

test('fault: each fault shows as what it is', async () => {
  const inner = new MemoryStore();
  const store = new FaultStore(inner, new SeededRandom(7));
  const object = Buffer.alloc(1000, 7);
  store.rates = { before: 1 };
  await assert.rejects(store.put('k', [object]), ObjectStoreError);
  assert.equal(await inner.get('k'), null);
  store.rates = { noSpace: 1 };
  await assert.rejects(store.put('k', [object]), isNoSpace);
  assert.equal(await inner.get('k'), null);
  store.rates = { after: 1 };
  await assert.rejects(store.put('k', [object]), ObjectStoreError);
  assert((await inner.get('k'))?.equals(object));
  store.rates = { truncated: 1 };
  assert(((await store.get('k'))?.length ?? 1000) < 1000);
  store.rates = { bitFlip: 1 };
  assert.equal((await store.get('k'))?.filter((byte) => byte !== 7).length, 1);
  store.rates = { forgetful: 1 };
  for await (const { key } of store.list('')) assert.fail(key);
  store.rates = { badPut: 1 };
  await store.put('k', [object]);
  assert.equal((await inner.get('k'))?.filter((byte) => byte !== 7).length, 1);
  assert(object.equals(Buffer.alloc(1000, 7)));
  store.rates = {};
  store.callsLeft = 0;
  await assert.rejects(store.get('k'), ObjectStoreError);
  assert(store.dead);
});
