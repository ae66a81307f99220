import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AwsRefusal } from '#api/aws-error.ts';
import { DomainError } from '#domain/errors.ts';
import { mapFailure } from './errors.ts';
import { parseTags, parseTagSpecifications, TAGS_MAX } from './tag-rules.ts';

function answerTo(ask: () => unknown): string {
  try {
    ask();
    return 'accepted';
  } catch (error) {
    if (error instanceof AwsRefusal) return `${error.error.code}: ${error.error.message}`;
    assert.ok(error instanceof DomainError);
    const mapped = mapFailure(error.failure);
    return `${mapped.code}: ${mapped.message}`;
  }
}

function answerToTag(Key: string, Value?: string): string {
  return answerTo(() => parseTags([{ Key, Value }]));
}

test('a key has 1 to 128 characters and a value up to 256', () => {
  assert.equal(answerToTag('k'.repeat(128), 'v'.repeat(256)), 'accepted');
  assert.equal(
    answerToTag('k'.repeat(129)),
    'InvalidParameterValue: Tag key exceeds the maximum length of 128 characters',
  );
  assert.equal(
    answerToTag('k', 'v'.repeat(257)),
    'InvalidParameterValue: Tag value exceeds the maximum length of 256 characters',
  );
  assert.match(answerToTag(''), /^InvalidTagKey\.Malformed: /);
});

test('lengths count characters, not the halves of surrogate pairs', () => {
  assert.equal(answerToTag('😀'.repeat(128), '😀'.repeat(256)), 'accepted');
  assert.match(answerToTag('😀'.repeat(129)), /^InvalidParameterValue: Tag key exceeds/);
});

test('keys that begin with aws: are reserved, whatever the letters', () => {
  const text = "InvalidParameterValue: Tag keys starting with 'aws:' are reserved for internal use";
  assert.equal(answerToTag('aws:x'), text);
  assert.equal(answerToTag('AWS:x'), text);
  assert.equal(answerToTag('awsx'), 'accepted');
});

test('names of what every object has are ordinary keys', () => {
  for (const key of ['__proto__', 'constructor', 'toString']) {
    assert.deepEqual(parseTags([{ Key: key, Value: 'v' }]), [{ key, value: 'v' }]);
  }
});

test('keys are case-sensitive and come once', () => {
  assert.equal(
    answerTo(() => parseTags([{ Key: 'a' }, { Key: 'A' }])),
    'accepted',
  );
  assert.equal(
    answerTo(() => parseTags([{ Key: 'a' }, { Key: 'a', Value: 'x' }])),
    "InvalidParameterValue: Duplicate tag key 'a' specified.",
  );
});

test('a tag without a value has the empty one, and one without a key is refused', () => {
  assert.deepEqual(parseTags([{ Key: 'a' }]), [{ key: 'a', value: '' }]);
  assert.equal(
    answerTo(() => parseTags([{ Key: 'a' }, { Value: 'x' }])),
    'MissingParameter: The request must contain the parameter Tag.2.Key',
  );
});

test('a resource takes 50 tags at once', () => {
  const tags = Array.from({ length: TAGS_MAX }, (_, index) => ({ Key: `k${index}` }));
  assert.equal(
    answerTo(() => parseTags(tags)),
    'accepted',
  );
  assert.match(
    answerTo(() => parseTags([...tags, { Key: 'more' }])),
    /^TagLimitExceeded: /,
  );
});

test('control characters are refused, a line break is not', () => {
  assert.equal(answerToTag('a', 'two\nlines'), 'accepted');
  assert.match(answerToTag('a', 'bell\u0007'), /^InvalidParameterValue: /);
  assert.match(answerToTag('a\u0000'), /^InvalidParameterValue: /);
});

test('a tag specification says what it is for', () => {
  const tags = [{ Key: 'a', Value: 'b' }];
  assert.deepEqual(parseTagSpecifications([{ ResourceType: 'snapshot', Tags: tags }], 'snapshot'), [
    { key: 'a', value: 'b' },
  ]);
  assert.equal(
    answerTo(() => parseTagSpecifications([{ Tags: tags }], 'snapshot')),
    'InvalidParameterValue: Tag specification resource type must have a value',
  );
  for (const type of [
    'volume',
    'instance',
    'vpc-block-public-access-exclusion',
    'ipam-resource-discovery',
    'nonsense',
  ]) {
    assert.equal(
      answerTo(() => parseTagSpecifications([{ ResourceType: type, Tags: tags }], 'snapshot')),
      `InvalidParameterValue: '${type}' is not a valid taggable resource type for this operation.`,
    );
  }
});

test('a tag specification has tags, and there is one of a type', () => {
  const one = { ResourceType: 'volume', Tags: [{ Key: 'a' }] };
  assert.deepEqual(parseTagSpecifications(undefined, 'volume'), []);
  assert.match(
    answerTo(() => parseTagSpecifications([{ ResourceType: 'volume' }], 'volume')),
    /at least one tag$/,
  );
  assert.match(
    answerTo(() => parseTagSpecifications([one, one], 'volume')),
    /more than once/,
  );
});
