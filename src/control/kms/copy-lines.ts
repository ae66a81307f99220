import { isKeyUnusable } from '#control/open-volume.ts';
import type { Encryption } from '#domain/encryption.ts';
import type { Lineage } from '#domain/ids.ts';
import type { DocumentKind } from '#meta/document-table.ts';
import type { KmsCall } from './access.ts';
import { newDataKey, openDataKeyUnasked } from './data-keys.ts';

/** The data key of all copies of one lineage that are made in a scope under one KMS key. */
export interface CopyLine {
  readonly lineage: Lineage;
  readonly encryption: Encryption;
}

/** By lineage and KMS key. */
export const copyLineKind: DocumentKind<CopyLine> = {
  name: 'kms-copy-line',
  idOf: ({ lineage, encryption }) => idOf(lineage, encryption.keyArn),
  ownerOf: () => null,
};

function idOf(lineage: Lineage, keyArn: string): string {
  return `${lineage} ${keyArn}`;
}

/**
 * The data key of a copy under another KMS key than its source's, or of a source without one: never the source's, so that
 * destroying either KMS key takes its own snapshots and no others; and the same for later copies of the lineage, so that
 * they share what is equal and can be compared. The caller may use `arn`: of resolveKey. Refuses: key-unusable.
 */
export async function encryptionOfLine(call: KmsCall, lineage: Lineage, arn: string): Promise<Encryption> {
  const { ports, scope } = call;
  const known = await ports.meta.read((tx) => tx.documents.find(copyLineKind, scope, idOf(lineage, arn)));
  if (known !== null && (await opens(call, known.encryption))) return known.encryption;
  const made = await newDataKey(call, arn);
  made.plaintext.fill(0);
  const line: CopyLine = { lineage, encryption: made.encryption };
  return await ports.meta.transact(async (tx) => {
    const current = await tx.documents.find(copyLineKind, scope, copyLineKind.idOf(line));
    // Another request was first.
    if (current !== null && current.encryption.sealedKey !== known?.encryption.sealedKey) return current.encryption;
    if (current === null) await tx.documents.insert(copyLineKind, scope, line);
    else await tx.documents.update(copyLineKind, scope, line);
    return line.encryption;
  });
}

/** Not once the material is gone that sealed it, though the key has other material by now. */
async function opens({ ports }: KmsCall, encryption: Encryption): Promise<boolean> {
  try {
    (await openDataKeyUnasked(ports, encryption)).fill(0);
    return true;
  } catch (error) {
    if (isKeyUnusable(error)) return false;
    throw error;
  }
}
