import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mutated } from '#base/mutations.fixture.ts';
import { SeededRandom } from '#base/random.ts';
import { parsePolicy, type PolicyKind } from './document.ts';

const GOOD = { Effect: 'Allow', Action: 'ec2:*', Resource: '*' };
const TRUST = { Effect: 'Allow', Action: 'sts:AssumeRole', Principal: { AWS: '111122223333' } };

function reason(document: unknown, kind: PolicyKind = 'identity'): string | null {
  const parsed = parsePolicy(typeof document === 'string' ? document : JSON.stringify(document), kind);
  return parsed.kind === 'malformed' ? parsed.reason : null;
}

const statement = (some: object): object => ({ Version: '2012-10-17', Statement: { ...GOOD, ...some } });
const without = (name: string): object => ({
  Statement: Object.fromEntries(Object.entries(GOOD).filter(([key]) => key !== name)),
});

const MALFORMED: readonly (readonly [string, unknown, RegExp])[] = [
  ['no JSON', '{', /not valid JSON/],
  ['a list', '[]', /must be an object/],
  ['null', 'null', /must be an object/],
  ['another version', { Version: '2020-01-01', Statement: GOOD }, /valid version/],
  ['no statement', { Version: '2012-10-17' }, /Missing required field Statement/],
  ['an empty list of statements', { Statement: [] }, /must not be empty/],
  ['a statement that is none', { Statement: 'x' }, /Statement\[0\] must be an object/],
  ['an unknown field', statement({ Prinzipal: '*' }), /no field "Prinzipal"/],
  ['an unknown element', { ...statement({}), Foo: 1 }, /no field "Foo"/],
  ['no effect', without('Effect'), /Missing required field Effect/],
  ['another effect', statement({ Effect: 'allow' }), /Invalid effect/],
  ['no action', without('Action'), /must contain actions/],
  ['both actions', statement({ NotAction: 'ec2:*' }), /exclude each other/],
  ['an action without a vendor', statement({ Action: 'DescribeSnapshots' }), /prefaced by a vendor/],
  ['an empty list of actions', statement({ Action: [] }), /must not be empty/],
  ['an action that is a number', statement({ Action: 7 }), /string or a list of strings/],
  ['no resource', without('Resource'), /must contain resources/],
  ['a resource that is no ARN', statement({ Resource: 'snap-1' }), /must be in ARN format/],
  ['a principal', statement({ Principal: '*' }), /should not specify a principal/],
  [
    'an operator that does not exist',
    statement({ Condition: { StringIs: { 'a:b': 'c' } } }),
    /Invalid Condition type : StringIs/,
  ],
  ['Null with IfExists', statement({ Condition: { NullIfExists: { 'a:b': 'true' } } }), /Invalid Condition type/],
  ['a number that is none', statement({ Condition: { NumericEquals: { 'a:b': 'x' } } }), /not a value/],
  ['a date that is none', statement({ Condition: { DateEquals: { 'a:b': 'tomorrow' } } }), /not a value/],
  ['an address that is none', statement({ Condition: { IpAddress: { 'aws:SourceIp': '1.2.3.4/40' } } }), /not a value/],
  ['a key without a vendor', statement({ Condition: { StringEquals: { key: 'c' } } }), /prefaced by a vendor/],
  ['an object for a value', statement({ Condition: { StringEquals: { 'a:b': {} } } }), /string or a list/],
  [
    'a sid twice',
    {
      Statement: [
        { ...GOOD, Sid: 'a' },
        { ...GOOD, Sid: 'a' },
      ],
    },
    /must be unique/,
  ],
  ['a sid with a blank', statement({ Sid: 'a b' }), /alpha-numeric/],
];

for (const [what, document, expected] of MALFORMED) {
  test(`${what} is refused with a reason`, () => {
    assert.match(reason(document) ?? 'accepted', expected);
  });
}

test('a trust policy names principals and no resources', () => {
  assert.equal(reason({ Statement: TRUST }, 'trust'), null);
  assert.match(reason({ Statement: { ...TRUST, Resource: '*' } }, 'trust') ?? '', /prohibited field Resource/);
  assert.match(
    reason({ Statement: { ...TRUST, Principal: undefined } }, 'trust') ?? '',
    /Missing required field Principal/,
  );
  assert.match(reason({ Statement: { ...TRUST, Principal: { AWS: 'ana' } } }, 'trust') ?? '', /Invalid principal/);
  assert.match(reason({ Statement: { ...TRUST, Principal: {} } }, 'trust') ?? '', /must not be empty/);
  const but = { Effect: 'Allow', Action: 'sts:AssumeRole', NotPrincipal: { AWS: '111122223333' } };
  assert.match(reason({ Statement: but }, 'trust') ?? '', /Allow with NotPrincipal/);
});

test('what AWS accepts is accepted', () => {
  assert.equal(
    reason(statement({ Sid: 'One1', Action: ['ec2:*', 'kms:?ecrypt'], Resource: ['arn:aws:ec2:*:*:volume/*', '*'] })),
    null,
  );
  assert.equal(
    reason(statement({ Condition: { 'ForAnyValue:StringLikeIfExists': { 'aws:TagKeys': ['a', 'b'] } } })),
    null,
  );
  assert.equal(
    reason(
      statement({ Condition: { Bool: { 'aws:SecureTransport': false }, NumericLessThan: { 'ec2:VolumeSize': 100 } } }),
    ),
    null,
  );
  assert.equal(
    reason(statement({ Condition: { NumericLessThan: { 'ec2:VolumeSize': '${aws:PrincipalTag/max}' } } })),
    null,
  );
});

test('a damaged document is refused or parsed, and nothing else happens', () => {
  const text = JSON.stringify({
    Version: '2012-10-17',
    Id: 'x',
    Statement: [GOOD, { ...GOOD, Condition: { Bool: { 'a:b': true } } }],
  });
  for (const kind of ['identity', 'trust', 'resource'] as const) {
    const random = new SeededRandom(7);
    for (let round = 0; round < 2000; round += 1) parsePolicy(mutated(random, Buffer.from(text)).toString(), kind);
    for (const name of ['__proto__', 'constructor', 'toString']) {
      assert.notEqual(
        reason(`{"Statement":{"Effect":"Allow","Action":"a:b","Resource":"*","${name}":{}}}`, kind),
        null,
      );
      assert.notEqual(
        reason(`{"Statement":{"Effect":"Allow","Action":"a:b","Resource":"*","Condition":{"${name}":{}}}}`, kind),
        null,
      );
    }
  }
});
