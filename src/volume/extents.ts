import type { Extent } from '#block/device.ts';
import { CHUNK_BYTES, chunkIndexFloor } from '#domain/geometry.ts';

import { type ChunkMap, PAGE_CHUNKS, STATE_ORIGIN, STATE_ZERO } from './chunk-map.ts';
import type { ChunkPresence, Presence } from './chunk-presence.ts';
import type { OriginChunks } from './origin-chunks.ts';

/** What a chunk is. 'untold': nobody can tell without reading it. 'unknown': it must be looked up first. */
export type ChunkKind = 'zero' | 'data' | 'untold' | 'unknown';

export interface ChunkKinds {
  kindAt(index: number): ChunkKind;
  /** The first chunk from `index` on, at most `until`, that may not be zero; as far as that is quickly said. */
  skipZeros(index: number, until: number): number;
}

/** Goes through a range and gathers its extents: see BlockDevice.extents. */
export class ExtentScan {
  readonly #chunks: ChunkKinds;
  readonly #end: number;
  readonly #countMax: number;
  readonly #extents: Extent[] = [];
  /** The extent that may still grow: from `#start` to `#at`. */
  #kind: ChunkKind | null = null;
  #start: number;
  #at: number;

  constructor(
    chunks: ChunkKinds,
    range: { readonly offset: number; readonly length: number; readonly countMax: number },
  ) {
    this.#chunks = chunks;
    this.#start = range.offset;
    this.#at = range.offset;
    this.#end = range.offset + range.length;
    this.#countMax = range.countMax;
  }

  /** Goes on as far as is known. Answers the chunk that must be looked up to get any further; null when done. */
  advance(): number | null {
    const indexEnd = Math.ceil(this.#end / CHUNK_BYTES);
    while (this.#at < this.#end) {
      const index = chunkIndexFloor(this.#at);
      const kind = this.#chunks.kindAt(index);
      if (kind === 'unknown') return index;
      if (kind !== this.#kind) {
        this.#close();
        if (this.#extents.length === this.#countMax) return null;
        this.#kind = kind;
      }
      const next = kind === 'zero' ? Math.max(index + 1, this.#chunks.skipZeros(index, indexEnd)) : index + 1;
      this.#at = Math.min(this.#end, next * CHUNK_BYTES);
    }
    this.#close();
    return null;
  }

  /** What was found, once `advance` has answered null. */
  get extents(): readonly Extent[] {
    return this.#extents;
  }

  #close(): void {
    const kind = this.#kind;
    if (kind !== null) {
      const length = this.#at - this.#start;
      this.#extents.push({ offset: this.#start, length, zero: kind === 'zero', hole: kind !== 'data' });
    }
    this.#start = this.#at;
    this.#kind = null;
  }
}

/** A volume's chunks. What the origin holds is data, fetched or not. */
export class VolumeChunkKinds implements ChunkKinds {
  readonly #chunks: ChunkMap;
  readonly #origin: OriginChunks;

  constructor(chunks: ChunkMap, origin: OriginChunks) {
    this.#chunks = chunks;
    this.#origin = origin;
  }

  kindAt(index: number): ChunkKind {
    const state = this.#chunks.stateAt(index);
    if (state !== STATE_ORIGIN) return state === STATE_ZERO ? 'zero' : 'data';
    return kindOf(this.#origin.presenceAt(index));
  }

  /** Over the rest of a page of the map that was never touched, where the origin has nothing or does not reach. */
  skipZeros(index: number, until: number): number {
    const end = Math.min(until, (Math.floor(index / PAGE_CHUNKS) + 1) * PAGE_CHUNKS);
    const beyond = this.#chunks.skip(index, end, STATE_ZERO);
    return Math.max(beyond, this.#origin.skipEmpty(index, this.#chunks.skip(index, end, STATE_ORIGIN)));
  }
}

/** A snapshot's chunks. */
export class SnapshotChunkKinds implements ChunkKinds {
  readonly #presence: ChunkPresence;

  constructor(presence: ChunkPresence) {
    this.#presence = presence;
  }

  kindAt(index: number): ChunkKind {
    return kindOf(this.#presence.at(index));
  }

  skipZeros(index: number, until: number): number {
    return this.#presence.skipEmpty(index, until);
  }
}

function kindOf(presence: Presence | null): ChunkKind {
  switch (presence) {
    case 'present':
      return 'data';
    case 'absent':
      return 'zero';
    case 'unknown':
      return 'unknown';
    case null:
      return 'untold';
  }
}
