import { DamageError, snapshotNotFound, StoreError } from '#chunk/errors.ts';
import type { ObjectStore } from '#chunk/object-store.ts';
import type { SnapshotId } from '#domain/ids.ts';
import {
  decodeManifest,
  MANIFEST_PREFIX,
  manifestKey,
  manifestObjectKey,
  parseManifestObjectKey,
  type Manifest,
} from '#snapshot/manifest.ts';

/** A snapshot of the store: its manifest, or why that cannot be read. */
export type FoundSnapshot =
  | { readonly snapshot: SnapshotId; readonly manifest: Manifest }
  | { readonly snapshot: SnapshotId; readonly manifest: null; readonly damage: string };

/** The manifests of a bare store, each verified under the master key; one that is damaged hides no other. */
export class Manifests {
  readonly #objects: ObjectStore;
  readonly #key: Buffer;

  constructor(objects: ObjectStore, masterKey: Uint8Array) {
    this.#objects = objects;
    this.#key = manifestKey(masterKey);
  }

  /** All of them, in the order of their ids. */
  async *list(): AsyncGenerator<FoundSnapshot> {
    for await (const { key } of this.#objects.list(MANIFEST_PREFIX)) {
      const snapshot = parseManifestObjectKey(key);
      if (snapshot === null) continue;
      const found = await this.#read(snapshot);
      if (found !== null) yield found;
    }
  }

  /** One of them. Throws StoreError 'snapshot-not-found' or 'damaged'. */
  async read(snapshot: SnapshotId): Promise<Manifest> {
    const found = await this.#read(snapshot);
    if (found === null) throw snapshotNotFound(snapshot);
    if (found.manifest === null) throw new StoreError('damaged', `the manifest of ${snapshot}: ${found.damage}`);
    return found.manifest;
  }

  /** Whether any manifest was written with this master key: what proves the key where the store's own mark is damaged. */
  async anyIsAuthentic(): Promise<boolean> {
    for await (const found of this.list()) if (found.manifest !== null) return true;
    return false;
  }

  async #read(snapshot: SnapshotId): Promise<FoundSnapshot | null> {
    const bytes = await this.#objects.get(manifestObjectKey(snapshot));
    if (bytes === null) return null;
    try {
      return { snapshot, manifest: decodeManifest(this.#key, snapshot, bytes) };
    } catch (error) {
      if (!(error instanceof DamageError)) throw error;
      return { snapshot, manifest: null, damage: error.message };
    }
  }
}
