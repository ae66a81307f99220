import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keyArn } from '#domain/kms/arn.ts';
import { keyState, type KmsKey } from '#domain/kms/key.ts';
import { DAY_MS } from '#domain/kms/limits.ts';
import { TendKeys } from '#control/tasks/tend-keys.ts';
import { World } from '#control/world.fake.ts';
import type { Tx } from '#meta/meta-store.ts';
import type { KmsCall } from './access.ts';
import { createAlias, deleteAlias, listAliases, updateAlias } from './aliases.ts';
import * as keys from './keys.ts';
import { asRoot, NO_OPTIONS, PLAIN_KEY, refusal } from './kms-world.fake.ts';
import { decrypt, encrypt, generateDataKey, reEncrypt } from './messages.ts';
import { disableRotation, enableRotation, listRotations, rotateOnDemand } from './rotation.ts';

const PLAINTEXT = Buffer.from('a secret of a client');

async function stateOf(call: KmsCall, key: KmsKey): Promise<string> {
  return keyState(await keys.describeKey(call, key.id, []), call.ports.clock.nowMs());
}

test('what a key seals opens with the same context only, and names its key', async () => {
  await using world = await World.make();
  const call = asRoot(world, await world.account());
  const key = await keys.createKey(call, PLAIN_KEY);
  const context = { purpose: 'test', tenant: 'x' };
  const { ciphertext } = await encrypt(call, { ...NO_OPTIONS, key: key.id, plaintext: PLAINTEXT, context });
  assert.equal(ciphertext.includes(PLAINTEXT), false);
  const open = (some: object) => decrypt(call, { ...NO_OPTIONS, ciphertext, key: null, context, ...some });
  const opened = await open({ context: { tenant: 'x', purpose: 'test' } });
  assert.deepEqual(opened.plaintext, PLAINTEXT);
  assert.equal(opened.keyArn, keyArn(key));
  assert.equal(await refusal(open({ context: { purpose: 'test' } })), 'ciphertext');
  assert.equal(await refusal(open({ context: { purposetest: '', tenant: 'x' } })), 'ciphertext');
  const other = await keys.createKey(call, PLAIN_KEY);
  assert.equal(await refusal(open({ key: other.id })), 'wrong-key');
  assert.equal(await refusal(open({ key: keyArn(key) })), 'not refused');
  for (let index = 0; index < ciphertext.length; index += 1) {
    const damaged = Buffer.from(ciphertext);
    damaged[index] = (damaged[index] ?? 0) ^ 1;
    assert.notEqual(await refusal(open({ ciphertext: damaged })), 'not refused', `bit of byte ${index}`);
  }
  assert.equal(await refusal(open({ ciphertext: ciphertext.subarray(0, 20) })), 'ciphertext');
});

test('re-encryption moves a plaintext to another key and context without showing it', async () => {
  await using world = await World.make();
  const call = asRoot(world, await world.account());
  const [one, other] = [await keys.createKey(call, PLAIN_KEY), await keys.createKey(call, PLAIN_KEY)];
  const sealed = await encrypt(call, { ...NO_OPTIONS, key: one.id, plaintext: PLAINTEXT, context: { a: '1' } });
  const request = {
    ciphertext: sealed.ciphertext,
    sourceKey: null,
    sourceContext: { a: '1' },
    destinationKey: other.id,
    destinationContext: { b: '2' },
    grantTokens: [],
    isRehearsal: false,
  };
  const moved = await reEncrypt(call, request);
  assert.equal(moved.source.keyArn, keyArn(one));
  await keys.disableKey(call, one.id);
  const opened = await decrypt(call, {
    ...NO_OPTIONS,
    ciphertext: moved.sealed.ciphertext,
    key: other.id,
    context: { b: '2' },
  });
  assert.deepEqual(opened.plaintext, PLAINTEXT);
  assert.equal(await refusal(reEncrypt(call, request)), 'disabled');
  await keys.enableKey(call, one.id);
  assert.equal(await refusal(reEncrypt(call, { ...request, isRehearsal: true })), 'would-succeed');
});

test('a disabled key, and one on its way to deletion, do what AWS lets them', async () => {
  await using world = await World.make();
  const call = asRoot(world, await world.account());
  const key = await keys.createKey(call, PLAIN_KEY);
  const { id } = key;
  const use = () => refusal(encrypt(call, { ...NO_OPTIONS, key: id, plaintext: PLAINTEXT }));
  const dataKey = () =>
    refusal(generateDataKey(call, { ...NO_OPTIONS, key: id, bytes: 32, action: 'GenerateDataKey' }));
  await keys.disableKey(call, id);
  assert.equal(await stateOf(call, key), 'disabled');
  assert.equal(await use(), 'disabled');
  assert.equal(await dataKey(), 'disabled');
  assert.equal(await refusal(enableRotation(call, id, 365)), 'disabled');
  assert.equal(await refusal(rotateOnDemand(call, id)), 'disabled');
  assert.equal(await refusal(keys.updateDescription(call, id, 'x')), 'not refused');
  assert.equal(await refusal(createAlias(call, 'alias/of-disabled', id)), 'not refused');
  assert.equal(await refusal(keys.cancelDeletion(call, id)), 'is not pending deletion');

  assert.equal(await refusal(keys.scheduleDeletion(call, id, 6)), 'invalid');
  assert.equal(await refusal(keys.scheduleDeletion(call, id, 31)), 'invalid');
  await keys.scheduleDeletion(call, id, 7);
  const pending = 'is pending deletion';
  for (const attempt of [
    () => use(),
    () => dataKey(),
    () => refusal(keys.enableKey(call, id)),
    () => refusal(keys.disableKey(call, id)),
    () => refusal(keys.updateDescription(call, id, 'y')),
    () => refusal(keys.scheduleDeletion(call, id, 7)),
    () => refusal(keys.tagKey(call, id, [{ key: 'a', value: 'b' }])),
    () => refusal(createAlias(call, 'alias/late', id)),
    () => refusal(enableRotation(call, id, 365)),
  ]) {
    assert.equal(await attempt(), pending);
  }
  assert.equal(await refusal(keys.getPolicy(call, id)), 'not refused');
  await keys.cancelDeletion(call, id);
  assert.equal(await stateOf(call, key), 'disabled', 'as AWS leaves it');
  await keys.enableKey(call, id);
  assert.equal(await use(), 'not refused');
});

test('a key is destroyed when its waiting time is over, and not a moment before', async () => {
  await using world = await World.make();
  const call = asRoot(world, await world.account());
  const key = await keys.createKey(call, PLAIN_KEY);
  await createAlias(call, 'alias/doomed', key.id);
  const { ciphertext } = await encrypt(call, { ...NO_OPTIONS, key: key.id, plaintext: PLAINTEXT });
  await keys.scheduleDeletion(call, key.id, 7);
  await world.clock.advance(7 * DAY_MS - 1);
  await world.control.run('tend-keys');
  assert.equal(await stateOf(call, key), 'pending-deletion');
  await world.clock.advance(1);
  assert.equal(
    await refusal(keys.cancelDeletion(call, key.id)),
    'key-not-found',
    'also while the task has not run yet',
  );
  await world.control.run('tend-keys');
  assert.equal(await refusal(keys.describeKey(call, key.id, [])), 'key-not-found');
  assert.equal(await refusal(keys.describeKey(call, 'alias/doomed', [])), 'alias-not-found');
  assert.equal(await refusal(decrypt(call, { ...NO_OPTIONS, ciphertext, key: null })), 'ciphertext-unseen');
  const kinds = await world.ports.meta.read((tx) =>
    tx.documents.list({ name: 'kms-material', idOf: () => '', ownerOf: () => null }, call.scope, null, {
      after: 0,
      countMax: 9,
    }),
  );
  assert.equal(kinds.length, 0);
});

test('rotation: what was sealed before opens after it, by date or on demand, and a date that was slept through counts once', async () => {
  await using world = await World.make();
  const call = asRoot(world, await world.account());
  const key = await keys.createKey(call, PLAIN_KEY);
  const seal = async () => (await encrypt(call, { ...NO_OPTIONS, key: key.id, plaintext: PLAINTEXT })).ciphertext;
  const sealed = [await seal()];
  assert.equal(await refusal(enableRotation(call, key.id, 89)), 'invalid');
  await enableRotation(call, key.id, 90);
  const tend = async (days: number) => {
    await world.clock.advance(days * DAY_MS);
    await world.control.run('tend-keys');
    sealed.push(await seal());
    const { records } = await listRotations(call, { key: key.id, isAll: false, after: null, countMax: 100 });
    return records.map((material) => material.rotation?.type);
  };
  assert.deepEqual(await tend(89), []);
  assert.deepEqual(await tend(1), ['automatic']);
  await rotateOnDemand(call, key.id);
  assert.deepEqual(await tend(0), ['automatic', 'on-demand']);
  assert.deepEqual(await tend(400), ['automatic', 'on-demand', 'automatic'], 'once for all that were missed');
  const dueMs = (await keys.describeKey(call, key.id, [])).rotation?.nextAtMs;
  assert.equal(dueMs, key.createdAtMs + 90 * 6 * DAY_MS, 'the dates have not moved');
  await disableRotation(call, key.id);
  assert.equal((await tend(1000)).length, 3);
  for (const ciphertext of sealed) {
    assert.deepEqual((await decrypt(call, { ...NO_OPTIONS, ciphertext, key: null })).plaintext, PLAINTEXT);
  }
  const { records } = await listRotations(call, { key: key.id, isAll: true, after: null, countMax: 100 });
  assert.deepEqual(
    records.map(({ state }) => state),
    ['non-current', 'non-current', 'non-current', 'current'],
  );
});

test('aliases: names, targets, and the one region and account that they are of', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const call = asRoot(world, scope);
  const [one, other] = [await keys.createKey(call, PLAIN_KEY), await keys.createKey(call, PLAIN_KEY)];
  await createAlias(call, 'alias/a', one.id);
  assert.equal((await keys.describeKey(call, 'alias/a', [])).id, one.id);
  assert.equal(await refusal(createAlias(call, 'alias/a', other.id)), 'alias-taken');
  assert.equal(await refusal(createAlias(call, 'alias/aws/mine', one.id)), 'alias-reserved');
  for (const name of ['a', 'alias/', 'alias/ä', 'alias/a b']) {
    assert.equal(await refusal(createAlias(call, name, one.id)), 'alias-name', name);
  }
  await updateAlias(call, 'alias/a', other.id);
  assert.equal((await keys.describeKey(call, `arn:aws:kms:us-east-1:${scope.account}:alias/a`, [])).id, other.id);
  assert.equal(await refusal(updateAlias(call, 'alias/none', one.id)), 'alias-not-found');
  const elsewhere = asRoot(world, { ...scope, region: 'eu-west-1' as typeof scope.region });
  assert.equal(await refusal(keys.describeKey(elsewhere, 'alias/a', [])), 'alias-not-found');
  assert.equal(await refusal(keys.describeKey(elsewhere, keyArn(one), [])), 'other-region');
  const listed = await listAliases(call, { key: null, after: null, countMax: 9 });
  assert.deepEqual(
    listed.records.map(({ name, key }) => [name, key]),
    [['alias/a', other.id]],
  );
  assert.equal((await listAliases(call, { key: one.id, after: null, countMax: 9 })).records.length, 0);
  await deleteAlias(call, 'alias/a');
  assert.equal(await refusal(deleteAlias(call, 'alias/a')), 'alias-not-found');
  for (const text of ['nothing', 'arn:aws:kms:us-east-1:1:key/x', `${one.id}x`]) {
    assert.match(await refusal(keys.describeKey(call, text, [])), /^malformed-/, text);
  }
});

test('the key of a service is made when it is asked for, serves through the service, and is nobody’s to change', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const call = asRoot(world, scope);
  const key = await keys.describeKey(call, 'alias/aws/ebs', []);
  assert.equal(key.manager, 'service');
  assert.equal((await keys.describeKey(call, `arn:aws:kms:us-east-1:${scope.account}:alias/aws/ebs`, [])).id, key.id);
  const sealing = (via: string | null) =>
    refusal(encrypt(asRoot(world, scope, via), { ...NO_OPTIONS, key: key.id, plaintext: PLAINTEXT }));
  assert.equal(await sealing('ec2'), 'not refused');
  assert.equal(await sealing(null), 'denied: nothing-allows');
  assert.equal(await sealing('lightsail'), 'denied: nothing-allows');
  for (const attempt of [
    keys.disableKey(call, key.id),
    keys.scheduleDeletion(call, key.id, 7),
    keys.putPolicy(call, key.id, '{}', { mayLockOut: true }),
    keys.tagKey(call, key.id, [{ key: 'a', value: 'b' }]),
    createAlias(call, 'alias/mine', key.id),
    enableRotation(call, key.id, 90),
    rotateOnDemand(call, key.id),
  ]) {
    assert.equal(await refusal(attempt), 'denied: nothing-allows');
  }
  assert.equal((await keys.describeKey(asRoot(world, await world.account()), 'alias/aws/ebs', [])).manager, 'service');
});

test('tags and descriptions', async () => {
  await using world = await World.make();
  const call = asRoot(world, await world.account());
  const key = await keys.createKey(call, { ...PLAIN_KEY, tags: [{ key: 'a', value: '1' }] });
  await keys.tagKey(call, key.id, [
    { key: 'a', value: '2' },
    { key: 'b', value: '' },
  ]);
  await keys.untagKey(call, key.id, ['a', 'never']);
  const page = { after: null, countMax: 9 };
  assert.deepEqual((await keys.listTags(call, key.id, page)).records, [{ key: 'b', value: '' }]);
  for (const name of ['aws:x', '', 'x'.repeat(129), 'a\nb']) {
    assert.equal(await refusal(keys.tagKey(call, key.id, [{ key: name, value: '' }])), 'tag', name);
  }
  const twice = [1, 2].map((n) => ({ key: 'same', value: String(n) }));
  assert.equal(await refusal(keys.tagKey(call, key.id, twice)), 'tag');
  const many = Array.from({ length: 50 }, (_, n) => ({ key: `k${n}`, value: '' }));
  assert.equal(await refusal(keys.tagKey(call, key.id, many)), 'limit');
});

test('a key that cannot be tended holds up neither the others nor the purge', async () => {
  await using world = await World.make();
  const { ports } = world;
  const call = asRoot(world, await world.account());
  const doomed = [await keys.createKey(call, PLAIN_KEY), await keys.createKey(call, PLAIN_KEY)];
  for (const { id } of doomed) await keys.scheduleDeletion(call, id, 7);
  await world.clock.advance(7 * DAY_MS);
  let failures = 1;
  let purges = 0;
  const meta: typeof ports.meta = Object.create(ports.meta, {
    transact: {
      value: async <R>(body: (tx: Tx) => Promise<R>): Promise<R> => {
        failures -= 1;
        if (failures === 0) throw new Error('it cannot be read');
        return await ports.meta.transact(body);
      },
    },
    purge: {
      value: async () => {
        purges += 1;
        await ports.meta.purge();
      },
    },
  });
  const report = await new TendKeys({ ...ports, meta }).activate(new AbortController().signal);
  assert.deepEqual([report.done, report.failed, purges], [1, 1, 1]);
});
