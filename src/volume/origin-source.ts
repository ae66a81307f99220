import type { ChunkPlace } from '#snapshot/read-chunks.ts';

export type { ChunkPlace } from '#snapshot/read-chunks.ts';

export interface WantedOriginChunk {
  readonly index: number;
  /** Where its 512 KiB may be written instead of being answered. */
  readonly place: ChunkPlace | null;
}

/** A chunk of 512 KiB that is verified: where it should go, or here; its bytes are not changed afterwards. */
export type OriginChunk = { readonly kind: 'placed' } | { readonly kind: 'bytes'; readonly bytes: Uint8Array };

/**
 * Reads chunks of what a volume reads through to, a few together: an answer for each, in their order; null where nothing is
 * there. `background`: nobody waits for them. Once `signal` is aborted, nothing begins to be written to a place any more, and
 * what was not begun rejects at once.
 */
export type ReadOrigin = (
  wanted: readonly WantedOriginChunk[],
  options: { readonly background: boolean; readonly signal: AbortSignal },
) => readonly Promise<OriginChunk | null>[];

/** A source that is asked for one chunk at a time, and answers its bytes. */
export function oneByOne(fetch: (index: number) => Promise<Uint8Array | null>): ReadOrigin {
  return (wanted) =>
    wanted.map(async ({ index }): Promise<OriginChunk | null> => {
      const bytes = await fetch(index);
      return bytes === null ? null : { kind: 'bytes', bytes };
    });
}
