import { setImmediate as nextTurn } from 'node:timers/promises';

import { mapAhead } from '#base/map-ahead.ts';
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
/** Manifests read at once: of a bucket, each is a wait. */
const READS_MAX = 16;
/** Names gone through in one turn of the event loop: a millisecond. */
const NAMES_PER_TURN = 128;

/** Manifests as objects, and the index's memory of them. */
export class ManifestStore {
  readonly #chunks: ChunkStore;
  readonly #key: Buffer;
  /** Remembered and not there when the store was opened: a put of before may yet be done. */
  readonly #inDoubt = new Set<SnapshotId>();

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

  /** In the order of their ids, in turns with others. */
  async *list(): AsyncGenerator<SnapshotId> {
    let count = 0;
    for await (const { key } of this.#chunks.objects.list(MANIFEST_PREFIX)) {
      const snapshot = parseManifestObjectKey(key);
      if (snapshot !== null) yield snapshot;
      if ((count += 1) % NAMES_PER_TURN === 0) await nextTurn();
    }
  }

  /** Brings the index's memory in step with what is there, at open. */
  async remember(): Promise<void> {
    const { index } = this.#chunks;
    let added: SnapshotId[] = [];
    for await (const change of this.#missing()) {
      if (change.missingFrom === 'memory') added.push(change.snapshot);
      else this.#inDoubt.add(change.snapshot);
      if (added.length < NAMES_PER_TURN) continue;
      index.addManifests(added);
      added = [];
    }
    index.addManifests(added);
    // Where nothing comes any more, what is not there never will be.
    if (this.#chunks.objects.settled === undefined) await this.forgetAbsent();
  }

  /** Forgets manifests that were to be put before the store was opened and are not there. To be called once the store is settled. */
  async forgetAbsent(): Promise<void> {
    const looked = mapAhead(eachOf(this.#inDoubt), READS_MAX, async (snapshot) => ({
      snapshot,
      // A list may leave something out; only the object itself is proof.
      isThere: (await this.#chunks.objects.getRange(manifestObjectKey(snapshot), 0, 1)) !== null,
    }));
    for await (const { snapshot, isThere } of looked) {
      // It may have been asked for again meanwhile.
      if (!isThere && this.#inDoubt.has(snapshot)) this.#chunks.index.removeManifest(snapshot);
      this.#inDoubt.delete(snapshot);
    }
  }

  /** The manifest of every snapshot that is listed or remembered, but those that are in `known`: of those that are there, none is missing, even when the list leaves one out. Reads ahead. Throws StoreError 'damaged'. */
  async *readAll(known: ReadonlySet<SnapshotId>): AsyncGenerator<Manifest> {
    const { index } = this.#chunks;
    const unknown = async function* (all: AsyncIterable<Named>): AsyncGenerator<Named> {
      for await (const named of all) if (!known.has(named.snapshot)) yield named;
    };
    const reading = mapAhead(unknown(this.#all()), READS_MAX, async ({ snapshot, isRemembered }) => {
      const manifest = await this.read(snapshot);
      // It came from a process that was killed, or its index was lost.
      if (manifest !== null && !isRemembered && !index.hasManifest(snapshot)) index.addManifest(snapshot);
      return manifest;
    });
    for await (const manifest of reading) {
      // Null: deleted since it was listed.
      if (manifest !== null) yield manifest;
    }
  }

  async *#all(): AsyncGenerator<Named> {
    const listed = this.list();
    const remembered = this.#remembered();
    try {
      let [a, b] = [await listed.next(), await remembered.next()];
      while (a.done !== true || b.done !== true) {
        const isListed = a.done !== true && (b.done === true || a.value <= b.value);
        const isRemembered = b.done !== true && (a.done === true || b.value <= a.value);
        yield { snapshot: (isListed ? a.value : b.value) as SnapshotId, isRemembered };
        if (isListed) a = await listed.next();
        if (isRemembered) b = await remembered.next();
      }
    } finally {
      await listed.return(undefined);
      await remembered.return(undefined);
    }
  }

  /** What only the list has, or only the index. */
  async *#missing(): AsyncGenerator<{ readonly snapshot: SnapshotId; readonly missingFrom: 'memory' | 'list' }> {
    const remembered = this.#remembered();
    let next = await remembered.next();
    for await (const snapshot of this.list()) {
      for (; next.done !== true && next.value < snapshot; next = await remembered.next()) {
        yield { snapshot: next.value, missingFrom: 'list' };
      }
      if (next.done === true || next.value !== snapshot) yield { snapshot, missingFrom: 'memory' };
      else next = await remembered.next();
    }
    for (; next.done !== true; next = await remembered.next()) yield { snapshot: next.value, missingFrom: 'list' };
  }

  /** Of the index, in the order of their ids; others may be added or removed meanwhile. */
  async *#remembered(): AsyncGenerator<SnapshotId> {
    for (let after = ''; ;) {
      const page = this.#chunks.index.manifestsAfter(after, NAMES_PER_TURN);
      for (const text of page) {
        const snapshot = parseSnapshotId(text);
        if (snapshot !== null) yield snapshot;
      }
      const last = page.at(-1);
      if (last === undefined) return;
      after = last;
      await nextTurn();
    }
  }

  /** The commit point of a snapshot. Resolves when the manifest is durable and was read back; answers the one that is there when another came first. */
  async put(manifest: Manifest): Promise<Manifest> {
    const { snapshot } = manifest.label;
    const bytes = encodeManifest(this.#key, manifest);
    // Before it is put: a put that fails may have been done.
    this.#inDoubt.delete(snapshot);
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
    // Or a put of before brings it back.
    if (this.#inDoubt.has(snapshot)) await this.#chunks.objects.settled?.();
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

interface Named {
  readonly snapshot: SnapshotId;
  /** The index has it, not only the list. */
  readonly isRemembered: boolean;
}

async function* eachOf<T>(items: Iterable<T>): AsyncGenerator<T> {
  yield* items;
}
