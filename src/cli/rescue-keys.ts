import { copyFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { systemClock } from '#base/clock.ts';
import { systemRandom } from '#base/random.ts';
import type { DataKeyRing } from '#chunk/data-key-ring.ts';
import { derive } from '#chunk/seal.ts';
import { openDataKeyUnasked } from '#control/kms/data-keys.ts';
import { KeyVault } from '#control/kms/vault.ts';
import { DomainError } from '#domain/errors.ts';
import { KyselyStore } from '#meta/kysely-store.ts';
import type { Manifest } from '#snapshot/manifest.ts';

import { CommandError } from './command-error.ts';

/** SQLite's log belongs to the file as it is: what it has may not be in that yet. */
const LOG_SUFFIX = '-wal';
const COPY_NAME = 'meta.db';

export interface KeyPlace {
  readonly masterKey: Uint8Array;
  /** A `meta.db`, which is read only; null: there is none. */
  readonly metadata: string | null;
  /** Private. */
  readonly scratchDirectory: string;
}

/** Opens the data key of a snapshot and lends it until that is disposed of. Nothing to do where it has none. Throws CommandError, which names the KMS key. */
export async function lendKeyOf(place: KeyPlace, ring: DataKeyRing, manifest: Manifest): Promise<Disposable> {
  const { label, root } = manifest;
  if (root.dataKey === undefined) return { [Symbol.dispose]: () => {} };
  const { encryption } = label;
  if (encryption === undefined) {
    throw new CommandError(
      `${label.snapshot} is sealed under a data key, and its manifest does not say of which KMS key`,
    );
  }
  const { keyArn } = encryption;
  const { metadata } = place;
  if (metadata === null) {
    throw new CommandError(
      `${label.snapshot} is encrypted with the KMS key ${keyArn}: the master key alone does not open it. ` +
        'Give the metadata of its server, which holds that key, with --metadata FILE (meta.db)',
    );
  }
  await using meta = await openCopy(metadata, place.scratchDirectory);
  const vault = new KeyVault({ root: derive(place.masterKey, 'kms'), random: systemRandom });
  try {
    const dataKey = await openDataKeyUnasked({ meta, clock: systemClock, vault }, encryption);
    try {
      return ring.lend([dataKey]);
    } finally {
      dataKey.fill(0);
    }
  } catch (error) {
    if (!(error instanceof DomainError) || error.failure.kind !== 'key-unusable') throw error;
    const { problem } = error.failure;
    throw new CommandError(
      `${label.snapshot} is encrypted with the KMS key ${keyArn}, which does not open it: in ${metadata} it is ${problem}`,
    );
  }
}

/** Whatever is done to it is done to the copy. */
async function openCopy(path: string, scratchDirectory: string): Promise<KyselyStore> {
  const found = await stat(path).catch(() => null);
  if (found?.isFile() !== true) throw new CommandError(`--metadata: there is no file ${path}`);
  const copy = join(scratchDirectory, COPY_NAME);
  await copyFile(path, copy);
  await copyFile(path + LOG_SUFFIX, copy + LOG_SUFFIX).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
  });
  return await KyselyStore.open(copy, systemClock);
}
