import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { SnapshotId } from '#domain/ids.ts';
import type { Manifest } from '#snapshot/manifest.ts';

/** A part of a snapshot that cannot be read, and why. */
export interface Damage {
  readonly snapshot: SnapshotId;
  /** Bytes [offset, offset + length) of the disk. */
  readonly offset: number;
  readonly length: number;
  readonly reason: string;
}

/** Chunks [index, index + count) of a snapshot as bytes; the last chunk may reach beyond the disk's end. */
export function damageOf(manifest: Manifest, range: { index: number; count: number; reason: string }): Damage {
  const { snapshot, sizeBytes } = manifest.label;
  const offset = range.index * CHUNK_BYTES;
  return {
    snapshot,
    offset,
    length: Math.min(range.count * CHUNK_BYTES, sizeBytes - offset),
    reason: range.reason,
  };
}
