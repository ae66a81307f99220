import { refuse } from '#domain/errors.ts';
import type { SnapshotId } from '#domain/ids.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import type { Scope } from '#domain/volume.ts';
import type { ReadTx } from '#meta/meta-store.ts';
import { isManagedKey } from './kms/managed-keys.ts';
import { snapshotIn } from './lookup.ts';
import type { ControlPorts } from './ports.ts';
import { publicSharingOf } from './public-sharing.ts';

type Grantee = Snapshot['sharedWith'][number];

/** Accounts with which one snapshot is shared: all of them are in its record. */
const SHARES_MAX = 1000;

export interface ShareSnapshot {
  readonly add: readonly Grantee[];
  /** One that is not there is no error. */
  readonly remove: readonly Grantee[];
}

/**
 * Says who may make volumes and copies of a snapshot, beside its account. Refuses: limit, not-found (also: it is another
 * account's), not-permitted (with everybody, while the account blocks that or when the snapshot is encrypted).
 */
export async function shareSnapshot(
  ports: ControlPorts,
  scope: Scope,
  id: SnapshotId,
  request: ShareSnapshot,
): Promise<void> {
  await ports.meta.transact(async (tx) => {
    const snapshot = await checkShare(tx, scope, id, request);
    const left = snapshot.sharedWith.filter((grantee) => !request.remove.includes(grantee));
    const sharedWith = [...new Set([...left, ...request.add])];
    // Who takes some away may always do so, also from one that has more.
    if (sharedWith.length > SHARES_MAX && sharedWith.length > snapshot.sharedWith.length) {
      refuse({ kind: 'limit', limit: 'resources', max: SHARES_MAX });
    }
    await tx.snapshots.update({ ...snapshot, sharedWith });
  });
}

/** What shareSnapshot would refuse, for a request that ends before it. */
export async function checkSharing(
  ports: ControlPorts,
  scope: Scope,
  id: SnapshotId,
  request: ShareSnapshot,
): Promise<void> {
  await ports.meta.read((tx) => checkShare(tx, scope, id, request));
}

async function checkShare(tx: ReadTx, scope: Scope, id: SnapshotId, { add }: ShareSnapshot): Promise<Snapshot> {
  const snapshot = await snapshotIn(tx, scope, id);
  const { encryption } = snapshot;
  if (add.length > 0 && encryption !== null && (await isManagedKey(tx, scope, encryption.keyArn))) {
    refuse({ kind: 'not-permitted', what: 'Encrypted snapshots with EBS default key cannot be shared' });
  }
  if (!add.includes('all')) return snapshot;
  if (encryption !== null) {
    refuse({ kind: 'not-permitted', what: 'Encrypted snapshots cannot be shared publicly' });
  }
  if ((await publicSharingOf(tx, scope)) !== 'unblocked') {
    refuse({
      kind: 'not-permitted',
      what: 'You cannot publicly share snapshots because block public access is enabled for snapshots in this Region.',
    });
  }
  return snapshot;
}
