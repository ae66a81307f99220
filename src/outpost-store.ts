import { existsSync } from 'node:fs';
import { readFile, realpath } from 'node:fs/promises';
import { join } from 'node:path';

import { writeFileAtomic } from '#base/atomic-file.ts';
import { FsStore } from '#chunk/fs-store.ts';
import type { OutpostId } from '#domain/outpost.ts';

import { areNested } from './outpost-settings.ts';

/** Begins with a dot, so it is no object key: no store takes it for its own. */
const MARK = '.outpost';

/**
 * Opens the directory that is an Outpost's store, and makes it the first time. It is marked with the Outpost's id: a disk
 * that is not mounted leaves an empty directory, and another disk may be in its place; nothing is ever stored in either.
 * What holds objects that no Outpost has put there is somebody else's, and a store deletes what it does not need.
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
  const moved = `If it was moved there without its file ${MARK}, write ${id} into that`;
  if (mark === null && isKnown) {
    throw new Error(`the store of the Outpost ${id} is not in ${directory}: perhaps the disk is not mounted. ${moved}`);
  }
  const found = mark === null && existsSync(directory) ? await firstObject(directory) : null;
  if (found !== null) {
    throw new Error(`${directory} is to be the store of the Outpost ${id} and has files already (${found}). ${moved}`);
  }
  const store = await FsStore.open(directory);
  if (mark === null) await writeFileAtomic(path, `${id}\n`);
  return store;
}

async function firstObject(directory: string): Promise<string | null> {
  await using store = await FsStore.openReadOnly(directory);
  for await (const { key } of store.list('')) return key;
  return null;
}

/** Throws an Error where directories of stores are one in the other by links, whatever their names say. All absolute, and there. */
export async function refuseNested(directories: readonly string[]): Promise<void> {
  const real = await Promise.all(directories.map((directory) => realpath(directory)));
  for (const [at, one] of real.entries()) {
    const other = real.findIndex((path, index) => index > at && areNested(one, path));
    if (other >= 0) throw new Error(`the stores ${directories[at]} and ${directories[other]} are one in the other`);
  }
}
