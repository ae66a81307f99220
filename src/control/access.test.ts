import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createAccount, findAccessKey, listAccounts, replaceRootKey, rootAccount } from './access.ts';
import { World } from './world.fake.ts';

test('an account has twelve digits, and a root key in the form of AWS', async () => {
  await using world = await World.make();
  const key = await createAccount(world.ports, { alias: 'team' });
  assert.match(key.account, /^[1-9][0-9]{11}$/);
  assert.match(key.accessKeyId, /^AKIA[A-Z2-7]{16}$/);
  assert.match(key.secretAccessKey, /^[A-Za-z0-9+/]{40}$/);
  const { alias, ...found } = key;
  assert.equal(alias, 'team');
  assert.deepEqual(await findAccessKey(world.ports, key.accessKeyId), found);
});

test('a key that does not exist is not found, whatever its text', async () => {
  await using world = await World.make();
  for (const id of ['', 'AKIAAAAAAAAAAAAAAAAA', '__proto__', "' or 1=1", 'x'.repeat(10_000)]) {
    assert.equal(await findAccessKey(world.ports, id), null);
  }
});

test('the first account is made once, also when asked for at the same time', async () => {
  await using world = await World.make();
  const keys = await Promise.all([1, 2, 3].map(() => rootAccount(world.ports)));
  assert.equal(new Set(keys.map(({ accessKeyId }) => accessKeyId)).size, 1);
  assert.equal((await world.ports.meta.read((tx) => tx.accounts.list())).length, 1);
});

test("a root's key that is replaced is refused, and the server's own stays the server's own", async () => {
  await using world = await World.make();
  const old = await rootAccount(world.ports);
  const key = await replaceRootKey(world.ports, old.accessKeyId);
  assert(key !== null && key.account === old.account);
  assert.notEqual(key.secretAccessKey, old.secretAccessKey);
  assert.equal(await findAccessKey(world.ports, old.accessKeyId), null);
  assert.deepEqual(await findAccessKey(world.ports, key.accessKeyId), key);
  assert.deepEqual(await rootAccount(world.ports), key);
  const [account] = await listAccounts(world.ports);
  assert.equal(account?.id, key.account);
  assert.deepEqual(
    account.keys.map(({ accessKeyId }) => accessKeyId),
    [key.accessKeyId],
  );
  assert.equal(await replaceRootKey(world.ports, old.accessKeyId), null);
});
