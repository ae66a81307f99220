import { createHmac } from 'node:crypto';

import type { ChunkStore } from './chunk-store.ts';
import { StoreError } from './errors.ts';
import { derive } from './seal.ts';

/**
 * The object `repository` says that an object store is one of ours, and made with which master key (docs/formats/pack.md).
 * Without it a wrong key, or a disk that is not mounted, would look like an empty store, and snapshots would be written
 * beside the others that nobody can find.
 */
export const REPOSITORY_KEY = 'repository';
const FORMAT = 'varve-repository';
/** 1: the address of a chunk was a hash of all of it. */
const VERSION = 2;

export async function checkRepository(store: ChunkStore): Promise<void> {
  const found = await store.objects.get(REPOSITORY_KEY);
  if (found !== null) {
    const problem = repositoryProblem(store.masterKey, found);
    if (problem === null) return;
    throw new StoreError('damaged', problem);
  }
  if (!store.index.isEmpty) {
    throw new StoreError('damaged', 'the object store is empty, but the index knows packs: is its disk mounted?');
  }
  for await (const { key } of store.objects.list('')) {
    throw new StoreError('damaged', `the object store has no object ${REPOSITORY_KEY}, but others (${key})`);
  }
  await store.objects.put(REPOSITORY_KEY, [Buffer.from(contentFor(store.masterKey))]);
}

/** What is wrong with the object, for a reader that has this key; null: nothing. */
export function repositoryProblem(masterKey: Uint8Array, found: Buffer): string | null {
  const text = found.toString('utf8');
  return text === contentFor(masterKey) ? null : describe(text);
}

function contentFor(masterKey: Uint8Array): string {
  const keyCheck = createHmac('sha256', derive(masterKey, 'repository')).update(FORMAT).digest('hex');
  return `${JSON.stringify({ format: FORMAT, version: VERSION, keyCheck })}\n`;
}

function tellVersion(version: unknown): string {
  return `the object store is of format ${String(version)}, and this version of varve reads and writes format ${VERSION} only`;
}

function describe(found: string): string {
  try {
    const { format, version } = JSON.parse(found) as { readonly format?: unknown; readonly version?: unknown };
    if (format === FORMAT && version !== VERSION) return tellVersion(version);
    if (format === FORMAT) return 'the object store was made with another master key';
  } catch {
    // Not ours.
  }
  return `the object ${REPOSITORY_KEY} is damaged`;
}
