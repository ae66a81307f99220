import type { SnapshotId } from '#domain/ids.ts';

export type StoreErrorKind =
  | 'snapshot-not-found'
  | 'damaged' // stored bytes are missing or fail their check; the message names the chunk and the pack, or the manifest
  | 'no-space' // the object store or the index has no room; nothing was lost, the same call may succeed later
  | 'key-needed' // sealed under a data key that was not given
  | 'aborted'; // the caller's signal

/** Trouble with stored chunks and snapshots that a caller can tell apart. Anything else (ObjectStoreError) is trouble of the store itself. */
export class StoreError extends Error {
  override readonly name = 'StoreError';
  readonly kind: StoreErrorKind;

  constructor(kind: StoreErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}

export function snapshotNotFound(snapshot: SnapshotId): StoreError {
  return new StoreError('snapshot-not-found', `there is no snapshot ${snapshot}`);
}

/** Throws 'aborted', with the signal's reason as cause, once the signal is aborted. */
export function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw new StoreError('aborted', 'stopped as asked', { cause: signal.reason });
}

/** Bytes that fail their check, or are of a format that this version does not know. Whoever knows where they lie wraps it in a StoreError. */
export class DamageError extends Error {
  override readonly name = 'DamageError';
}
