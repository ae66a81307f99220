import assert from 'node:assert/strict';
import { test } from 'node:test';
import { present } from '#base/assert.ts';
import type { Failure } from '#domain/errors.ts';
import { parseSnapshotId, parseVolumeId } from '#domain/ids.ts';
import { loadModel } from '#wire/aws/model.ts';
import { mapFailure } from './errors.ts';

const snapshot = present(parseSnapshotId('snap-1a2b3c4d'), 'a snapshot');
const volume = present(parseVolumeId('vol-1a2b3c4d'), 'a volume');

function answerTo(failure: Failure, operation = 'ListSnapshotBlocks'): string {
  const { code, status, members } = mapFailure(failure, { operation });
  return `${status} ${code} ${members?.['Reason'] ?? '-'}`;
}

test('what is refused has a code, and a reason from the model', () => {
  assert.equal(
    answerTo({ kind: 'not-found', resource: 'snapshot', id: snapshot }),
    '404 ResourceNotFoundException SNAPSHOT_NOT_FOUND',
  );
  assert.equal(answerTo({ kind: 'block-token-invalid' }), '400 ValidationException INVALID_BLOCK_TOKEN');
  assert.equal(answerTo({ kind: 'page-token-invalid' }), '400 ValidationException INVALID_PAGE_TOKEN');
  assert.equal(
    answerTo({ kind: 'unrelated-snapshots', first: snapshot, second: snapshot }),
    '400 ValidationException UNRELATED_SNAPSHOTS',
  );
  assert.equal(
    answerTo({ kind: 'block-conflict', snapshot, index: 3 }),
    '400 ValidationException CONFLICTING_BLOCK_UPDATE',
  );
  assert.equal(answerTo({ kind: 'token-mismatch', token: 't' }), '409 ConflictException -');
  assert.equal(
    answerTo({ kind: 'limit', limit: 'direct-snapshots', max: 100 }),
    '400 ConcurrentLimitExceededException -',
  );
  assert.equal(
    answerTo({ kind: 'limit', limit: 'snapshots', max: 100 }),
    '402 ServiceQuotaExceededException DEPENDENCY_SERVICE_QUOTA_EXCEEDED',
  );
  assert.equal(answerTo({ kind: 'snapshot-rate', volume }), '400 RequestThrottledException RESOURCE_LEVEL_THROTTLE');
});

test('a wrong value has the reason of its field', () => {
  const reasons = { size: 'INVALID_VOLUME_SIZE', 'block-index': 'INVALID_BLOCK', 'tag-key': 'INVALID_TAG' };
  for (const [field, reason] of Object.entries({ ...reasons, timeout: 'INVALID_PARAMETER_VALUE' })) {
    assert.equal(answerTo({ kind: 'invalid-value', field, reason: 'r' }), `400 ValidationException ${reason}`);
  }
});

test('bytes that do not fit their checksum are a wrong value', () => {
  assert.equal(
    answerTo({ kind: 'checksum-mismatch' }, 'PutSnapshotBlock'),
    '400 ValidationException INVALID_PARAMETER_VALUE',
  );
  assert.equal(
    answerTo({ kind: 'checksum-mismatch' }, 'CompleteSnapshot'),
    '400 ValidationException INVALID_PARAMETER_VALUE',
  );
});

test('codes and statuses are those of the model', () => {
  const model = loadModel('ebs');
  const failures: readonly Failure[] = [
    { kind: 'not-found', resource: 'snapshot', id: snapshot },
    { kind: 'token-mismatch', token: 't' },
    { kind: 'limit', limit: 'snapshots', max: 1 },
    { kind: 'limit', limit: 'pending-snapshots', max: 1 },
    { kind: 'snapshot-rate', volume },
    { kind: 'page-token-invalid' },
  ];
  for (const failure of failures) {
    const { code, status } = mapFailure(failure, { operation: 'StartSnapshot' });
    assert.equal(model.errors.get(code)?.status, status, code);
  }
});
