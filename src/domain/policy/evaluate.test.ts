import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsePolicy, type Policy, type PolicyKind } from './document.ts';
import { decide, evaluateIdentity, evaluateResource, type PolicyRequest } from './evaluate.ts';

const ANA = 'arn:aws:iam::111122223333:user/ana';

function policy(statement: object, kind: PolicyKind = 'identity', version = '2012-10-17'): Policy {
  const parsed = parsePolicy(JSON.stringify({ Version: version, Statement: statement }), kind);
  if (parsed.kind === 'malformed') throw new Error(parsed.reason);
  return parsed.policy;
}

function request(
  some: Partial<PolicyRequest> & { readonly keys?: Record<string, string | readonly string[]> } = {},
): PolicyRequest {
  const { keys = {}, ...rest } = some;
  return {
    action: 'ec2:DeleteSnapshot',
    resource: 'arn:aws:ec2:us-east-1::snapshot/snap-1',
    principal: { account: '111122223333', isRoot: false, arns: [ANA] },
    context: new Map(
      Object.entries(keys).map(([key, value]) => [key.toLowerCase(), typeof value === 'string' ? [value] : value]),
    ),
    ...rest,
  };
}

const ALLOW = { Effect: 'Allow', Action: '*', Resource: '*' };

test('nothing is allowed that nobody allowed, and a deny outweighs every allow', () => {
  assert.equal(evaluateIdentity([], request()), 'none');
  assert.equal(evaluateIdentity([policy(ALLOW)], request()), 'allow');
  const deny = policy({ Effect: 'Deny', Action: 'ec2:delete*', Resource: '*' });
  assert.equal(evaluateIdentity([policy(ALLOW), deny], request()), 'deny');
});

/** operator, value in the policy, value of the request (null: absent), whether it holds. */
const CONDITIONS: readonly (readonly [string, unknown, string | readonly string[] | null, boolean])[] = [
  ['StringEquals', 'a', 'a', true],
  ['StringEquals', 'a', 'A', false],
  ['StringEquals', ['a', 'b'], 'b', true],
  ['StringEquals', 'a', null, false],
  ['StringEqualsIfExists', 'a', null, true],
  ['StringEqualsIfExists', 'a', 'b', false],
  ['StringNotEquals', 'a', null, true],
  ['StringNotEquals', ['a', 'b'], 'b', false],
  ['StringEqualsIgnoreCase', 'a', 'A', true],
  ['StringNotEqualsIgnoreCase', 'a', 'A', false],
  ['StringLike', 'a*c?', 'abbcd', true],
  ['StringLike', 'a*c?', 'abbc', false],
  ['StringEquals', 'a*', 'ab', false],
  ['StringNotLike', 'a*', 'ab', false],
  ['NumericLessThan', 10, '9.5', true],
  ['NumericLessThan', 10, '10', false],
  ['NumericLessThanEquals', '10', '10', true],
  ['NumericEquals', '10', '10.0', true],
  ['NumericEquals', '10', 'ten', false],
  ['NumericNotEquals', '10', 'ten', true],
  ['NumericGreaterThan', '10', '11', true],
  ['DateLessThan', '2026-01-01T00:00:00Z', '2025-12-31T23:59:59Z', true],
  ['DateGreaterThan', '1767225600', '2026-01-01T00:00:01Z', true],
  ['DateEquals', '2026-01-01T01:00:00+01:00', '2026-01-01T00:00:00Z', true],
  ['Bool', true, 'true', true],
  ['Bool', 'false', 'true', false],
  ['Bool', 'false', null, false],
  ['BinaryEquals', 'QmFzZTY0', 'QmFzZTY0', true],
  ['IpAddress', '203.0.113.0/24', '203.0.113.255', true],
  ['IpAddress', '203.0.113.0/24', '203.0.114.0', false],
  ['IpAddress', '203.0.113.0/24', '::ffff:203.0.113.7', true],
  ['IpAddress', '2001:DB8::/32', '2001:db8:1::1', true],
  ['IpAddress', '2001:DB8::/32', '2001:db9::1', false],
  ['IpAddress', '0.0.0.0/0', '::1', false],
  ['NotIpAddress', ['10.0.0.0/8', '127.0.0.1'], '127.0.0.1', false],
  ['ArnLike', 'arn:aws:iam::*:user/a*', 'arn:aws:iam::111122223333:user/ana', true],
  ['ArnLike', 'arn:aws:*:user/ana', 'arn:aws:iam::111122223333:user/ana', false],
  ['ArnEquals', 'arn:aws:iam::*:user/a*', 'arn:aws:iam::111122223333:user/ana', true],
  ['ArnNotLike', 'arn:aws:iam::*:user/a*', 'arn:aws:iam::111122223333:user/ana', false],
  ['Null', 'true', null, true],
  ['Null', 'true', 'x', false],
  ['Null', 'false', 'x', true],
  ['ForAllValues:StringEquals', ['a', 'b'], ['a', 'b'], true],
  ['ForAllValues:StringEquals', ['a', 'b'], ['a', 'c'], false],
  ['ForAllValues:StringEquals', ['a'], null, true],
  ['ForAnyValue:StringEquals', ['a'], ['a', 'c'], true],
  ['ForAnyValue:StringEquals', ['a'], null, false],
  ['ForAnyValue:StringNotEquals', ['a'], ['a', 'c'], true],
  ['ForAllValues:StringNotEquals', ['a'], ['a', 'c'], false],
];

for (const [operator, wanted, given, expected] of CONDITIONS) {
  test(`${operator} ${JSON.stringify(wanted)} ${expected ? 'holds' : 'does not hold'} for ${JSON.stringify(given)}`, () => {
    const conditional = policy({ ...ALLOW, Condition: { [operator]: { 'ec2:Key': wanted } } });
    const keys = given === null ? {} : { 'ec2:KEY': given };
    assert.equal(evaluateIdentity([conditional], request({ keys })), expected ? 'allow' : 'none');
  });
}

test('a variable is the value of a key, its default, or nothing; what it brings in is no wildcard', () => {
  const volume = 'arn:aws:ec2:us-east-1:111122223333:volume/';
  const own = policy({ ...ALLOW, Resource: `${volume}\${aws:username}-*` });
  const ask = (policies: Policy, name: string, keys: Record<string, string>): string =>
    evaluateIdentity([policies], request({ resource: `${volume}${name}`, keys }));
  assert.equal(ask(own, 'ana-1', { 'aws:username': 'ana' }), 'allow');
  assert.equal(ask(own, 'bo-1', { 'aws:username': 'ana' }), 'none');
  assert.equal(ask(own, 'bo-1', { 'aws:username': '*' }), 'none');
  assert.equal(ask(own, 'bo-1', {}), 'none');
  const fallback = policy({ ...ALLOW, Resource: `${volume}\${aws:PrincipalTag/team, 'all'}` });
  assert.equal(ask(fallback, 'all', {}), 'allow');
  assert.equal(ask(fallback, 'all', { 'aws:PrincipalTag/team': 'red' }), 'none');
  assert.equal(ask(policy({ ...ALLOW, Resource: `${volume}\${*}` }), '*', {}), 'allow');
  assert.equal(ask(policy({ ...ALLOW, Resource: `${volume}\${*}` }), 'x', {}), 'none');
  const old = policy({ ...ALLOW, Resource: `${volume}\${aws:username}` }, 'identity', '2008-10-17');
  assert.equal(ask(old, 'ana', { 'aws:username': 'ana' }), 'none');
  const but = { Action: '*', NotResource: `${volume}\${aws:username}` };
  assert.equal(ask(policy({ ...but, Effect: 'Allow' }), 'x', {}), 'none');
  assert.equal(ask(policy({ ...but, Effect: 'Deny' }), 'x', {}), 'deny');
});

test('NotAction and NotResource mean all others', () => {
  const others = policy({ Effect: 'Allow', NotAction: ['ec2:Delete*', 'kms:*'], NotResource: '*:volume/*' });
  assert.equal(evaluateIdentity([others], request()), 'none');
  assert.equal(evaluateIdentity([others], request({ action: 'ec2:CreateTags' })), 'allow');
  const volume = 'arn:aws:ec2:us-east-1:111122223333:volume/vol-1';
  assert.equal(evaluateIdentity([others], request({ action: 'ec2:CreateTags', resource: volume })), 'none');
});

const ROLE = { Effect: 'Allow', Action: 'sts:AssumeRole' };

function trust(principal: object, more: object = {}): Policy {
  return policy({ ...ROLE, ...principal, ...more }, 'trust');
}

const asking = (some: Partial<PolicyRequest> = {}): PolicyRequest => request({ action: 'sts:AssumeRole', ...some });

test("a resource's policy names principals, accounts or everyone", () => {
  const of = (principal: object, some: Partial<PolicyRequest> = {}): string =>
    evaluateResource(trust(principal), asking(some));
  assert.equal(of({ Principal: { AWS: ANA } }), 'principal');
  assert.equal(of({ Principal: '*' }), 'principal');
  assert.equal(of({ Principal: { AWS: ['*'] } }), 'principal');
  assert.equal(of({ Principal: { AWS: '111122223333' } }), 'account');
  assert.equal(of({ Principal: { AWS: 'arn:aws:iam::111122223333:root' } }), 'account');
  assert.equal(of({ Principal: { AWS: 'arn:aws:iam::444455556666:root' } }), 'none');
  assert.equal(of({ Principal: { Service: 'dlm.amazonaws.com' } }), 'none');
  const session = {
    account: '111122223333',
    isRoot: false,
    arns: ['arn:aws:sts::111122223333:assumed-role/r/s', 'arn:aws:iam::111122223333:role/r'],
  };
  assert.equal(of({ Principal: { AWS: 'arn:aws:iam::111122223333:role/r' } }, { principal: session }), 'principal');
  const denied = trust({ NotPrincipal: { AWS: ANA } }, { Effect: 'Deny' });
  assert.equal(evaluateResource(denied, asking()), 'none');
  assert.equal(evaluateResource(denied, asking({ principal: session })), 'deny');
});

test('who may: the identity, within its boundary and its session; of another account, only with the leave of both', () => {
  const all = policy(ALLOW);
  const none = { identity: [], boundary: null, session: null };
  const every = { identity: [all], boundary: null, session: null };
  const reads = [policy({ Effect: 'Allow', Action: 'ec2:Describe*', Resource: '*' })];
  assert.equal(decide(none, request(), null), 'implicit-deny');
  assert.equal(decide(every, request(), null), 'allowed');
  assert.equal(decide({ ...every, boundary: reads }, request(), null), 'implicit-deny');
  assert.equal(decide({ ...every, session: reads }, request(), null), 'implicit-deny');
  assert.equal(decide({ ...every, boundary: reads }, request({ action: 'ec2:DescribeSnapshots' }), null), 'allowed');

  const here = (principal: object): { account: string; policy: Policy } => ({
    account: '111122223333',
    policy: trust(principal),
  });
  const there = (principal: object): { account: string; policy: Policy } => ({
    account: '444455556666',
    policy: trust(principal),
  });
  const ana = { Principal: { AWS: ANA } };
  const account = { Principal: { AWS: '111122223333' } };
  assert.equal(decide(none, asking(), here(ana)), 'allowed');
  assert.equal(decide(none, asking(), here(account)), 'implicit-deny');
  assert.equal(decide(every, asking(), here(account)), 'allowed');
  assert.equal(decide(every, asking(), here({ Principal: { AWS: '444455556666' } })), 'implicit-deny');
  assert.equal(decide(none, asking(), there(ana)), 'implicit-deny');
  assert.equal(decide(every, asking(), there(ana)), 'allowed');
  assert.equal(decide({ ...every, session: reads }, asking(), here(ana)), 'implicit-deny');
  // What names a user stands beside the user's boundary; what names a role is within the role's.
  const role = 'arn:aws:iam::111122223333:role/r';
  const session = {
    account: '111122223333',
    isRoot: false,
    arns: ['arn:aws:sts::111122223333:assumed-role/r/s', role],
  };
  const named = here({ Principal: { AWS: role } });
  assert.equal(decide(none, asking({ principal: session }), named), 'allowed');
  assert.equal(decide({ ...none, boundary: reads }, asking({ principal: session }), named), 'implicit-deny');
  assert.equal(decide({ ...none, boundary: [all] }, asking({ principal: session }), named), 'allowed');
  assert.equal(decide({ ...none, boundary: reads }, asking(), here(ana)), 'allowed');
  const denies = [policy({ ...ALLOW, Effect: 'Deny' })];
  assert.equal(decide({ ...every, session: denies }, asking(), here(ana)), 'explicit-deny');
  assert.equal(decide({ ...every, boundary: denies }, asking(), here(ana)), 'explicit-deny');
});

test('a wildcard takes no more than the product of the lengths', () => {
  const stars = policy({ ...ALLOW, Condition: { StringLike: { 'ec2:Key': `${'a*'.repeat(500)}b` } } });
  assert.equal(evaluateIdentity([stars], request({ keys: { 'ec2:Key': 'a'.repeat(2000) } })), 'none');
});
