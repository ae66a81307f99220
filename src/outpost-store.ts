import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { writeFileAtomic } from '#base/atomic-file.ts';
import { FsStore } from '#chunk/fs-store.ts';
import type { OutpostId } from '#domain/outpost.ts';

/** Begins with a dot, so it is no object key: no store takes it for its own. */
const MARK = '.outpost';

/**
 * Opens the directory that is an Outpost's store, and makes it the first time. It is marked with the Outpost's id: a disk
 * that is not mounted leaves an empty directory, and another disk may be in its place; nothing is ever stored in either.
 * `isKnown`: it was opened before. Throws an Error with a sentence for who starts the server.
 */
export async function openOutpostStore(options: {
  readonly id: OutpostId;
  /** Absolute. */
  readonly directory: string;
  readonly isKnown: boolean;
}): Promise<FsStore> {
  const { id, directory, isKnown } = options;
  const path = join(directory, MARK);
  const mark = existsSync(path) ? (await readFile(path, 'utf8')).trim() : null;
  if (mark !== null && mark !== id) throw new Error(`${directory} is the store of another Outpost: ${mark}, not ${id}`);
  if (mark === null && isKnown) {
    throw new Error(
      `the store of the Outpost ${id} is not in ${directory}: perhaps the disk is not mounted. ` +
        `If it was moved there without its file ${MARK}, write ${id} into that`,
    );
  }
  const store = await FsStore.open(directory);
  if (mark === null) await writeFileAtomic(path, `${id}\n`);
  return store;
}
