import { join } from 'node:path';

import { silentLog } from '#base/log.ts';
import type { Random } from '#base/random.ts';
import { ChunkStore } from '#chunk/chunk-store.ts';
import { StoreError } from '#chunk/errors.ts';
import type { ObjectStore } from '#chunk/object-store.ts';
import { PACK_PREFIX } from '#chunk/pack.ts';
import { MANIFEST_PREFIX } from '#snapshot/manifest.ts';

import { FailingDisk } from './failing-disk.ts';
import { LayeredObjects, type PackChoice } from './layered-objects.ts';
import { Manifests } from './manifests.ts';
import { salvagePacks, type SalvagedPack } from './salvage.ts';

/** The object by which a store is known to be ours, and to be of this master key. */
const REPOSITORY_KEY = 'repository';

export interface RescueOptions {
  /** What is rescued: it is read only, and stays its owner's. */
  readonly objects: ObjectStore;
  readonly masterKey: Uint8Array;
  /** A private directory for the index of the packs: derived, some 150 bytes a chunk, good for nothing afterwards. */
  readonly scratchDirectory: string;
  readonly random: Random;
  /** Called once for each object of which the disk cannot read something; that counts as damaged. */
  readonly onUnreadable: (objectKey: string) => void;
}

/**
 * A bare object store and its master key: all that is left. Without metadata, server or index; those are made again, outside
 * the store, from what the packs say of themselves.
 */
export class RescueStore {
  readonly manifests: Manifests;
  /** What is wrong with the store as a whole though the key was proved right; null: nothing. */
  readonly warning: string | null;
  readonly #options: RescueOptions;

  private constructor(options: RescueOptions, manifests: Manifests, warning: string | null) {
    this.#options = options;
    this.manifests = manifests;
    this.warning = warning;
  }

  /** Proves the key. Throws StoreError 'damaged' when there is no store, or it is of another key, in words. */
  static async open(given: RescueOptions): Promise<RescueStore> {
    const options = { ...given, objects: new FailingDisk(given.objects, given.onUnreadable) };
    const manifests = new Manifests(options.objects, options.masterKey);
    if (await isEmpty(options.objects)) {
      throw new StoreError('damaged', 'there is no object store of Varve: no "repository", no snapshots, no packs');
    }
    try {
      const opened = await openChunks(options, { packs: { kind: 'none' } });
      await opened[Symbol.asyncDispose]();
      return new RescueStore(options, manifests, null);
    } catch (error) {
      // A manifest that is authentic under the key proves it: then it is the mark that is damaged, or missing.
      if (!(error instanceof StoreError)) throw error;
      if (!(await manifests.anyIsAuthentic())) {
        throw new StoreError('damaged', `${error.message}, and no snapshot in it is of this key`, { cause: error });
      }
      return new RescueStore(options, manifests, error.message);
    }
  }

  /** Reads what the packs say of themselves, and answers their chunks. `onPack` hears of each before it is read, and may throw. */
  async openPacks(packs: PackChoice, onPack?: (sizeBytes: number) => void): Promise<RescuedPacks> {
    const hidden = this.warning === null ? [] : [REPOSITORY_KEY];
    const chunks = await openChunks(this.#options, { packs, hidden, onPack });
    try {
      return new RescuedPacks(chunks, await salvagePacks(chunks));
    } catch (error) {
      await chunks[Symbol.asyncDispose]();
      throw error;
    }
  }
}

/** The chunks and tree nodes that the packs hold. */
export class RescuedPacks implements AsyncDisposable {
  readonly chunks: ChunkStore;
  /** Packs that had to be searched for records. */
  readonly salvaged: readonly SalvagedPack[];

  constructor(chunks: ChunkStore, salvaged: readonly SalvagedPack[]) {
    this.chunks = chunks;
    this.salvaged = salvaged;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.chunks[Symbol.asyncDispose]();
    await this.chunks.objects[Symbol.asyncDispose]();
  }
}

async function openChunks(
  options: RescueOptions,
  layer: ConstructorParameters<typeof LayeredObjects>[1],
): Promise<ChunkStore> {
  return await ChunkStore.open({
    objects: new LayeredObjects(options.objects, layer),
    indexPath: layer.packs.kind === 'none' ? ':memory:' : join(options.scratchDirectory, 'index.db'),
    masterKey: options.masterKey,
    random: options.random,
    // Whoever reads is told of damage by an error, and of damaged packs by `salvaged`.
    log: silentLog,
  });
}

async function isEmpty(objects: ObjectStore): Promise<boolean> {
  if ((await objects.get(REPOSITORY_KEY)) !== null) return false;
  for (const prefix of [MANIFEST_PREFIX, PACK_PREFIX]) for await (const _object of objects.list(prefix)) return false;
  return true;
}
