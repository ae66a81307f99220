import type { MetaStore } from '#meta/meta-store.ts';
import { type KeyVault, VaultError } from './vault.ts';

const SETTING = 'kms-check';

/** Whether this is the vault of this metadata; the first one is. Throws VaultError with a sentence for who starts the server. */
export async function checkVault(meta: MetaStore, vault: KeyVault): Promise<void> {
  await meta.transact(async (tx) => {
    const known = await tx.settings.get(SETTING);
    if (known === null) await tx.settings.put(SETTING, vault.check());
    else if (known !== vault.check()) {
      throw new VaultError(
        'the master key is another one than the keys of KMS in meta.db are sealed with: bring that one back ' +
          '(--master-key-file, VARVE_MASTER_KEY or --master-key-command)',
      );
    }
  });
}
