import { readFile, stat } from 'node:fs/promises';

import { writeFileAtomic } from '#base/atomic-file.ts';
import type { Random } from '#base/random.ts';

export const MASTER_KEY_BYTES = 32;

/**
 * The key from which all others are derived; everything stored is lost without it. Made, durably, when the file is missing.
 * Throws when the file is of another length or anyone else may read it.
 */
export async function loadMasterKey(path: string, random: Random): Promise<Buffer> {
  const found = await readIfThere(path);
  if (found === null) {
    const key = random.bytes(MASTER_KEY_BYTES);
    await writeFileAtomic(path, key, { mode: 0o600 });
    return key;
  }
  if (found.length !== MASTER_KEY_BYTES) {
    throw new Error(`the master key ${path} has ${found.length} bytes instead of ${MASTER_KEY_BYTES}`);
  }
  if (((await stat(path)).mode & 0o077) !== 0) {
    throw new Error(`the master key ${path} must be readable by its owner only: chmod 600`);
  }
  return found;
}

async function readIfThere(path: string): Promise<Buffer | null> {
  try {
    return await readFile(path);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
}
