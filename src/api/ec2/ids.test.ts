import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AwsRefusal } from '#api/aws-error.ts';
import { parseIds, requireSnapshotId, requireVolumeId } from './ids.ts';

function answerTo(ask: () => unknown): string {
  try {
    return String(ask());
  } catch (error) {
    assert.ok(error instanceof AwsRefusal);
    assert.equal(error.error.status, 400);
    return `${error.error.code}: ${error.error.message}`;
  }
}

test('ids of 8 and of 17 digits are ids', () => {
  assert.equal(requireVolumeId('vol-1234abcd'), 'vol-1234abcd');
  assert.equal(requireVolumeId('vol-1234567890abcdef0'), 'vol-1234567890abcdef0');
  assert.equal(requireSnapshotId('snap-1a2b3c4d'), 'snap-1a2b3c4d');
  assert.equal(requireSnapshotId('snap-066877671789bd71b'), 'snap-066877671789bd71b');
});

test('what begins like an id and is none is malformed', () => {
  for (const id of [
    'snap-',
    'snap-123',
    'snap-1a2b3c4d5',
    'snap-066877671789BD71B',
    'snap-066877671789bd71b0',
    'snap-x2b3c4d1',
  ]) {
    assert.equal(
      answerTo(() => requireSnapshotId(id)),
      `InvalidSnapshotID.Malformed: Invalid id: "${id}"`,
    );
  }
  assert.equal(
    answerTo(() => requireVolumeId('vol-1')),
    'InvalidVolumeID.Malformed: Invalid id: "vol-1"',
  );
});

test('what is not like an id is a wrong value', () => {
  assert.equal(
    answerTo(() => requireVolumeId('standard')),
    "InvalidParameterValue: Value (standard) for parameter volumeId is invalid. Expected: 'vol-...'.",
  );
  assert.equal(
    answerTo(() => requireVolumeId('snap-1a2b3c4d')),
    "InvalidParameterValue: Value (snap-1a2b3c4d) for parameter volumeId is invalid. Expected: 'vol-...'.",
  );
  assert.equal(
    answerTo(() => requireSnapshotId('')),
    'InvalidParameterValue: Value () for parameter snapshotId is invalid. Parameter may not be null or empty',
  );
});

test('a missing id is a missing parameter', () => {
  assert.equal(
    answerTo(() => requireSnapshotId(undefined)),
    'MissingParameter: The request must contain the parameter SnapshotId',
  );
});

test('ids given twice count once, and none given are null', () => {
  assert.deepEqual(
    parseIds(['vol-1234abcd', 'vol-1234abcd'], (text) => requireVolumeId(text)),
    ['vol-1234abcd'],
  );
  assert.equal(
    parseIds([], (text) => requireVolumeId(text)),
    null,
  );
  assert.equal(
    parseIds(undefined, (text) => requireVolumeId(text)),
    null,
  );
});
