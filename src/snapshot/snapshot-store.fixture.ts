import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';

import { assert } from '#base/assert.ts';
import { silentLog } from '#base/log.ts';
import { SeededRandom } from '#base/random.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { VirtualClock } from '#base/virtual-clock.ts';
import type { ChunkSource } from '#chunk/chunk-source.ts';
import { TEST_ACCOUNT, TEST_MASTER_KEY } from '#chunk/chunk-store.fixture.ts';
import { InlineSealPool } from '#chunk/inline-seal-pool.ts';
import type { ObjectStore } from '#chunk/object-store.ts';
import type { SealPool } from '#chunk/seal-pool.ts';
import { BLOCK_BYTES, CHUNK_BYTES } from '#domain/geometry.ts';
import type { RegionName, SnapshotId, VolumeId } from '#domain/ids.ts';

import type { SnapshotLabel } from './manifest.ts';
import { openSnapshotStore } from './object-snapshot-store.ts';
import type { StoreOfPlace } from './placed-stores.ts';
import type { SnapshotWrite } from './snapshot-store.ts';
import type { TreeRoot } from './tree.ts';

/** Content of chunks in tests: number n is a chunk of bytes that depend on n; 0 is all zeros. Null: nothing was ever written. */
export type ContentNumber = number;

/** A file that holds the chunks numbered 0 to count - 1, one after another. */
export class ContentFile {
  readonly directory = scratchDirectory('snapshots');
  readonly #path = join(this.directory, 'content');

  constructor(count: number) {
    const file = openSync(this.#path, 'w');
    for (let n = 0; n < count; n += 1) writeSync(file, contentOf(n));
    closeSync(file);
  }

  source(n: ContentNumber): ChunkSource {
    return { path: this.#path, offset: n * CHUNK_BYTES };
  }
}

/** What all contents but 0 have in common, so that a delta between two of them is smaller than either. */
const COMMON = new SeededRandom(9).bytes(BLOCK_BYTES);

/** Two of them differ in the last block only. */
export function contentOf(n: ContentNumber): Buffer {
  const bytes = Buffer.alloc(CHUNK_BYTES);
  if (n > 0) {
    COMMON.copy(bytes);
    bytes.writeUInt32LE(n, CHUNK_BYTES - 100);
  }
  return bytes;
}

/** Of which number this is the content, every byte of it. */
export function contentNumber(bytes: Buffer): ContentNumber {
  const n = bytes.readUInt32LE(CHUNK_BYTES - 100);
  assert(bytes.equals(contentOf(n)), 'the content of a chunk is one of those that were written');
  return n;
}

export function snapshotId(n: number): SnapshotId {
  return `snap-${n.toString(16).padStart(17, '0')}` as SnapshotId;
}

export function testLabel(snapshot: SnapshotId, chunkCount: number, volume = 1): SnapshotLabel {
  return {
    snapshot,
    account: TEST_ACCOUNT,
    region: 'us-east-1' as RegionName,
    volume: `vol-${volume.toString(16).padStart(17, '0')}` as VolumeId,
    sizeBytes: chunkCount * CHUNK_BYTES,
    description: '',
    startedAtMs: 0,
    tags: {},
    parent: null,
  };
}

export interface TestWrite {
  readonly snapshot: SnapshotId;
  readonly chunkCount: number;
  readonly base?: TreeRoot | null;
  /** By index; null: trimmed. */
  readonly changes: ReadonlyMap<number, ContentNumber | null>;
  readonly keepZeroChunks?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: SnapshotWrite['onProgress'];
  readonly volume?: number;
  /** Of every change. */
  readonly changedBlocks?: Uint32Array;
}

export function testWrite(content: ContentFile, options: TestWrite): SnapshotWrite {
  const items = [...options.changes]
    .toSorted(([a], [b]) => a - b)
    .map(([index, n]) => ({
      index,
      source: n === null ? null : content.source(n),
      changedBlocks: options.changedBlocks ?? null,
    }));
  return {
    label: testLabel(options.snapshot, options.chunkCount, options.volume),
    base: options.base ?? null,
    keepZeroChunks: options.keepZeroChunks ?? false,
    changes: { count: items.length, items },
    signal: options.signal ?? new AbortController().signal,
    onProgress: options.onProgress ?? (() => {}),
  };
}

let seed = 0;

export function openTestStore(
  objects: ObjectStore,
  options: {
    readonly indexPath?: string;
    readonly sizesPath?: string;
    readonly seed?: number;
    readonly pool?: SealPool;
    readonly copies?: Pick<ObjectStore, 'getRange'>;
  } = {},
): Promise<StoreOfPlace> {
  const random = new SeededRandom(options.seed ?? (seed += 1));
  return openSnapshotStore({
    objects,
    indexPath: options.indexPath ?? ':memory:',
    masterKey: TEST_MASTER_KEY,
    random,
    log: silentLog,
    clock: new VirtualClock(),
    ...(options.sizesPath === undefined ? {} : { sizesPath: options.sizesPath }),
    ...(options.copies === undefined ? {} : { copies: options.copies }),
    pool: options.pool ?? new InlineSealPool({ masterKey: TEST_MASTER_KEY, random }),
  });
}
