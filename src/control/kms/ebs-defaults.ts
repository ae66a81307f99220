import type { Scope } from '#domain/volume.ts';
import type { DocumentKind } from '#meta/document-table.ts';
import type { ReadTx } from '#meta/meta-store.ts';
import type { ControlPorts } from '#control/ports.ts';

/** What an account says of encryption in a region. */
export interface EbsDefaults {
  /** Whether volumes and copies are encrypted also when nobody asks for it. */
  readonly isEncrypted: boolean;
  /** ARN of the key that they have when nobody names one; null: the service's (`alias/aws/ebs`). */
  readonly keyArn: string | null;
}

const UNSET: EbsDefaults = { isEncrypted: false, keyArn: null };

const defaultsKind: DocumentKind<EbsDefaults> = {
  name: 'ebs-encryption-defaults',
  idOf: () => 'defaults',
  ownerOf: () => null,
};

export async function ebsDefaults(tx: ReadTx, scope: Scope): Promise<EbsDefaults> {
  return (await tx.documents.find(defaultsKind, scope, 'defaults')) ?? UNSET;
}

/** As `ebsDefaults`, in a transaction of its own. */
export async function readEbsDefaults(ports: ControlPorts, scope: Scope): Promise<EbsDefaults> {
  return await ports.meta.read((tx) => ebsDefaults(tx, scope));
}

export async function changeEbsDefaults(ports: ControlPorts, scope: Scope, some: Partial<EbsDefaults>): Promise<void> {
  await ports.meta.transact(async (tx) => {
    const found = await tx.documents.find(defaultsKind, scope, 'defaults');
    if (found === null) await tx.documents.insert(defaultsKind, scope, { ...UNSET, ...some });
    else await tx.documents.update(defaultsKind, scope, { ...found, ...some });
  });
}
