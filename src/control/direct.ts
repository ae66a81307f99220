import { createHash, timingSafeEqual } from 'node:crypto';
import { refuse } from '#domain/errors.ts';
import type { SnapshotId } from '#domain/ids.ts';
import { isRelated } from '#domain/lineage.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import type { Scope } from '#domain/volume.ts';
import { blockTokenMaker, checkBlockToken } from './block-token.ts';
import { checkBlockIndex } from './block-index.ts';
import type { Caller } from './kms/access.ts';
import { openDataKey } from './kms/data-keys.ts';
import { encryptionCall } from './kms/volume-encryption.ts';
import { refuseUnusable, snapshotReadable } from './lookup.ts';
import { refuseLocal } from './outposts.ts';
import { makePageToken, readPageToken } from './page-token.ts';
import type { ControlPorts } from './ports.ts';

// Reading snapshots block by block. EBS direct's block is a chunk: 524,288 bytes. Writing is in direct-write.ts.

/** What local snapshots are not for; the direct APIs are of the region. */
const DIRECT = 'The direct use';

export interface ListBlocks {
  /** First block index to list; only without `after`. */
  readonly start: number | null;
  readonly after: string | null;
  readonly countMax: number;
}

export interface BlockList {
  /** Its size is `volumeSizeGib`. */
  readonly snapshot: Snapshot;
  /** Until when the block tokens may be used. */
  readonly expiresAtMs: number;
  readonly blocks: readonly { readonly index: number; readonly token: string }[];
  readonly next: string | null;
}

/** Blocks that a completed snapshot holds. Refuses: not-found, wrong-state (not completed), page-token-invalid, invalid-value (start). */
export async function listBlocks(
  ports: ControlPorts,
  scope: Scope,
  id: SnapshotId,
  request: ListBlocks,
): Promise<BlockList> {
  const snapshot = await ports.meta.read((tx) => snapshotReadable(tx, scope, id));
  refuseUnusable(snapshot);
  refuseLocal(snapshot, DIRECT);
  const list = `blocks ${id}`;
  const start = startOf(ports, scope, list, request, snapshot);
  const page = await ports.host.listBlocks(id, start, request.countMax);
  const { expiresAtMs, token } = blockTokenMaker(ports, scope);
  return {
    snapshot,
    expiresAtMs,
    blocks: page.blocks.map(({ index, key }) => ({ index, token: token({ snapshot: id, index }, key) })),
    next: page.next === null ? null : makePageToken(ports, scope, list, page.next),
  };
}

export interface ChangedBlockList {
  /** The second one. */
  readonly snapshot: Snapshot;
  readonly expiresAtMs: number;
  /** A token is null where that snapshot holds nothing. */
  readonly blocks: readonly {
    readonly index: number;
    readonly firstToken: string | null;
    readonly secondToken: string | null;
  }[];
  readonly next: string | null;
}

/** Blocks that differ; `first` null: all of the second. Refuses as listBlocks, and unrelated-snapshots. */
export async function changedBlocks(
  ports: ControlPorts,
  scope: Scope,
  request: ListBlocks & { readonly first: SnapshotId | null; readonly second: SnapshotId },
): Promise<ChangedBlockList> {
  const { first, second } = request;
  if (first === null) {
    const all = await listBlocks(ports, scope, second, request);
    const blocks = all.blocks.map(({ index, token }) => ({ index, firstToken: null, secondToken: token }));
    return { ...all, blocks };
  }
  const snapshots = await ports.meta.read(async (tx) => ({
    first: await snapshotReadable(tx, scope, first),
    second: await snapshotReadable(tx, scope, second),
  }));
  refuseUnusable(snapshots.first);
  refuseUnusable(snapshots.second);
  refuseLocal(snapshots.first, DIRECT);
  refuseLocal(snapshots.second, DIRECT);
  if (!isRelated(snapshots.first, snapshots.second)) refuse({ kind: 'unrelated-snapshots', first, second });
  const list = `changed blocks ${first} ${second}`;
  const start = startOf(ports, scope, list, request, snapshots.second);
  const page = await ports.host.changedBlocks(first, second, start, request.countMax);
  const { expiresAtMs, token } = blockTokenMaker(ports, scope);
  const tokenOf = (snapshot: SnapshotId, index: number, key: string | null): string | null =>
    key === null ? null : token({ snapshot, index }, key);
  return {
    snapshot: snapshots.second,
    expiresAtMs,
    blocks: page.blocks.map(({ index, firstKey, secondKey }) => ({
      index,
      firstToken: tokenOf(first, index, firstKey),
      secondToken: tokenOf(second, index, secondKey),
    })),
    next: page.next === null ? null : makePageToken(ports, scope, list, page.next),
  };
}

/**
 * One block, verified. `caller` null: the account. Refuses: not-found, wrong-state, block-token-invalid, invalid-value
 * (block-index), key-unusable.
 */
export async function getBlock(
  ports: ControlPorts,
  scope: Scope,
  id: SnapshotId,
  index: number,
  token: string,
  caller: Caller | null = null,
): Promise<{ readonly bytes: Uint8Array; readonly sha256Base64: string }> {
  const snapshot = await ports.meta.read((tx) => snapshotReadable(tx, scope, id));
  refuseUnusable(snapshot);
  refuseLocal(snapshot, DIRECT);
  const { encryption } = snapshot;
  const dataKey = encryption === null ? null : await openDataKey(encryptionCall(ports, scope, caller), encryption);
  checkBlockIndex(snapshot, index);
  const key = checkBlockToken(ports, scope, { snapshot: id, index }, token);
  if (key === null) refuse({ kind: 'block-token-invalid' });
  const block = await ports.host.readBlock(id, index, dataKey?.toString('base64') ?? null);
  dataKey?.fill(0);
  if (block === null || !timingSafeEqual(keyDigest(block.key), keyDigest(key))) refuse({ kind: 'block-token-invalid' });
  return { bytes: block.bytes, sha256Base64: createHash('sha256').update(block.bytes).digest('base64') };
}

/** Of one length, whatever is compared. */
function keyDigest(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}

function startOf(ports: ControlPorts, scope: Scope, list: string, request: ListBlocks, snapshot: Snapshot): number {
  if (request.after !== null) return readPageToken(ports, scope, list, request.after);
  const start = request.start ?? 0;
  if (start !== 0) checkBlockIndex(snapshot, start, 'start');
  return start;
}
