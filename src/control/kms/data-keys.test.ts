import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keyArn } from '#domain/kms/arn.ts';
import { regionName } from '#domain/ids.ts';
import { DAY_MS } from '#domain/kms/limits.ts';
import { World } from '#control/world.fake.ts';
import { newDataKey, openDataKey, openDataKeyUnasked, resolveKey, rewrapDataKey } from './data-keys.ts';
import { resetDefaultKey, setDefaultKey } from './default-key.ts';
import { readEbsDefaults } from './ebs-defaults.ts';
import * as keys from './keys.ts';
import { asRoot, asUser, PLAIN_KEY, policyWith, refusal, userArn } from './kms-world.fake.ts';

test('the key of new data: named, else the default of account and region, else the service’s', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const call = asRoot(world, scope, 'ec2');
  const managed = await resolveKey(call, null);
  assert.equal((await keys.describeKey(call, managed, [])).manager, 'service');
  const key = await keys.createKey(call, PLAIN_KEY);
  assert.equal(await resolveKey(call, key.id), keyArn(key));
  assert.equal(await setDefaultKey(call, key.id), keyArn(key));
  assert.equal(await resolveKey(call, null), keyArn(key));
  const elsewhere = { ...scope, region: regionName('eu-west-1') };
  assert.equal((await readEbsDefaults(world.ports, elsewhere)).keyArn, null);
  assert.equal(await resetDefaultKey(world.ports, scope), managed);
  assert.equal(await resolveKey(call, null), managed);
  assert.equal(await refusal(resolveKey(call, 'alias/never')), 'unusable: not-found');
  assert.equal(await refusal(resolveKey(call, 'nonsense')), 'unusable: not-found');
  assert.equal(await refusal(resolveKey(await asUser(world, scope, 'u', null), key.id)), 'unusable: denied');
  await keys.disableKey(call, key.id);
  assert.equal(await refusal(resolveKey(call, key.id)), 'unusable: disabled');
});

test('a data key opens while its KMS key is enabled, and never again when that is destroyed', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const call = asRoot(world, scope, 'ec2');
  const key = await keys.createKey(call, PLAIN_KEY);
  const { plaintext, encryption } = await newDataKey(call, keyArn(key));
  assert.equal(plaintext.length, 32);
  assert.equal(encryption.keyArn, keyArn(key));
  const [asked, unasked] = [() => openDataKey(call, encryption), () => openDataKeyUnasked(world.ports, encryption)];
  assert.deepEqual([await asked(), await unasked()], [plaintext, plaintext]);
  const other = await newDataKey(call, keyArn(key));
  assert.notDeepEqual(other.plaintext, plaintext);
  const swapped = { ...encryption, sealedKey: other.encryption.sealedKey };
  assert.equal(await refusal(openDataKey(call, swapped)), 'unusable: destroyed', 'bound to its record');
  assert.equal(await refusal(openDataKey(await asUser(world, scope, 'u', null), encryption)), 'unusable: denied');
  for (const open of [asked, unasked]) {
    await keys.disableKey(call, key.id);
    assert.equal(await refusal(open()), 'unusable: disabled');
    await keys.enableKey(call, key.id);
    assert.equal(await refusal(open()), 'not refused');
  }
  await keys.scheduleDeletion(call, key.id, 7);
  assert.equal(await refusal(unasked()), 'unusable: pending-deletion');
  await world.clock.advance(7 * DAY_MS);
  await world.control.run('tend-keys');
  assert.equal(await refusal(asked()), 'unusable: destroyed');
  assert.equal(await refusal(unasked()), 'unusable: destroyed');
});

test('a copy has the data key under a key of its own, also in another account and region', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const there = { account: (await world.account()).account, region: regionName('eu-west-1') };
  const owner = asRoot(world, scope, 'ec2');
  const copier = asRoot(world, there, 'ec2');
  const key = await keys.createKey(owner, PLAIN_KEY);
  const { plaintext, encryption } = await newDataKey(owner, keyArn(key));
  const target = await resolveKey(copier, null);
  assert.equal(await refusal(rewrapDataKey(copier, encryption, target)), 'unusable: denied');
  const shared = { Effect: 'Allow', Principal: { AWS: there.account }, Action: 'kms:ReEncrypt*', Resource: '*' };
  await keys.putPolicy(owner, key.id, policyWith(scope.account, shared), { mayLockOut: false });
  const copy = await rewrapDataKey(copier, encryption, target);
  assert.equal(copy.keyArn, target);
  assert.equal(copy.dataKeyId, encryption.dataKeyId);
  await keys.disableKey(owner, key.id);
  assert.deepEqual(await openDataKey(copier, copy), plaintext);
  assert.equal(await refusal(rewrapDataKey(copier, encryption, target)), 'unusable: disabled');
});

test('a user of EC2 needs no permission for the key of the service, and does for one of the account', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const plain = await asUser(world, scope, 'app', null);
  const app = { ...plain, caller: { ...plain.caller, via: 'ec2' } };
  const managed = await resolveKey(app, null);
  const { encryption } = await newDataKey(app, managed);
  assert.equal(await refusal(openDataKey(app, encryption)), 'not refused');
  assert.equal(await refusal(openDataKey(plain, encryption)), 'unusable: denied', 'not by hand');
  const use = {
    Effect: 'Allow',
    Principal: { AWS: userArn(scope.account, 'app') },
    Action: 'kms:GenerateDataKey*',
    Resource: '*',
  };
  const key = await keys.createKey(asRoot(world, scope), { ...PLAIN_KEY, policy: policyWith(scope.account, use) });
  const made = await newDataKey(app, await resolveKey(app, key.id));
  assert.equal(await refusal(openDataKey(app, made.encryption)), 'unusable: denied');
});
