import type { Handler } from '#api/handler.ts';
import { kmsCallOf } from '#api/kms/calls.ts';
import { changedBlocks, getBlock, listBlocks, type ListBlocks } from '#control/direct.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { InputOf, OutputOf } from '#wire/aws/operations.ts';
import { requireSnapshotId } from './ids.ts';

/** AWS's range of MaxResults; the largest is also what a request without one gets. */
const PAGE_BLOCKS_MAX = 10_000;

interface PageRequest {
  readonly NextToken?: string | undefined;
  readonly MaxResults?: number | undefined;
  readonly StartingBlockIndex?: number | undefined;
}

/** With a NextToken, StartingBlockIndex is ignored. The range of MaxResults is the wire's. */
function parsePage({ NextToken: token, MaxResults: count, StartingBlockIndex: start }: PageRequest): ListBlocks {
  const after = token === undefined || token === '' ? null : token;
  return { after, start: after === null ? (start ?? null) : null, countMax: count ?? PAGE_BLOCKS_MAX };
}

export const listSnapshotBlocks: Handler<
  InputOf<'ebs', 'ListSnapshotBlocks'>,
  OutputOf<'ebs', 'ListSnapshotBlocks'>
> = async ({ ports, scope }, request) => {
  const list = await listBlocks(ports, scope, requireSnapshotId(request.SnapshotId), parsePage(request));
  return {
    Blocks: list.blocks.map((block) => ({ BlockIndex: block.index, BlockToken: block.token })),
    ...listView(list),
  };
};

export const listChangedBlocks: Handler<
  InputOf<'ebs', 'ListChangedBlocks'>,
  OutputOf<'ebs', 'ListChangedBlocks'>
> = async ({ ports, scope }, request) => {
  const { FirstSnapshotId: firstText, SecondSnapshotId: secondText } = request;
  const second = requireSnapshotId(secondText);
  const first = firstText === undefined ? null : requireSnapshotId(firstText);
  const list = await changedBlocks(ports, scope, { first, second, ...parsePage(request) });
  return {
    ChangedBlocks: list.blocks.map((block) => ({
      BlockIndex: block.index,
      ...(block.firstToken === null ? {} : { FirstBlockToken: block.firstToken }),
      ...(block.secondToken === null ? {} : { SecondBlockToken: block.secondToken }),
    })),
    ...listView(list),
  };
};

interface BlockPage {
  readonly snapshot: { readonly volumeSizeGib: number };
  readonly expiresAtMs: number;
  readonly next: string | null;
}

function listView({ snapshot, expiresAtMs, next }: BlockPage): Omit<OutputOf<'ebs', 'ListSnapshotBlocks'>, 'Blocks'> {
  return {
    ExpiryTime: new Date(expiresAtMs),
    VolumeSize: snapshot.volumeSizeGib,
    BlockSize: CHUNK_BYTES,
    ...(next === null ? {} : { NextToken: next }),
  };
}

export const getSnapshotBlock: Handler<
  InputOf<'ebs', 'GetSnapshotBlock'>,
  OutputOf<'ebs', 'GetSnapshotBlock'>
> = async (context, request) => {
  const { ports, scope } = context;
  const id = requireSnapshotId(request.SnapshotId);
  const { caller } = kmsCallOf(context);
  const block = await getBlock(ports, scope, id, request.BlockIndex, request.BlockToken, caller);
  return {
    DataLength: block.bytes.length,
    BlockData: block.bytes,
    Checksum: block.sha256Base64,
    ChecksumAlgorithm: 'SHA256',
  };
};
