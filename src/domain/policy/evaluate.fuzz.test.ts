import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '#base/random.ts';
import { parsePolicy, type Policy } from './document.ts';
import { evaluateIdentity, type PolicyRequest } from './evaluate.ts';
import { naiveDecision, type NaiveRequest } from './naive.fake.ts';

const SEED = Number(process.env['VARVE_TEST_SEED'] ?? 20_261_121);
const ROUNDS = 8000;

const ACTIONS = ['ec2:CreateSnapshot', 'ec2:DeleteSnapshot', 'ec2:DescribeSnapshots', 'kms:Decrypt', 'EC2:createtags'];
const ACTION_PATTERNS = ['*', 'ec2:*', 'ec2:*Snapshot', 'ec2:Create*', 'kms:?ecrypt', 'ec2:DeleteSnapshot', 'ec2:C*t*'];
const RESOURCES = [
  '*',
  'arn:aws:ec2:us-east-1::snapshot/snap-1',
  'arn:aws:ec2:us-east-1:111122223333:volume/vol-ana',
  'arn:aws:ec2:us-east-1:111122223333:volume/vol-*',
];
const RESOURCE_PATTERNS = [
  '*',
  'arn:aws:ec2:*:*:volume/*',
  'arn:aws:ec2:us-east-?::snapshot/snap-1',
  'arn:aws:ec2:us-east-1:111122223333:volume/vol-${aws:username}',
  "arn:aws:ec2:us-east-1:111122223333:volume/vol-${aws:PrincipalTag/none, 'ana'}",
  'arn:aws:ec2:us-east-1:111122223333:volume/vol-${aws:PrincipalTag/none}',
  'arn:aws:ec2:us-east-1:111122223333:volume/vol-${*}',
];
const KEYS = [
  'aws:username',
  'aws:TagKeys',
  'ec2:VolumeSize',
  'aws:SourceIp',
  'aws:CurrentTime',
  'aws:PrincipalArn',
  'ec2:Encrypted',
];
const VALUES: Readonly<Record<string, readonly string[]>> = {
  String: ['ana', 'A*', 'a?a', '${aws:username}', 'x', '${aws:nobody}', "${aws:nobody, 'ana'}", 'ANA', '${*}'],
  Numeric: ['8', '100', '8.0', '-1', '1e2'],
  Date: ['2026-01-01T00:00:00Z', '2026-06-01', '1767225600', '2027-01-01T00:00:00.5Z'],
  Bool: ['true', 'false', 'TRUE'],
  Ip: ['10.0.0.0/8', '192.0.2.7', '0.0.0.0/0', '192.0.2.0/31'],
  Arn: ['*', 'arn:aws:iam::*:user/ana', 'arn:aws:iam::111122223333:*', 'arn:*:iam:*:111122223333:user/a*'],
  Null: ['true', 'false'],
};
const OPERATORS: readonly (readonly [string, string])[] = [
  ...[
    'StringEquals',
    'StringNotEquals',
    'StringEqualsIgnoreCase',
    'StringNotEqualsIgnoreCase',
    'StringLike',
    'StringNotLike',
  ].map((name) => [name, 'String'] as const),
  ...['Equals', 'NotEquals', 'LessThan', 'LessThanEquals', 'GreaterThan', 'GreaterThanEquals'].flatMap((name) => [
    [`Numeric${name}`, 'Numeric'] as const,
    [`Date${name}`, 'Date'] as const,
  ]),
  ['Bool', 'Bool'],
  ['IpAddress', 'Ip'],
  ['NotIpAddress', 'Ip'],
  ...['ArnEquals', 'ArnLike', 'ArnNotEquals', 'ArnNotLike'].map((name) => [name, 'Arn'] as const),
  ['Null', 'Null'],
];
const CONTEXT_VALUES: Readonly<Record<string, readonly string[]>> = {
  'aws:username': ['ana', 'Ana', '*', 'bo'],
  'aws:TagKeys': ['ana', 'x', 'A*'],
  'ec2:VolumeSize': ['8', '100', '7.5'],
  'aws:SourceIp': ['192.0.2.7', '10.1.2.3', '192.0.2.1'],
  'aws:CurrentTime': ['2026-01-01T00:00:00Z', '2026-06-01T00:00:00Z', '2028-01-01T00:00:00Z'],
  'aws:PrincipalArn': ['arn:aws:iam::111122223333:user/ana', 'arn:aws:iam::444455556666:user/bo'],
  'ec2:Encrypted': ['true', 'false'],
};
/** So that addresses meet addresses and numbers numbers, mostly. */
const FITTING: Readonly<Record<string, readonly string[]>> = {
  String: KEYS,
  Numeric: ['ec2:VolumeSize'],
  Date: ['aws:CurrentTime'],
  Bool: ['ec2:Encrypted', 'aws:username'],
  Ip: ['aws:SourceIp'],
  Arn: ['aws:PrincipalArn'],
  Null: KEYS,
};

class Maker {
  readonly #random: SeededRandom;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  #one<T>(list: readonly T[]): T {
    const value = list[this.#random.below(list.length)];
    if (value === undefined) throw new Error('the list is not empty');
    return value;
  }

  #some<T>(list: readonly T[], countMax: number): readonly T[] {
    return Array.from({ length: 1 + this.#random.below(countMax) }, () => this.#one(list));
  }

  document(): string {
    return JSON.stringify({
      Version: this.#one(['2012-10-17', '2012-10-17', '2008-10-17']),
      Statement: Array.from({ length: 1 + this.#random.below(3) }, () => this.#statement()),
    });
  }

  #statement(): Record<string, unknown> {
    const statement: Record<string, unknown> = { Effect: this.#one(['Allow', 'Allow', 'Deny']) };
    statement[this.#one(['Action', 'Action', 'NotAction'])] = this.#some(ACTION_PATTERNS, 2);
    statement[this.#one(['Resource', 'Resource', 'NotResource'])] = this.#some(RESOURCE_PATTERNS, 2);
    if (this.#random.below(3) > 0) {
      const conditions: Record<string, Record<string, unknown>> = {};
      for (const [operator, family] of this.#some(OPERATORS, 2)) {
        const quantifier = family === 'Null' ? '' : this.#one(['', '', 'ForAllValues:', 'ForAnyValue:']);
        const suffix = family === 'Null' ? '' : this.#one(['', '', 'IfExists']);
        const key = this.#one(FITTING[family] ?? KEYS);
        conditions[`${quantifier}${operator}${suffix}`] = {
          [this.#one([key, key.toUpperCase()])]: this.#some(VALUES[family] ?? [], 2),
        };
      }
      statement['Condition'] = conditions;
    }
    return statement;
  }

  request(): NaiveRequest {
    const context: Record<string, readonly string[]> = {};
    for (const key of KEYS) {
      const values = CONTEXT_VALUES[key] ?? [];
      if (this.#random.below(4) > 0) context[key] = key === 'aws:TagKeys' ? this.#some(values, 3) : [this.#one(values)];
    }
    return { action: this.#one(ACTIONS), resource: this.#one(RESOURCES), context };
  }
}

function policyOf(source: string): Policy {
  const parsed = parsePolicy(source, 'identity');
  if (parsed.kind === 'malformed') throw new Error(`${parsed.reason}: ${source}`);
  return parsed.policy;
}

function requestOf({ action, resource, context }: NaiveRequest): PolicyRequest {
  return {
    action,
    resource,
    principal: { account: '111122223333', isRoot: false, arns: [] },
    context: new Map(Object.entries(context).map(([key, values]) => [key.toLowerCase(), values])),
  };
}

test(`the evaluator agrees with a naive one on ${ROUNDS} random policies and requests, seed ${SEED}`, () => {
  const maker = new Maker(new SeededRandom(SEED));
  const verdicts = new Map<string, number>();
  for (let round = 0; round < ROUNDS; round += 1) {
    const documents = Array.from({ length: 1 + (round % 2) }, () => maker.document());
    const request = maker.request();
    const expected = naiveDecision(documents, request);
    const found = evaluateIdentity(documents.map(policyOf), requestOf(request));
    if (found !== expected) {
      assert.fail(
        `${found} instead of ${expected}, round ${round}: ${documents.join(' and ')} for ${JSON.stringify(request)}`,
      );
    }
    verdicts.set(found, (verdicts.get(found) ?? 0) + 1);
  }
  // The cases are of all three kinds; otherwise the comparison says little.
  for (const verdict of ['allow', 'deny', 'none']) assert((verdicts.get(verdict) ?? 0) > ROUNDS / 50, verdict);
});

test(`more allowing is never less denying: a deny stays whatever is added, seed ${SEED}`, () => {
  const maker = new Maker(new SeededRandom(SEED + 1));
  for (let round = 0; round < 2000; round += 1) {
    const [first, second] = [policyOf(maker.document()), policyOf(maker.document())];
    const request = requestOf(maker.request());
    const alone = evaluateIdentity([first], request);
    const together = evaluateIdentity([first, second], request);
    if (alone === 'deny') assert.equal(together, 'deny');
    if (alone === 'allow') assert.notEqual(together, 'none');
    assert.equal(together, evaluateIdentity([second, first], request), 'the order of policies does not matter');
  }
});
