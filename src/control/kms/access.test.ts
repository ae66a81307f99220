import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keyArn, rootArn } from '#domain/kms/arn.ts';
import type { GrantOperation } from '#domain/kms/grant.ts';
import type { Scope } from '#domain/volume.ts';
import { principalOfRole } from '#control/identity/callers.ts';
import { createRole, deleteRole } from '#control/identity/roles.ts';
import { namesOf } from '#control/identity/trustees.ts';
import { deleteUser, updateUser } from '#control/identity/users.ts';
import { World } from '#control/world.fake.ts';
import type { KmsCall } from './access.ts';
import { createGrant, type CreateGrant, listGrants, listRetirable, retireGrant, revokeGrant } from './grants.ts';
import * as keys from './keys.ts';
import { asRoot, asUser, NO_OPTIONS, PLAIN_KEY, policyWith, refusal, userArn } from './kms-world.fake.ts';
import { decrypt, encrypt, reEncrypt } from './messages.ts';

const PLAINTEXT = Buffer.from('plain');
const ALLOW_KMS = { Effect: 'Allow', Action: 'kms:*', Resource: '*' };

function sealing(call: KmsCall, key: string, context: Record<string, string> = {}): Promise<string> {
  return refusal(encrypt(call, { ...NO_OPTIONS, key, plaintext: PLAINTEXT, context }));
}

function grant(key: string, grantee: string, operations: readonly GrantOperation[]): CreateGrant {
  const constraints = { subset: null, equals: null };
  return { key, grantee, retiring: null, operations, constraints, name: null, grantTokens: [], isRehearsal: false };
}

test('the standard policy leaves it to the account: its root may, a user by a policy of theirs, nobody of another account', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const root = asRoot(world, scope);
  const key = await keys.createKey(root, PLAIN_KEY);
  assert.equal(await sealing(root, key.id), 'not refused');
  assert.equal(await sealing(await asUser(world, scope, 'none', null), key.id), 'denied: nothing-allows');
  assert.equal(await sealing(await asUser(world, scope, 'some', ALLOW_KMS), key.id), 'not refused');
  const only = { Effect: 'Allow', Action: 'kms:Encrypt', Resource: keyArn(key) };
  const one = await asUser(world, scope, 'one', only);
  assert.equal(await sealing(one, key.id), 'not refused');
  assert.equal(await refusal(keys.describeKey(one, key.id, [])), 'denied: nothing-allows');
  const denied = await asUser(world, scope, 'denied', { Effect: 'Deny', Action: 'kms:Encrypt', Resource: '*' });
  assert.equal(await sealing(denied, key.id), 'denied: explicit');

  const other = asRoot(world, await world.account());
  assert.equal(await sealing(other, key.id), 'key-not-found');
  assert.equal(await sealing(other, keyArn(key)), 'denied: unseen');
  assert.equal(await sealing(other, keyArn({ ...key, id: '11111111-2222-4333-8444-555555555555' })), 'denied: unseen');
});

test('a key policy lets another account in for what can cross, when that account lets its user, too', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const otherScope = await world.account();
  const root = asRoot(world, scope);
  const statement = { Effect: 'Allow', Principal: { AWS: otherScope.account }, Action: 'kms:*', Resource: '*' };
  const key = await keys.createKey(root, { ...PLAIN_KEY, policy: policyWith(scope.account, statement) });
  const arn = keyArn(key);
  const foreign = asRoot(world, otherScope);
  assert.equal(await sealing(foreign, arn), 'not refused');
  assert.equal(await sealing(await asUser(world, otherScope, 'u', ALLOW_KMS), arn), 'not refused');
  assert.equal(await sealing(await asUser(world, otherScope, 'v', null), arn), 'denied: unseen');
  assert.equal(await refusal(keys.describeKey(foreign, arn, [])), 'not refused');
  for (const attempt of [
    keys.disableKey(foreign, arn),
    keys.scheduleDeletion(foreign, arn, 7),
    keys.putPolicy(foreign, arn, '{}', { mayLockOut: true }),
    keys.tagKey(foreign, arn, [{ key: 'a', value: 'b' }]),
  ]) {
    assert.equal(await refusal(attempt), 'denied: unseen');
  }
});

test('conditions of a key policy see the encryption context, the service and the alias', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const root = asRoot(world, scope);
  const arn = userArn(scope.account, 'app');
  const when = (Condition: object) => ({
    Effect: 'Allow',
    Principal: { AWS: arn },
    Action: 'kms:Encrypt',
    Resource: '*',
    Condition,
  });
  const key = await keys.createKey(root, PLAIN_KEY);
  const app = await asUser(world, scope, 'app', null);
  const put = (condition: object) =>
    keys.putPolicy(root, key.id, policyWith(scope.account, when(condition)), { mayLockOut: false });
  await put({ StringEquals: { 'kms:EncryptionContext:tenant': 'x' } });
  assert.equal(await sealing(app, key.id, { tenant: 'x' }), 'not refused');
  assert.equal(await sealing(app, key.id, { tenant: 'y' }), 'denied: nothing-allows');
  assert.equal(await sealing(app, key.id), 'denied: nothing-allows');
  // Its names have no case as condition keys: none hides another.
  assert.equal(await sealing(app, key.id, { tenant: 'y', Tenant: 'x' }), 'denied: nothing-allows');
  assert.equal(await sealing(app, key.id, { Tenant: 'x', tenant: 'y' }), 'denied: nothing-allows');
  assert.equal(await sealing(app, key.id, { Tenant: 'x', tenant: 'x' }), 'not refused');
  await put({ StringEquals: { 'kms:ViaService': 'ec2.us-east-1.amazonaws.com' } });
  assert.equal(await sealing(app, key.id), 'denied: nothing-allows');
  assert.equal(await sealing({ ...app, caller: { ...app.caller, via: 'ec2' } }, key.id), 'not refused');
});

test('a policy that shuts its maker out is refused, unless they insist', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const root = asRoot(world, scope);
  const x = await asUser(world, scope, 'x', null);
  const only = JSON.stringify({
    Version: '2012-10-17',
    Statement: [{ Effect: 'Allow', Principal: { AWS: x.caller.arn }, Action: 'kms:*', Resource: '*' }],
  });
  assert.equal(await refusal(keys.createKey(root, { ...PLAIN_KEY, policy: only })), 'policy');
  assert.equal(await refusal(keys.createKey(root, { ...PLAIN_KEY, policy: '{' })), 'policy');
  const key = await keys.createKey(root, { ...PLAIN_KEY, policy: only, mayLockOut: true });
  assert.equal(await refusal(keys.describeKey(root, key.id, [])), 'denied: nothing-allows');
  assert.equal(await refusal(keys.describeKey(x, key.id, [])), 'not refused');
});

test('a grant allows its operations to its grantee while its constraints hold, and no longer when it is revoked', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const root = asRoot(world, scope);
  const key = await keys.createKey(root, PLAIN_KEY);
  const app = await asUser(world, scope, 'app', null);
  const constraints = { subset: { tenant: 'x' }, equals: null };
  const made = await createGrant(root, { ...grant(key.id, app.caller.arn, ['Encrypt']), constraints });
  assert.equal(await sealing(app, key.id, { tenant: 'x', more: '1' }), 'not refused');
  assert.equal(await sealing(app, key.id, { tenant: 'y' }), 'denied: nothing-allows');
  assert.equal(
    await sealing(await asUser(world, scope, 'other', null), key.id, { tenant: 'x' }),
    'denied: nothing-allows',
  );
  const { ciphertext } = await encrypt(root, { ...NO_OPTIONS, key: key.id, plaintext: PLAINTEXT });
  assert.equal(await refusal(decrypt(app, { ...NO_OPTIONS, ciphertext, key: null })), 'denied: nothing-allows');
  const forbidden = await asUser(world, scope, 'app', { Effect: 'Deny', Action: 'kms:Encrypt', Resource: '*' });
  assert.equal(await sealing(forbidden, key.id, { tenant: 'x' }), 'denied: explicit', 'a deny outweighs a grant');
  await revokeGrant(root, { key: key.id, grant: made.grant.id, isRehearsal: false });
  assert.equal(await sealing(app, key.id, { tenant: 'x' }), 'denied: nothing-allows');
});

test('a grant reaches into another account, whose policies need not say anything', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const otherScope = await world.account();
  const key = await keys.createKey(asRoot(world, scope), PLAIN_KEY);
  const app = await asUser(world, otherScope, 'app', null);
  await createGrant(asRoot(world, scope), grant(key.id, app.caller.arn, ['Encrypt', 'ReEncryptFrom', 'Decrypt']));
  assert.equal(await sealing(app, keyArn(key)), 'not refused');
  const { ciphertext } = await encrypt(app, { ...NO_OPTIONS, key: keyArn(key), plaintext: PLAINTEXT });
  assert.deepEqual((await decrypt(app, { ...NO_OPTIONS, ciphertext, key: null })).plaintext, PLAINTEXT);
  const own = await keys.createKey(asRoot(world, otherScope), PLAIN_KEY);
  await createGrant(asRoot(world, otherScope), grant(own.id, app.caller.arn, ['ReEncryptTo']));
  const moved = await reEncrypt(app, {
    ciphertext,
    sourceKey: null,
    sourceContext: {},
    destinationKey: own.id,
    destinationContext: {},
    grantTokens: [],
    isRehearsal: false,
  });
  assert.equal(moved.sealed.keyArn, keyArn(own));
  const stranger = asRoot(world, await world.account());
  assert.equal(await refusal(decrypt(stranger, { ...NO_OPTIONS, ciphertext, key: null })), 'denied: unseen');
});

test('who holds a grant to make grants hands on no more than they have', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const root = asRoot(world, scope);
  const key = await keys.createKey(root, PLAIN_KEY);
  const app = await asUser(world, scope, 'app', null);
  const constraints = { subset: { a: '1' }, equals: null };
  const parent = { ...grant(key.id, app.caller.arn, ['CreateGrant', 'Decrypt']), constraints };
  await createGrant(root, parent);
  const { arn } = (await asUser(world, scope, 'child', null)).caller;
  const child = grant(key.id, arn, ['Decrypt']);
  assert.equal(await refusal(createGrant(app, child)), 'denied: nothing-allows', 'without the constraint');
  assert.equal(await refusal(createGrant(app, { ...child, constraints })), 'not refused');
  const narrower = { subset: null, equals: { a: '1', b: '2' } };
  assert.equal(await refusal(createGrant(app, { ...child, constraints: narrower })), 'not refused');
  const more = { ...child, constraints, operations: ['Decrypt', 'Encrypt'] as const };
  assert.equal(await refusal(createGrant(app, more)), 'denied: nothing-allows');
});

test('a grant is retired by whom it names, and lists show it', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const root = asRoot(world, scope);
  const key = await keys.createKey(root, PLAIN_KEY);
  const [retiring, grantee] = [
    await asUser(world, scope, 'retiring', null),
    await asUser(world, scope, 'grantee', null),
  ];
  const make = async (operations: readonly GrantOperation[]) =>
    await createGrant(root, { ...grant(key.id, grantee.caller.arn, operations), retiring: retiring.caller.arn });
  const first = await make(['Decrypt']);
  const retire = (call: KmsCall, token: string) => refusal(retireGrant(call, { which: { token }, isRehearsal: false }));
  assert.equal(await retire(grantee, first.token), 'grant-not-found', 'it is not among its operations');
  assert.equal(await retire(asRoot(world, await world.account()), first.token), 'grant-not-found');
  assert.equal(await retire(retiring, 'nonsense'), 'grant-token');
  const page = { after: null, countMax: 10 };
  const listed = await listGrants(root, { ...page, key: key.id, grant: null, grantee: grantee.caller.arn });
  assert.deepEqual(
    listed.records.map(({ id }) => id),
    [first.grant.id],
  );
  assert.equal((await listRetirable(root, { ...page, retiring: retiring.caller.arn })).records.length, 1);
  assert.equal(
    await refusal(listRetirable(root, { ...page, retiring: rootArn((await world.account()).account) })),
    'denied: nothing-allows',
  );
  assert.equal(await retire(retiring, first.token), 'not refused');
  assert.equal(await retire(retiring, first.token), 'grant-not-found');
  const second = await make(['RetireGrant']);
  const which = { key: keyArn(key), grant: second.grant.id };
  await retireGrant(grantee, { which, isRehearsal: false });
  const third = await make(['Decrypt']);
  assert.equal(await retire(root, third.token), 'not refused', 'the account that issued it');
});

/** The user is deleted, and another made of the same name. */
async function madeAnew(world: World, scope: Scope, name: string): Promise<KmsCall> {
  await deleteUser(world.ports, scope.account, name);
  return await asUser(world, scope, name, null);
}

test('a key policy means the users that it named when it was put, not who has their name later', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const root = asRoot(world, scope);
  const app = await asUser(world, scope, 'app', null);
  const statement = { Effect: 'Allow', Principal: { AWS: app.caller.arn }, Action: 'kms:Encrypt', Resource: '*' };
  const policy = policyWith(scope.account, statement);
  const key = await keys.createKey(root, { ...PLAIN_KEY, policy });
  assert.equal(await sealing(app, key.id), 'not refused');
  const other = await madeAnew(world, scope, 'app');
  assert.equal(await sealing(other, key.id), 'denied: nothing-allows');
  await keys.putPolicy(root, key.id, policy, { mayLockOut: false });
  assert.equal(await sealing(other, key.id), 'not refused');

  await updateUser(world.ports, scope.account, { name: 'app', newName: 'renamed', newPath: null });
  assert.equal(await sealing(await asUser(world, scope, 'renamed', null), key.id), 'not refused');
  assert.equal(await sealing(await asUser(world, scope, 'app', null), key.id), 'denied: nothing-allows');
});

test('a key policy and a grant are refused who is not there', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const root = asRoot(world, scope);
  const key = await keys.createKey(root, PLAIN_KEY);
  const nobodies = [
    userArn(scope.account, 'nobody'),
    `arn:aws:iam::${scope.account}:role/none`,
    `arn:aws:sts::${scope.account}:assumed-role/none/session`,
    'arn:aws:iam::000000000000:root',
  ];
  for (const AWS of nobodies) {
    const policy = policyWith(scope.account, { Effect: 'Allow', Principal: { AWS }, Action: 'kms:*', Resource: '*' });
    assert.equal(await refusal(keys.createKey(root, { ...PLAIN_KEY, policy })), 'policy', AWS);
    assert.equal(await refusal(createGrant(root, grant(key.id, AWS, ['Encrypt']))), 'malformed-arn', AWS);
  }
});

test('a grant is for the user that it was given to, not for who has the name later', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const root = asRoot(world, scope);
  const key = await keys.createKey(root, PLAIN_KEY);
  const [app, retiring] = [await asUser(world, scope, 'app', null), await asUser(world, scope, 'retiring', null)];
  const named = { ...grant(key.id, app.caller.arn, ['Encrypt']), retiring: retiring.caller.arn, name: 'one' };
  const first = await createGrant(root, named);
  assert.equal((await createGrant(root, named)).grant.id, first.grant.id);
  assert.equal(await sealing(app, key.id), 'not refused');

  const [newApp, newRetiring] = [await madeAnew(world, scope, 'app'), await madeAnew(world, scope, 'retiring')];
  assert.equal(await sealing(newApp, key.id), 'denied: nothing-allows');
  const which = { token: first.token };
  assert.equal(await refusal(retireGrant(newRetiring, { which, isRehearsal: false })), 'grant-not-found');
  const second = await createGrant(root, named);
  assert.notEqual(second.grant.id, first.grant.id, 'the same words name others now');
  assert.equal(await sealing(newApp, key.id), 'not refused');
});

test('a session of a role that was made anew has nothing of what the role before it had', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const root = asRoot(world, scope);
  const role = async (): Promise<KmsCall> => {
    const Statement = { Effect: 'Allow', Principal: { AWS: scope.account }, Action: 'sts:AssumeRole' };
    const trust = JSON.stringify({ Version: '2012-10-17', Statement });
    const asked = { name: 'app', path: '/', description: null, sessionSecondsMax: 3600, boundary: null, tags: [] };
    const record = await createRole(world.ports, scope.account, { ...asked, trust, madeBy: null });
    const session = { sessionName: 's', tags: {}, issuedAtMs: null, sourceIdentity: null, transitiveTags: [] };
    const principal = principalOfRole(scope.account, record, session);
    const caller = { ...root.caller, arn: principal.arn, principal: namesOf(principal) };
    return { ...root, caller: { ...caller, policies: { identity: [], boundary: null, session: null } } };
  };
  for (const kind of ['role', 'session']) {
    const before = await role();
    const AWS = kind === 'role' ? `arn:aws:iam::${scope.account}:role/app` : before.caller.arn;
    const statement = { Effect: 'Allow', Principal: { AWS }, Action: 'kms:Encrypt', Resource: '*' };
    const named = await keys.createKey(root, { ...PLAIN_KEY, policy: policyWith(scope.account, statement) });
    const granted = await keys.createKey(root, PLAIN_KEY);
    await createGrant(root, grant(granted.id, AWS, ['Encrypt']));
    for (const { id } of [named, granted]) assert.equal(await sealing(before, id), 'not refused', AWS);
    await deleteRole(world.ports, scope.account, 'app');
    const after = await role();
    for (const { id } of [named, granted]) assert.equal(await sealing(after, id), 'denied: nothing-allows', AWS);
    await deleteRole(world.ports, scope.account, 'app');
  }
});

test('a key that is made with tags needs leave to tag, too', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const make = (call: KmsCall, key: string): Promise<string> =>
    refusal(keys.createKey(call, { ...PLAIN_KEY, tags: [{ key, value: 'red' }] }));
  const action = (...Action: readonly string[]): object => ({ Effect: 'Allow', Action, Resource: '*' });
  const maker = await asUser(world, scope, 'maker', action('kms:CreateKey'));
  assert.equal(await make(maker, 'team'), 'denied: nothing-allows');
  assert.equal(await refusal(keys.createKey(maker, PLAIN_KEY)), 'not refused');
  const Condition = { 'ForAllValues:StringEquals': { 'aws:TagKeys': ['team'] } };
  const both = { ...action('kms:CreateKey', 'kms:TagResource'), Condition };
  const tagger = await asUser(world, scope, 'tagger', both);
  assert.equal(await make(tagger, 'team'), 'not refused');
  assert.equal(await make(tagger, 'other'), 'denied: nothing-allows');
});
