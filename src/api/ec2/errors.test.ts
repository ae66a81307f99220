import assert from 'node:assert/strict';
import { test } from 'node:test';
import { present } from '#base/assert.ts';
import { parseSnapshotId, parseVolumeId } from '#domain/ids.ts';
import { dryRunSucceeded, mapFailure } from './errors.ts';

const volume = present(parseVolumeId('vol-1234abcd'), 'a volume');
const snapshot = present(parseSnapshotId('snap-1a2b3c4d'), 'a snapshot');

test('what does not exist is 400 in EC2, with the id between single quotes', () => {
  assert.deepEqual(mapFailure({ kind: 'not-found', resource: 'volume', id: volume }), {
    code: 'InvalidVolume.NotFound',
    message: "The volume 'vol-1234abcd' does not exist.",
    status: 400,
  });
  assert.deepEqual(mapFailure({ kind: 'not-found', resource: 'snapshot', id: snapshot }), {
    code: 'InvalidSnapshot.NotFound',
    message: "The snapshot 'snap-1a2b3c4d' does not exist.",
    status: 400,
  });
});

test('the text on which Terraform retries is exact', () => {
  const error = mapFailure({ kind: 'snapshot-rate', volume });
  assert.equal(error.code, 'SnapshotCreationPerVolumeRateExceeded');
  assert.equal(
    error.message,
    'The maximum per volume CreateSnapshot request rate has been exceeded. Use an increasing or variable sleep interval between requests.',
  );
});

function codeOf(failure: Parameters<typeof mapFailure>[0]): string {
  return mapFailure(failure).code;
}

test('limits have the codes that EC2 has for them', () => {
  assert.equal(
    codeOf({ kind: 'limit', limit: 'pending-snapshots-per-volume', max: 5 }),
    'ConcurrentSnapshotLimitExceeded',
  );
  assert.equal(codeOf({ kind: 'limit', limit: 'pending-snapshots', max: 5 }), 'PendingSnapshotLimitExceeded');
  assert.equal(codeOf({ kind: 'limit', limit: 'snapshots', max: 5 }), 'SnapshotLimitExceeded');
  assert.equal(codeOf({ kind: 'limit', limit: 'volumes', max: 5 }), 'VolumeLimitExceeded');
  assert.equal(codeOf({ kind: 'limit', limit: 'provisioned-iops', max: 5 }), 'MaxIOPSLimitExceeded');
  assert.equal(codeOf({ kind: 'limit', limit: 'tags', max: 50 }), 'TagLimitExceeded');
});

test('other refusals have the codes that EC2 has for them', () => {
  assert.equal(mapFailure({ kind: 'in-use', resource: 'volume', id: volume, by: 'i-1' }).code, 'VolumeInUse');
  assert.equal(
    mapFailure({ kind: 'wrong-state', resource: 'snapshot', id: snapshot, state: 'pending' }).code,
    'IncorrectState',
  );
  assert.equal(mapFailure({ kind: 'token-mismatch', token: 't' }).code, 'IdempotentParameterMismatch');
  assert.equal(mapFailure({ kind: 'page-token-invalid' }).code, 'InvalidNextToken');
  assert.equal(
    mapFailure({ kind: 'zone-not-found', zone: 'us-east-1z' }).message,
    "The zone 'us-east-1z' does not exist.",
  );
  assert.equal(mapFailure({ kind: 'unsupported', what: 'x' }).code, 'UnsupportedOperation');
});

test('every refusal is one that clients do not repeat, with a message', () => {
  const failures: Parameters<typeof mapFailure>[0][] = [
    { kind: 'name-taken', name: 'n' },
    { kind: 'invalid-value', field: 'size', reason: 'r' },
    { kind: 'missing', field: 'size' },
    { kind: 'exclusive', fields: ['a', 'b'] },
    { kind: 'malformed-id', resource: 'snapshot', id: 'x' },
    { kind: 'unrelated-snapshots', first: snapshot, second: snapshot },
    { kind: 'block-token-invalid' },
    { kind: 'checksum-mismatch' },
    { kind: 'block-conflict', snapshot, index: 1 },
    { kind: 'block-count-mismatch', snapshot, expected: 1, given: 2 },
    { kind: 'tag-key-reserved', key: 'aws:x' },
  ];
  for (const failure of failures) {
    const error = mapFailure(failure);
    assert.equal(error.status, 400, failure.kind);
    assert.ok(error.message.length > 0, failure.kind);
  }
});

test('a dry run that would succeed is 412', () => {
  assert.deepEqual(dryRunSucceeded().error, {
    code: 'DryRunOperation',
    message: 'Request would have succeeded, but DryRun flag is set.',
    status: 412,
  });
});
