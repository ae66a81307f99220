import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';

import { SeededRandom } from '#base/random.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { TEST_MASTER_KEY } from '#chunk/chunk-store.fixture.ts';
import { StoreError } from '#chunk/errors.ts';
import { MemoryStore } from '#chunk/memory-store.ts';
import { type ObjectStore, ObjectStoreError } from '#chunk/object-store.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { Manifest } from '#snapshot/manifest.ts';
import { ContentFile, openTestStore, snapshotId, testWrite } from '#snapshot/snapshot-store.fixture.ts';

import type { Damage } from './damage.ts';
import { RescueStore } from './rescue-store.ts';
import { SnapshotImage } from './snapshot-image.ts';

const scratch = scratchDirectory('rescue');

/** A content number by chunk index: what a snapshot holds. */
export type Model = ReadonlyMap<number, number>;

/** Objects that nobody may change. */
export class FrozenStore extends MemoryStore {
  #frozen = false;

  freeze(): void {
    this.#frozen = true;
  }

  override async put(...given: Parameters<MemoryStore['put']>): Promise<void> {
    if (this.#frozen) throw new Error(`somebody puts ${given[0]}`);
    await super.put(...given);
  }

  override async delete(key: string): Promise<void> {
    if (this.#frozen) throw new Error(`somebody deletes ${key}`);
    await super.delete(key);
  }

  /** The same objects, to be damaged. */
  async copy<S extends MemoryStore>(copy: S): Promise<S> {
    for await (const { key } of this.list('')) await copy.put(key, [(await this.get(key)) ?? Buffer.alloc(0)]);
    return copy;
  }
}

/** Objects on a disk that cannot read some bytes of one of them. */
export class BadSectors extends MemoryStore {
  readonly #bad: { readonly key: string; readonly start: number; readonly end: number };

  constructor(bad: { readonly key: string; readonly start: number; readonly end: number }) {
    super();
    this.#bad = bad;
  }

  override async get(key: string): Promise<Buffer | null> {
    this.#check(key, 0, Infinity);
    return await super.get(key);
  }

  override async getRange(key: string, offset: number, length: number): Promise<Buffer | null> {
    this.#check(key, offset, offset + length);
    return await super.getRange(key, offset, length);
  }

  #check(key: string, start: number, end: number): void {
    if (key !== this.#bad.key || end <= this.#bad.start || start >= this.#bad.end) return;
    const cause = Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' });
    throw new ObjectStoreError(`get ${key}`, { cause, retryable: false });
  }
}

export interface Lineage {
  readonly objects: FrozenStore;
  /** What snapshot n + 1 holds. */
  readonly models: readonly Model[];
}

/** A chain of increments in a store of its own: each snapshot changes a few chunks of the one before. */
export async function makeLineage(options: {
  readonly count: number;
  readonly chunkCount: number;
  readonly seed: number;
}): Promise<Lineage> {
  const { count, chunkCount, seed } = options;
  const random = new SeededRandom(seed);
  const objects = new FrozenStore();
  const content = new ContentFile(count * 8 + 1);
  const models: Map<number, number>[] = [];
  let next = 1;
  {
    await using store = await openTestStore(objects, { seed });
    let base: Manifest | null = null;
    for (let n = 1; n <= count; n += 1) {
      const changes = new Map<number, number | null>();
      for (let at = 0; at < 8; at += 1) changes.set(random.below(chunkCount), n > 1 && at === 7 ? null : next++);
      const model = new Map(models.at(-1));
      for (const [index, number] of changes) {
        if (number === null) model.delete(index);
        else model.set(index, number);
      }
      models.push(model);
      base = await store.write(
        testWrite(content, { snapshot: snapshotId(n), chunkCount, base: base?.root ?? null, changes }),
      );
    }
  }
  objects.freeze();
  return { objects, models };
}

export async function openRescued(
  objects: ObjectStore,
  masterKey: Uint8Array = TEST_MASTER_KEY,
  onUnreadable: (objectKey: string) => void = () => {},
): Promise<RescueStore> {
  return await RescueStore.open({
    objects,
    masterKey,
    scratchDirectory: mkdtempSync(join(scratch, 'index-')),
    random: new SeededRandom(1),
    onUnreadable,
  });
}

/** All that can be read of a snapshot, and what cannot. */
export async function readAll(
  store: RescueStore,
  manifest: Manifest,
): Promise<{ readonly chunks: ReadonlyMap<number, Buffer>; readonly damage: readonly Damage[] }> {
  await using packs = await store.openPacks({ kind: 'account', account: manifest.label.account });
  const damage: Damage[] = [];
  const image = new SnapshotImage({
    chunks: packs.chunks,
    manifest,
    damaged: 'error',
    onDamage: (one) => damage.push(one),
  });
  const chunks = new Map<number, Buffer>();
  for await (const { offset, length } of image.data()) {
    try {
      chunks.set(offset / CHUNK_BYTES, Buffer.from(await image.read(offset, length)));
    } catch (error) {
      if (!(error instanceof StoreError && error.kind === 'damaged')) throw error;
    }
  }
  return { chunks, damage };
}
