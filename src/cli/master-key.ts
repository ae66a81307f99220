import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { systemRandom } from '#base/random.ts';
import { MASTER_KEY_BYTES } from '#chunk/master-key.ts';
import { type MasterKeySource, openMasterKey } from '#chunk/master-key-source.ts';

import { CommandError } from './command-error.ts';

/** The name under which a key lies that a command wraps and unwraps. */
export const WRAPPED_KEY_NAME = 'master.key.wrapped';

/** The 32 bytes, for what only reads: nothing is made or written here, as the server does for a new store. Throws CommandError. */
export async function readMasterKey(source: MasterKeySource, dataDirectory: string): Promise<Buffer> {
  if (source.kind === 'file') return await readKeyFile(source.where ?? join(dataDirectory, 'master.key'));
  const wrapped = join(dataDirectory, WRAPPED_KEY_NAME);
  if (source.kind === 'command' && !existsSync(wrapped)) throw new CommandError(`there is no wrapped key ${wrapped}`);
  try {
    return await openMasterKey(source, { dataDirectory, environment: process.env, random: systemRandom });
  } catch (error) {
    throw new CommandError('the master key cannot be had', { cause: error });
  }
}

async function readKeyFile(path: string): Promise<Buffer> {
  let key: Buffer;
  try {
    key = await readFile(path);
  } catch (error) {
    throw new CommandError('the master key cannot be read', { cause: error });
  }
  if (key.length === MASTER_KEY_BYTES) return key;
  throw new CommandError(`${path} is no master key: it has ${key.length} bytes instead of ${MASTER_KEY_BYTES}`);
}
