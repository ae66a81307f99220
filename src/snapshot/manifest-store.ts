import { isNoSpace } from '#base/no-space.ts';
import type { ChunkStore } from '#chunk/chunk-store.ts';
import { DamageError, StoreError } from '#chunk/errors.ts';
import { ObjectExistsError } from '#chunk/object-store.ts';
import { parseSnapshotId, type SnapshotId } from '#domain/ids.ts';

import {
  decodeManifest,
  encodeManifest,
  MANIFEST_PREFIX,
  manifestKey,
  manifestObjectKey,
  parseManifestObjectKey,
  type Manifest,
} from './manifest.ts';

/** A bad read is told from a bad object by reading again. */
const READ_COUNT_MAX = 2;

/** Manifests as objects, and the index's memory of them. */
export class ManifestStore {
  readonly #chunks: ChunkStore;
  readonly #key: Buffer;

  constructor(chunks: ChunkStore) {
    this.#chunks = chunks;
    this.#key = manifestKey(chunks.masterKey);
  }

  /** Null when there is none. Throws StoreError 'damaged'. */
  async read(snapshot: SnapshotId): Promise<Manifest | null> {
    for (let count = 1; ; count += 1) {
      const bytes = await this.#chunks.objects.get(manifestObjectKey(snapshot));
      if (bytes === null) return null;
      try {
        return decodeManifest(this.#key, snapshot, bytes);
      } catch (error) {
        if (!(error instanceof DamageError)) throw error;
        if (count === READ_COUNT_MAX) {
          throw new StoreError('damaged', `manifest of ${snapshot}: ${error.message}`, { cause: error });
        }
      }
    }
  }

  async *list(): AsyncGenerator<SnapshotId> {
    for await (const { key } of this.#chunks.objects.list(MANIFEST_PREFIX)) {
      const snapshot = parseManifestObjectKey(key);
      if (snapshot !== null) yield snapshot;
    }
  }

  /** Brings the index's memory in step with what is there, at open. */
  async remember(): Promise<void> {
    const { index, objects } = this.#chunks;
    const known = new Set(index.manifests());
    for await (const snapshot of this.list()) {
      if (!known.delete(snapshot)) index.addManifest(snapshot);
    }
    for (const text of known) {
      const snapshot = parseSnapshotId(text);
      // A list may leave something out; only the object itself is proof.
      if (snapshot !== null && (await objects.get(manifestObjectKey(snapshot))) === null)
        index.removeManifest(snapshot);
    }
  }

  /** Every snapshot that is listed or remembered: of those that are there, none is missing, even when the list leaves one out. */
  async all(): Promise<ReadonlySet<SnapshotId>> {
    const snapshots = new Set<SnapshotId>();
    for await (const snapshot of this.list()) snapshots.add(snapshot);
    for (const text of this.#chunks.index.manifests()) {
      const snapshot = parseSnapshotId(text);
      if (snapshot !== null) snapshots.add(snapshot);
    }
    return snapshots;
  }

  /** The commit point of a snapshot. Resolves when the manifest is durable and was read back; answers the one that is there when another came first. */
  async put(manifest: Manifest): Promise<Manifest> {
    const { snapshot } = manifest.label;
    const bytes = encodeManifest(this.#key, manifest);
    // Before it is put: a put that fails may have been done.
    this.#chunks.index.addManifest(snapshot);
    let isOurs = true;
    try {
      await this.#chunks.objects.put(manifestObjectKey(snapshot), [bytes], { ifAbsent: true });
    } catch (error) {
      if (isNoSpace(error))
        throw new StoreError('no-space', `no room for the manifest of ${snapshot}`, { cause: error });
      if (!(error instanceof ObjectExistsError)) throw error;
      isOurs = false;
    }
    const stored = await this.#readBack(snapshot, isOurs);
    if (stored === null) throw new StoreError('damaged', `the manifest of ${snapshot} is gone as soon as it was put`);
    return stored;
  }

  async delete(snapshot: SnapshotId): Promise<void> {
    await this.#chunks.objects.delete(manifestObjectKey(snapshot));
    this.#chunks.index.removeManifest(snapshot);
  }

  async #readBack(snapshot: SnapshotId, isOurs: boolean): Promise<Manifest | null> {
    try {
      return await this.read(snapshot);
    } catch (error) {
      // What was put is not what was meant: it must not stand in the way of the next attempt. What another put may be a snapshot.
      if (isOurs && error instanceof StoreError && error.kind === 'damaged') await this.delete(snapshot);
      throw error;
    }
  }
}
