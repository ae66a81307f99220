import { refuse } from '#domain/errors.ts';
import { CHUNK_BYTES, chunkCount, gibToBytes } from '#domain/geometry.ts';
import type { Snapshot } from '#domain/snapshot.ts';

/** Refuses: invalid-value, naming `field`. */
export function checkBlockIndex(snapshot: Snapshot, index: number, field = 'block-index'): void {
  const count = chunkCount(gibToBytes(snapshot.volumeSizeGib));
  if (!Number.isSafeInteger(index) || index < 0 || index >= count) {
    const reason = `a snapshot of ${snapshot.volumeSizeGib} GiB has blocks 0 to ${count - 1} of ${CHUNK_BYTES} bytes`;
    refuse({ kind: 'invalid-value', field, reason });
  }
}
