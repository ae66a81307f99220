import type { ImageId, SnapshotId } from '#domain/ids.ts';
import type { Image } from '#domain/image.ts';
import type { Scope } from '#domain/volume.ts';
import type { DocumentKind } from '#meta/document-table.ts';
import type { ReadTx } from '#meta/meta-store.ts';

/** Found by name. */
export const IMAGES: DocumentKind<Image> = {
  name: 'image',
  idOf: ({ id }) => id,
  ownerOf: ({ name }) => name,
};

/** The image of its account that a snapshot is registered for; null: it is for none. */
export async function imageWith(tx: ReadTx, scope: Scope, snapshot: SnapshotId): Promise<ImageId | null> {
  const rows = await tx.documents.list(IMAGES, scope, null, { after: 0, countMax: Number.MAX_SAFE_INTEGER });
  const found = rows.find(({ record }) => record.devices.some((device) => device.snapshot === snapshot));
  return found?.record.id ?? null;
}
