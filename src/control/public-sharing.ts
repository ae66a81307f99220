import type { Scope } from '#domain/volume.ts';
import type { DocumentKind } from '#meta/document-table.ts';
import type { ReadTx } from '#meta/meta-store.ts';
import type { ControlPorts } from './ports.ts';

/**
 * Whether an account shares snapshots with everybody in a region: as it likes; no more from now on; or not at all, whatever
 * its snapshots say.
 */
export type PublicSharing = 'unblocked' | 'block-new-sharing' | 'block-all-sharing';

interface Setting {
  readonly state: PublicSharing;
}

/** One an account and region; none: unblocked. */
const SETTING_ID = 'snapshots';
const kind: DocumentKind<Setting> = { name: 'public-sharing', idOf: () => SETTING_ID, ownerOf: () => null };

export async function publicSharingOf(tx: ReadTx, { account, region }: Scope): Promise<PublicSharing> {
  return (await tx.documents.find(kind, { account, region }, SETTING_ID))?.state ?? 'unblocked';
}

export async function findPublicSharing(ports: ControlPorts, scope: Scope): Promise<PublicSharing> {
  return await ports.meta.read((tx) => publicSharingOf(tx, scope));
}

/** Snapshots keep what they say; it counts again when this is taken back. */
export async function setPublicSharing(ports: ControlPorts, scope: Scope, state: PublicSharing): Promise<void> {
  await ports.meta.transact(async (tx) => {
    await tx.documents.remove(kind, scope, SETTING_ID);
    if (state !== 'unblocked') await tx.documents.insert(kind, scope, { state });
  });
}
