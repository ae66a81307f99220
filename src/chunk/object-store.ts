/**
 * Named immutable bytes: a directory, a bucket, a map.
 *
 * Keys are one or more parts of `[A-Za-z0-9._-]` that do not begin with a dot, joined by `/`, at most 512 characters
 * (assertObjectKey); nothing a client names ever becomes a key.
 */
export interface ObjectStore extends AsyncDisposable {
  /**
   * Stores an object whole. Atomic (a reader, also after a crash, sees all of it or nothing) and durable when it resolves.
   * Replaces an object of the same key, unless `ifAbsent`: then throws ObjectExistsError and the old one stays.
   */
  put(key: string, parts: readonly Uint8Array[], options?: { readonly ifAbsent?: boolean }): Promise<void>;
  /** The whole object, or null when there is none. */
  get(key: string): Promise<Buffer | null>;
  /** Bytes [offset, offset + length), fewer where the object ends before; null when there is no such object. */
  getRange(key: string, offset: number, length: number): Promise<Buffer | null>;
  /** Every object whose key begins with `prefix`, in the order of keys (code units). Objects put or deleted meanwhile may or may not be listed. */
  list(prefix: string): AsyncIterable<{ readonly key: string; readonly sizeBytes: number }>;
  /** Removes the object; no error when there is none. Durable when it resolves. */
  delete(key: string): Promise<void>;
  /**
   * Resolves when nothing comes to pass any more that a process before this one had asked for, and was killed before it was
   * answered. Rejects when the store is closed first. Missing: nothing does.
   */
  settled?(): Promise<void>;
}

/** `put` with `ifAbsent` found an object. */
export class ObjectExistsError extends Error {
  override readonly name = 'ObjectExistsError';
}

/** The store did not do it. `retryable`: the same call may succeed later. */
export class ObjectStoreError extends Error {
  override readonly name = 'ObjectStoreError';
  readonly retryable: boolean;

  constructor(message: string, options: ErrorOptions & { readonly retryable: boolean }) {
    super(message, options);
    this.retryable = options.retryable;
  }
}

const KEY = /^(?=.{1,512}$)(?:[A-Za-z0-9_-][A-Za-z0-9._-]*)(?:\/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$/;

export function isObjectKey(key: string): boolean {
  return KEY.test(key);
}
