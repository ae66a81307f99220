import type { Handler } from '#api/handler.ts';
import { kmsCallOf } from '#api/kms/calls.ts';
import * as control from '#control/direct-write.ts';
import { CHUNK_BYTES, VOLUME_GIB_MAX } from '#domain/geometry.ts';
import type { Tag } from '#domain/tags.ts';
import type { InputOf, OutputOf } from '#wire/aws/operations.ts';
import { checksumPartMissing, invalid } from './errors.ts';
import { requireSnapshotId } from './ids.ts';

type StartSnapshotRequest = InputOf<'ebs', 'StartSnapshot'>;
type CompleteSnapshotRequest = InputOf<'ebs', 'CompleteSnapshot'>;

export const startSnapshot: Handler<StartSnapshotRequest, OutputOf<'ebs', 'StartSnapshot'>> = async (
  context,
  request,
) => {
  const { ports, scope, invocationId } = context;
  const { VolumeSize: sizeGib, Description: description, ParentSnapshotId: parentText } = request;
  refuseContradictions(request);
  if (!(sizeGib >= 1 && sizeGib <= VOLUME_GIB_MAX)) {
    throw invalid('INVALID_VOLUME_SIZE', `Volume size must be between 1 and ${VOLUME_GIB_MAX} GiB.`);
  }
  const parent = parentText === undefined ? null : requireSnapshotId(parentText);
  const tags = parseTags(request.Tags ?? []);
  const snapshot = await control.startSnapshot(ports, scope, {
    sizeGib,
    parent,
    description: description ?? '',
    tags,
    token: request.ClientToken ?? (invocationId === null ? null : `call ${invocationId}`),
    timeoutMinutes: request.Timeout ?? null,
    encryption: {
      isEncrypted: request.Encrypted === true || request.KmsKeyArn !== undefined,
      key: request.KmsKeyArn ?? null,
    },
    caller: kmsCallOf(context).caller,
  });
  return {
    ...(description === undefined ? {} : { Description: description }),
    SnapshotId: snapshot.id,
    OwnerId: snapshot.account,
    Status: 'pending',
    StartTime: new Date(snapshot.startedAtMs),
    VolumeSize: snapshot.volumeSizeGib,
    BlockSize: CHUNK_BYTES,
    ...(snapshot.encryption === null ? {} : { KmsKeyArn: snapshot.encryption.keyArn }),
    ...(tags.length === 0 ? {} : { Tags: tags.map(({ key, value }) => ({ Key: key, Value: value })) }),
    ...(parent === null ? {} : { ParentSnapshotId: parent }),
  };
};

/** Contradictions, as AWS has them. */
function refuseContradictions(request: StartSnapshotRequest): void {
  const { ParentSnapshotId: parent, Encrypted: encrypted, KmsKeyArn: key } = request;
  if (parent !== undefined && key !== undefined) {
    throw invalid('INVALID_PARAMETER_VALUE', 'ParentSnapshotId and KmsKeyArn cannot be specified together');
  }
  if (parent !== undefined && encrypted !== undefined) {
    throw invalid('INVALID_PARAMETER_VALUE', 'ParentSnapshotId and Encrypted cannot be specified together');
  }
  if (encrypted === false && key !== undefined) {
    throw invalid('INVALID_PARAMETER_VALUE', 'Encrypted cannot be false when KmsKeyArn is specified');
  }
}

/** Their characters and lengths are checked with the snapshot; here, that no key comes twice and none is missing. */
function parseTags(requests: NonNullable<StartSnapshotRequest['Tags']>): readonly Tag[] {
  const keys = new Set<string>();
  return requests.map(({ Key: key, Value: value }) => {
    if (key === undefined || key === '') throw invalid('INVALID_TAG', 'A tag key is missing or empty.');
    if (keys.has(key)) throw invalid('INVALID_TAG', `Duplicate tag key '${key}' specified.`);
    keys.add(key);
    return { key, value: value ?? '' };
  });
}

export const putSnapshotBlock: Handler<
  InputOf<'ebs', 'PutSnapshotBlock'>,
  OutputOf<'ebs', 'PutSnapshotBlock'>
> = async (context, request) => {
  const { ports, scope } = context;
  const id = requireSnapshotId(request.SnapshotId);
  const { BlockData: bytes, DataLength: length, BlockIndex: index, Checksum: checksum } = request;
  if (length !== CHUNK_BYTES) {
    throw invalid('INVALID_BLOCK', `Block data length ${length} is not valid, expected ${CHUNK_BYTES}`);
  }
  if (bytes.length !== CHUNK_BYTES) throw invalid('INVALID_PARAMETER_VALUE', 'Failed to read block data');
  // Refuses when the bytes have another checksum, so what was sent is what was computed.
  await control.putBlock(ports, scope, id, index, bytes, checksum, kmsCallOf(context).caller);
  return { Checksum: checksum, ChecksumAlgorithm: 'SHA256' };
};

export const completeSnapshot: Handler<CompleteSnapshotRequest, OutputOf<'ebs', 'CompleteSnapshot'>> = async (
  { ports, scope },
  request,
) => {
  const id = requireSnapshotId(request.SnapshotId);
  const snapshot = await control.completeSnapshot(ports, scope, id, {
    changedBlocksCount: request.ChangedBlocksCount,
    checksum: parseChecksum(request),
  });
  return { Status: snapshot.state === 'completed' || snapshot.state === 'error' ? snapshot.state : 'pending' };
};

/** The checksum, its algorithm and its way of aggregation come together or not at all. */
function parseChecksum(request: CompleteSnapshotRequest): string | null {
  const { Checksum: checksum, ChecksumAlgorithm: algorithm, ChecksumAggregationMethod: method } = request;
  if (checksum === undefined && algorithm === undefined && method === undefined) return null;
  if (checksum === undefined) throw checksumPartMissing('Snapshot checksum');
  if (algorithm === undefined) throw checksumPartMissing('Checksum algorithm');
  if (method === undefined) throw checksumPartMissing('Checksum aggregation method');
  return checksum;
}
