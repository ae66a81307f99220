import assert from 'node:assert/strict';
import { test } from 'node:test';

import { AssertionError } from '#base/assert.ts';

import { ObjectExistsError, type ObjectStore } from './object-store.ts';

/** What every ObjectStore, adapter, fake or decorator, does. `open` gives a new, empty store. */
export function objectStoreSuite(name: string, open: () => Promise<ObjectStore>): void {
  const check = (fact: string, body: (store: ObjectStore) => Promise<void>): void => {
    test(`${name}: ${fact}`, async () => {
      await using store = await open();
      await body(store);
    });
  };

  check('an object is the concatenation of its parts', async (store) => {
    await store.put('a/b', [bytes('one '), bytes(''), bytes('two')]);
    assert.equal(String(await store.get('a/b')), 'one two');
  });

  check('an object may be empty', async (store) => {
    await store.put('empty', []);
    assert.deepEqual(await store.get('empty'), Buffer.alloc(0));
    assert.deepEqual(await keys(store, ''), ['empty']);
  });

  check('what is not there is null, and deleting it is no error', async (store) => {
    assert.equal(await store.get('nothing'), null);
    assert.equal(await store.get('no/such/thing'), null);
    assert.equal(await store.getRange('nothing', 0, 10), null);
    await store.delete('nothing');
    await store.delete('no/such/thing');
  });

  check('a directory of objects is no object', async (store) => {
    await store.put('a/b', [bytes('x')]);
    assert.equal(await store.get('a'), null);
    assert.equal(await store.getRange('a', 0, 1), null);
  });

  check('a put replaces', async (store) => {
    await store.put('k', [bytes('a longer first')]);
    await store.put('k', [bytes('second')]);
    assert.equal(String(await store.get('k')), 'second');
  });

  check('a put if absent leaves what is there', async (store) => {
    await store.put('k', [bytes('first')], { ifAbsent: true });
    await assert.rejects(store.put('k', [bytes('second')], { ifAbsent: true }), ObjectExistsError);
    assert.equal(String(await store.get('k')), 'first');
  });

  check('of many puts if absent at once one wins', async (store) => {
    const outcomes = await Promise.allSettled(
      Array.from({ length: 8 }, (_, index) => store.put('k', [bytes(`writer ${index}`)], { ifAbsent: true })),
    );
    const winners = outcomes.flatMap((outcome, index) => (outcome.status === 'fulfilled' ? [index] : []));
    assert.equal(winners.length, 1);
    assert.equal(String(await store.get('k')), `writer ${winners[0]}`);
  });

  check('a put copies, and what a get answers is the caller’s', async (store) => {
    const source = bytes('before');
    await store.put('k', [source]);
    source.fill(0);
    const first = await store.get('k');
    first?.fill(0);
    assert.equal(String(await store.get('k')), 'before');
  });

  check('a range ends where the object ends', async (store) => {
    await store.put('k', [bytes('0123456789')]);
    assert.equal(String(await store.getRange('k', 3, 4)), '3456');
    assert.equal(String(await store.getRange('k', 0, 10)), '0123456789');
    assert.equal(String(await store.getRange('k', 8, 100)), '89');
    assert.equal(String(await store.getRange('k', 10, 5)), '');
    assert.equal(String(await store.getRange('k', 100, 5)), '');
    assert.equal(String(await store.getRange('k', 4, 0)), '');
  });

  check('a list is in the order of keys and by prefix, with sizes', async (store) => {
    const names = ['b', 'a/b/c', 'a-b', 'a.b', 'a/b-c', 'a0', 'A', 'a/c', 'packs/1/x', 'packs/10/x', 'packs2'];
    for (const name of names) await store.put(name, [bytes(name)]);
    assert.deepEqual(await keys(store, ''), names.toSorted());
    assert.deepEqual(await keys(store, 'a/'), ['a/b-c', 'a/b/c', 'a/c']);
    assert.deepEqual(await keys(store, 'a/b'), ['a/b-c', 'a/b/c']);
    assert.deepEqual(await keys(store, 'packs/1'), ['packs/1/x', 'packs/10/x']);
    assert.deepEqual(await keys(store, 'packs/1/'), ['packs/1/x']);
    assert.deepEqual(await keys(store, 'none'), []);
    for await (const { key, sizeBytes } of store.list('')) assert.equal(sizeBytes, key.length);
  });

  check('objects may come and go while they are listed', async (store) => {
    for (let index = 0; index < 50; index += 1) await store.put(`k/${index}`, [bytes('x')]);
    const seen = new Set<string>();
    for await (const { key } of store.list('k/')) {
      seen.add(key);
      await store.delete(key);
      await store.put(`k/${key.slice(2)}-new`, [bytes('y')]);
    }
    for (let index = 0; index < 50; index += 1) assert(seen.has(`k/${index}`));
  });

  check('a deleted object is gone', async (store) => {
    await store.put('a/k', [bytes('x')]);
    await store.delete('a/k');
    assert.equal(await store.get('a/k'), null);
    assert.deepEqual(await keys(store, ''), []);
    await store.put('a/k', [bytes('again')], { ifAbsent: true });
    assert.equal(String(await store.get('a/k')), 'again');
  });

  check('a key that is not well-formed is refused', async (store) => {
    for (const key of [
      '',
      '/a',
      'a/',
      'a//b',
      '../a',
      'a/../b',
      '.tmp/x',
      'a/.b',
      'a b',
      'a\0',
      'é',
      'a'.repeat(513),
    ]) {
      await assert.rejects(store.put(key, [bytes('x')]), AssertionError, key);
      await assert.rejects(store.get(key), AssertionError, key);
      await assert.rejects(store.getRange(key, 0, 1), AssertionError, key);
      await assert.rejects(store.delete(key), AssertionError, key);
    }
  });

  check('many large objects at once do not mix', async (store) => {
    const objects = Array.from({ length: 6 }, (_, index) => Buffer.alloc(300_000 + index, index + 1));
    await Promise.all(objects.map((object, index) => store.put(`o/${index}`, [object, object])));
    await Promise.all(
      objects.map(async (object, index) =>
        assert((await store.get(`o/${index}`))?.equals(Buffer.concat([object, object]))),
      ),
    );
  });
}

async function keys(store: ObjectStore, prefix: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of store.list(prefix)) found.push(key);
  return found;
}

function bytes(text: string): Buffer {
  return Buffer.from(text);
}
