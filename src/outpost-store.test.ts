import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { parseOutpostId } from '#domain/outpost.ts';

import { openOutpostStore, refuseNested } from './outpost-store.ts';

const idOf = (digit: string) => parseOutpostId(`op-0${digit.repeat(16)}`) ?? assert.fail();
const ID = idOf('1');

test('a directory is the store of the Outpost that was there first, and of no other', async () => {
  const directory = join(scratchDirectory('outpost-store'), 'site');
  await using first = await openOutpostStore({ id: ID, directory, isKnown: false });
  await first.put('packs/a', [Buffer.from('x')]);
  await using again = await openOutpostStore({ id: ID, directory, isKnown: true });
  assert.equal((await again.get('packs/a'))?.toString(), 'x');
  await assert.rejects(openOutpostStore({ id: idOf('2'), directory, isKnown: false }), /the store of another Outpost/);
});

test('where the disk of a store is not mounted, nothing is opened', async () => {
  const directory = scratchDirectory('outpost-store');
  await assert.rejects(openOutpostStore({ id: ID, directory, isKnown: true }), /perhaps the disk is not mounted/);
});

test('a directory with the files of others does not become a store; a new file system, or an attempt that broke off, does', async () => {
  const root = scratchDirectory('outpost-store');
  const full = join(root, 'full');
  mkdirSync(join(full, 'packs'), { recursive: true });
  writeFileSync(join(full, 'packs', 'a'), 'x');
  await assert.rejects(openOutpostStore({ id: ID, directory: full, isKnown: false }), /has files already \(packs\/a\)/);
  const fresh = join(root, 'fresh');
  mkdirSync(join(fresh, 'lost+found'), { recursive: true });
  mkdirSync(join(fresh, '.tmp'));
  writeFileSync(join(fresh, '.tmp', '1'), 'x');
  await using _store = await openOutpostStore({ id: ID, directory: fresh, isKnown: false });
});

test('directories that are one in the other by a link are refused', async () => {
  const root = scratchDirectory('outpost-store');
  for (const name of ['objects', 'site']) mkdirSync(join(root, name));
  symlinkSync(join(root, 'objects'), join(root, 'link'));
  await refuseNested([join(root, 'objects'), join(root, 'site')]);
  await assert.rejects(refuseNested([join(root, 'objects'), join(root, 'link')]), /one in the other/);
  mkdirSync(join(root, 'objects', 'below'));
  await assert.rejects(refuseNested([join(root, 'link', 'below'), join(root, 'objects')]), /one in the other/);
});
