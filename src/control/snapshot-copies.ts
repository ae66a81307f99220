import { assert } from '#base/assert.ts';
import type { Encryption } from '#domain/encryption.ts';
import { DomainError, refuse } from '#domain/errors.ts';
import { COPIED_VOLUME_ID, cutIdOf, newSnapshotId, type RegionName, type SnapshotId } from '#domain/ids.ts';
import type { Outpost } from '#domain/outpost.ts';
import { NO_SNAPSHOT_DETAILS, type Snapshot } from '#domain/snapshot.ts';
import { EC2_TAG_RULES, type Tag, tagsOf } from '#domain/tags.ts';
import type { Face, Scope } from '#domain/volume.ts';
import type { ReadTx, Tx } from '#meta/meta-store.ts';
import { type FoundAgain, once } from './creation.ts';
import { findTokenResult, recordToken, type TokenUse } from './idempotency.ts';
import type { Caller } from './kms/access.ts';
import { encryptionCall, type EncryptionAsked, encryptionOfCopy, NOTHING_ASKED } from './kms/volume-encryption.ts';
import { isSnapshotId, refuseUnusable, snapshotBegun, snapshotUsable } from './lookup.ts';
import { outpostAsked, refuseLocal } from './outposts.ts';
import type { ControlPorts } from './ports.ts';
import { checkSnapshotCount } from './snapshots.ts';

/*
 * A copy is a snapshot that is pending from the first transaction on: there is no cut, so nothing can be half begun. The
 * task `upload-snapshots` has the host copy what the source holds. Within an account the chunks are shared, also between
 * regions; for another account they are sealed anew. Deleting a pending copy ends it. A source that is deleted or archived
 * meanwhile is gone at once for clients, and its bytes stay where they are until its copies are done.
 */

export interface CopySnapshot {
  readonly face: Face;
  /** Where the source is; the copy comes to the scope's region. */
  readonly sourceRegion: RegionName;
  readonly source: SnapshotId;
  readonly description: string;
  readonly tags: readonly Tag[];
  /** Shown with the copy; null: nothing was asked for. */
  readonly completionDurationMinutes: number | null;
  /** What the request says about encryption; missing: nothing. */
  readonly encryption?: EncryptionAsked;
  /** Whose permissions for the KMS keys count; missing: the account's. */
  readonly caller?: Caller;
  /** ARN of the Outpost that it is to be on; null or missing: it comes to the region. */
  readonly outpost?: string | null;
  readonly token: string | null;
}

/** What a copy shows whose key may not be used: AWS looks at keys after it has answered. */
const KEY_UNUSABLE = 'Given key ID is not accessible';

/**
 * Resolves with the pending copy. Refuses: not-found (the source is not there, or not shared with the account), wrong-state
 * (not completed), invalid-value (tags), limit, token-mismatch.
 */
export async function copySnapshot(ports: ControlPorts, scope: Scope, request: CopySnapshot): Promise<Snapshot> {
  const { snapshot } = await once<SnapshotId, { readonly snapshot: Snapshot }>(ports, {
    newId: () => newSnapshotId(ports.random),
    make: async (id) => {
      // First: the source may be gone since.
      const again = await ports.meta.read((tx) => findAgain(tx, scope, request));
      if (again !== null) return again;
      const encryption = await encryptionFor(ports, scope, request);
      return await ports.meta.transact((tx) => record(ports, tx, scope, id, request, encryption));
    },
    findAgain: (id) => ports.meta.read(async (tx) => ({ snapshot: await snapshotBegun(tx, id) })),
    isSettled: () => true,
  });
  ports.wake('upload-snapshots');
  return snapshot;
}

/** `unusable`: the copy fails. Refuses: not-found, wrong-state; key-unusable, when there is no such key at all. */
async function encryptionFor(
  ports: ControlPorts,
  scope: Scope,
  request: CopySnapshot,
): Promise<Encryption | 'unusable' | null> {
  const source = await findCopySource(ports, scope, request);
  const call = encryptionCall(ports, scope, request.caller ?? null);
  try {
    const asked = request.encryption ?? NOTHING_ASKED;
    // Outposts have nothing that is not encrypted.
    const isLocal = outpostAsked(ports, scope, request.outpost) !== null;
    return await encryptionOfCopy(call, isLocal ? { ...asked, isEncrypted: true } : asked, source);
  } catch (error) {
    const failure = error instanceof DomainError ? error.failure : null;
    if (failure?.kind === 'key-unusable' && failure.problem !== 'not-found') return 'unusable';
    throw error;
  }
}

async function record(
  ports: ControlPorts,
  tx: Tx,
  scope: Scope,
  id: SnapshotId,
  request: CopySnapshot,
  encryption: Encryption | 'unusable' | null,
): Promise<{ readonly snapshot: Snapshot } | FoundAgain<SnapshotId>> {
  const again = await findAgain(tx, scope, request);
  if (again !== null) return again;
  const source = await sourceOf(tx, scope, request);
  const tags = tagsOf(EC2_TAG_RULES, request.tags, ports.limitsOf(scope.account).tagCountMax);
  await checkCopyCount(ports, tx, scope);
  const { face, description, completionDurationMinutes } = request;
  const outpost = checkCopyPlace(ports, scope, request);
  const snapshot: Snapshot = {
    ...copyOf(source, scope, id, ports.time.latestMs()),
    ...(encryption === 'unusable'
      ? { state: 'error', stateMessage: KEY_UNUSABLE, encryption: null, released: true }
      : { encryption }),
    face,
    description,
    completionDurationMinutes,
    outpost: outpost?.arn ?? null,
    tags,
  };
  await tx.snapshots.insert(snapshot);
  await recordToken(tx, scope, useOf(request), id, snapshot.startedAtMs);
  return { snapshot };
}

/** Whether there may be one more copy in the scope. Refuses: limit. */
export async function checkCopyCount(ports: ControlPorts, tx: Tx, scope: Scope): Promise<void> {
  const { pendingCopyCountMax, snapshotCountMax } = ports.limitsOf(scope.account);
  if ((await tx.snapshots.countCopies(scope)) >= pendingCopyCountMax) {
    refuse({ kind: 'limit', limit: 'pending-copies', max: pendingCopyCountMax });
  }
  await checkSnapshotCount(tx, scope, snapshotCountMax);
}

function useOf({ token, caller: _caller, ...request }: CopySnapshot): TokenUse {
  return { purpose: 'copy-snapshot', token, request };
}

/** What the token made before; null: nothing. Refuses: token-mismatch. */
async function findAgain(tx: ReadTx, scope: Scope, request: CopySnapshot): Promise<FoundAgain<SnapshotId> | null> {
  const again = await findTokenResult(tx, scope, useOf(request));
  if (again === null) return null;
  assert(isSnapshotId(again), 'the token of a snapshot names a snapshot');
  return { again };
}

/** What a request that asks only whether it would succeed needs, too. Refuses: not-found, wrong-state. */
export async function findCopySource(
  ports: ControlPorts,
  scope: Scope,
  request: Pick<CopySnapshot, 'source' | 'sourceRegion'>,
): Promise<Snapshot> {
  return await ports.meta.read((tx) => sourceOf(tx, scope, request));
}

async function sourceOf(
  tx: ReadTx,
  { account }: Scope,
  { source: id, sourceRegion: region }: Pick<CopySnapshot, 'source' | 'sourceRegion'>,
): Promise<Snapshot> {
  const source = await snapshotUsable(tx, { account, region }, id);
  refuseUnusable(source);
  // To a region, another Outpost, or within its own.
  refuseLocal(source, 'A copy');
  return source;
}

/** Copies to an Outpost are made from its own region. Refuses: invalid-value. */
export function checkCopyPlace(
  ports: Pick<ControlPorts, 'outposts'>,
  scope: Scope,
  request: Pick<CopySnapshot, 'sourceRegion' | 'outpost'>,
): Outpost | null {
  const outpost = outpostAsked(ports, scope, request.outpost);
  if (outpost === null || outpost.region === request.sourceRegion) return outpost;
  const reason = `The snapshot must be in ${outpost.region}, the Region of the Outpost.`;
  refuse({ kind: 'invalid-value', field: 'sourceRegion', reason });
}

/** The record of a pending copy in another scope, without tags, description and name. It is of the source's lineage: copies of one lineage can be compared where they are. */
export function copyOf(source: Snapshot, scope: Scope, id: SnapshotId, nowMs: number): Snapshot {
  return {
    account: scope.account,
    region: scope.region,
    id,
    face: 'ec2',
    name: null,
    volume: COPIED_VOLUME_ID,
    volumeName: null,
    volumeSizeGib: source.volumeSizeGib,
    state: 'pending',
    stateMessage: null,
    progressPercent: 0,
    description: '',
    startedAtMs: nowMs,
    completedAtMs: null,
    cut: cutIdOf(id),
    epoch: null,
    parent: null,
    fullBytes: null,
    changedBytes: null,
    storedBytes: null,
    direct: false,
    sealed: true,
    // So that the uploader finds it; the host keeps nothing for it.
    released: false,
    timeoutMinutes: null,
    touchedAtMs: null,
    lineage: source.lineage,
    ...NO_SNAPSHOT_DETAILS,
    encryption: source.encryption,
    productCodes: source.productCodes,
    copiedFrom: { snapshot: source.id, region: source.region },
    tags: {},
  };
}
