import { refuse } from '#domain/errors.ts';
import type { RegionName, ResourceId, SnapshotId, VolumeId } from '#domain/ids.ts';
import { hindrance, mayUse, type Snapshot, visibleState } from '#domain/snapshot.ts';
import type { Scope, Volume } from '#domain/volume.ts';
import type { ReadTx } from '#meta/meta-store.ts';
import { publicSharingOf } from './public-sharing.ts';

// What a client may see is decided here and nowhere else: another account's, another region's, a draft, what is being
// deleted and what does not exist are one and the same answer.

/** Null when the client does not see it. */
export async function volumeSeen(tx: ReadTx, scope: Scope, id: VolumeId): Promise<Volume | null> {
  const volume = await tx.volumes.find(id);
  const isSeen =
    volume !== null &&
    isIn(scope, volume) &&
    !volume.draft &&
    volume.state !== 'deleting' &&
    volume.state !== 'recoverable';
  return isSeen ? volume : null;
}

/** Null when the client does not see it. */
export async function snapshotSeen(tx: ReadTx, scope: Scope, id: SnapshotId): Promise<Snapshot | null> {
  const snapshot = await tx.snapshots.find(id);
  return snapshot !== null && isIn(scope, snapshot) && visibleState(snapshot) !== null ? snapshot : null;
}

/** Refuses: not-found. */
export async function volumeIn(tx: ReadTx, scope: Scope, id: VolumeId): Promise<Volume> {
  return (await volumeSeen(tx, scope, id)) ?? refuse({ kind: 'not-found', resource: 'volume', id });
}

/** Refuses: not-found. */
export async function snapshotIn(tx: ReadTx, scope: Scope, id: SnapshotId): Promise<Snapshot> {
  return (await snapshotSeen(tx, scope, id)) ?? refuse({ kind: 'not-found', resource: 'snapshot', id });
}

/** Also another account's that is shared, of any region that is asked for. Refuses: not-found. */
export async function snapshotUsable(
  tx: ReadTx,
  { account, region }: { readonly account: Scope['account']; readonly region: RegionName },
  id: SnapshotId,
): Promise<Snapshot> {
  const snapshot = await tx.snapshots.find(id);
  const isSeen = snapshot !== null && snapshot.region === region && visibleState(snapshot) !== null;
  return isSeen && (await isUsableBy(tx, snapshot, account))
    ? snapshot
    : refuse({ kind: 'not-found', resource: 'snapshot', id });
}

/**
 * Also another account's that is shared with this one by its id: what is shared with everybody is not read block by block
 * (EBS direct). Refuses: not-found.
 */
export async function snapshotReadable(tx: ReadTx, scope: Scope, id: SnapshotId): Promise<Snapshot> {
  const snapshot = await snapshotUsable(tx, scope, id);
  const isReadable = snapshot.account === scope.account || snapshot.sharedWith.includes(scope.account);
  return isReadable ? snapshot : refuse({ kind: 'not-found', resource: 'snapshot', id });
}

/** Its own, or shared; what is shared with everybody is not while its account blocks that. */
export async function isUsableBy(tx: ReadTx, snapshot: Snapshot, account: Scope['account']): Promise<boolean> {
  if (!mayUse(snapshot, account)) return false;
  if (snapshot.account === account || snapshot.sharedWith.includes(account)) return true;
  return (await publicSharingOf(tx, snapshot)) !== 'block-all-sharing';
}

/** Refuses: wrong-state, of one that is not completed, or in the archive. */
export function refuseUnusable(snapshot: Snapshot): void {
  const state = hindrance(snapshot);
  if (state !== null) refuseState(snapshot.id, state);
}

/** It is in a state in which that cannot be done to it. Refuses: wrong-state. */
export function refuseState(id: SnapshotId, state: string): never {
  refuse({ kind: 'wrong-state', resource: 'snapshot', id, state });
}

/** A resource as a client says it: by its id, or by its Lightsail name. */
export type Ref<Id> = Id | { readonly name: string };

/** Refuses: not-found. */
export async function volumeOf(tx: ReadTx, scope: Scope, ref: Ref<VolumeId>): Promise<Volume> {
  return await (typeof ref === 'string' ? volumeIn(tx, scope, ref) : volumeNamed(tx, scope, ref.name));
}

/** Refuses: not-found. */
export async function snapshotOf(tx: ReadTx, scope: Scope, ref: Ref<SnapshotId>): Promise<Snapshot> {
  return await (typeof ref === 'string' ? snapshotIn(tx, scope, ref) : snapshotNamed(tx, scope, ref.name));
}

/** Refuses: not-found, also when the name is another kind of resource's. */
export async function volumeNamed(tx: ReadTx, scope: Scope, name: string): Promise<Volume> {
  const holder = await tx.names.find(scope, name);
  const volume = holder === null || !isVolumeId(holder) ? null : await volumeSeen(tx, scope, holder);
  return volume ?? refuse({ kind: 'not-found', resource: 'volume', id: name });
}

/** Refuses: not-found, also when the name is another kind of resource's. */
export async function snapshotNamed(tx: ReadTx, scope: Scope, name: string): Promise<Snapshot> {
  const holder = await tx.names.find(scope, name);
  const snapshot = holder === null || !isSnapshotId(holder) ? null : await snapshotSeen(tx, scope, holder);
  return snapshot ?? refuse({ kind: 'not-found', resource: 'snapshot', id: name });
}

/** Also while it is `cutting`, which clients do not see: for who began it. Refuses: not-found. */
export async function snapshotBegun(tx: ReadTx, id: SnapshotId): Promise<Snapshot> {
  const snapshot = await tx.snapshots.find(id);
  if (snapshot === null || snapshot.state === 'deleting') refuse({ kind: 'not-found', resource: 'snapshot', id });
  return snapshot;
}

export function isIn(scope: Scope, resource: Scope): boolean {
  return resource.account === scope.account && resource.region === scope.region;
}

export function isVolumeId(id: ResourceId): id is VolumeId {
  return id.startsWith('vol-');
}

export function isSnapshotId(id: ResourceId): id is SnapshotId {
  return id.startsWith('snap-');
}

/** Every different id, one after another: a transaction has one connection. */
export async function eachOnce<Id, R>(ids: readonly Id[], find: (id: Id) => Promise<R>): Promise<readonly R[]> {
  const found: R[] = [];
  for (const id of new Set(ids)) found.push(await find(id));
  return found;
}
