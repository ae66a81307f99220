import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AwsRefusal } from '#api/aws-error.ts';
import { nextToken, parsePage, refusePagedIds, UNPAGED_ITEMS_MAX } from './paging.ts';

test('MaxResults is 5 to 1000', () => {
  assert.equal(parsePage({ MaxResults: 5 }).countMax, 5);
  assert.equal(parsePage({ MaxResults: 1000 }).countMax, 1000);
  assert.equal(parsePage({}).countMax, UNPAGED_ITEMS_MAX);
  for (const count of [4, 0, -1, 1001, Number.NaN]) {
    assert.throws(
      () => parsePage({ MaxResults: count }),
      (error) => error instanceof AwsRefusal && error.error.code === 'InvalidParameterValue',
    );
  }
});

test('the text for a small MaxResults is the one that clients know', () => {
  assert.throws(() => parsePage({ MaxResults: 1 }), {
    message:
      'InvalidParameterValue: Value ( 1 ) for parameter maxResults is invalid. Expecting a value greater than 5.',
  });
});

test('an empty NextToken begins at the start', () => {
  assert.equal(parsePage({ NextToken: '' }).after, null);
  assert.equal(parsePage({ NextToken: 'abc' }).after, 'abc');
});

test('the last page has no NextToken', () => {
  assert.deepEqual(nextToken(null), {});
  assert.deepEqual(nextToken('abc'), { NextToken: 'abc' });
});

test('ids and MaxResults exclude each other', () => {
  refusePagedIds(null, { MaxResults: 5 }, 'volumeSet');
  refusePagedIds(['vol-1234abcd'], {}, 'volumeSet');
  assert.throws(() => refusePagedIds(['vol-1234abcd'], { MaxResults: 5 }, 'volumeSet'), {
    message: 'InvalidParameterCombination: The parameter volumeSet cannot be used with the parameter maxResults',
  });
});
