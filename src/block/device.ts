/** What a range of a device holds. `zero`: reads as zeros; `hole`: nothing is stored for it. A hole that is not zero is what nobody could tell without reading it. */
export interface Extent {
  readonly offset: number;
  readonly length: number;
  readonly zero: boolean;
  readonly hole: boolean;
}

/** What a change of a device is asked with. */
export interface WriteOptions {
  /** Durable when it is done. */
  readonly fua: boolean;
  /** Aborted when whoever asked is gone: from then on, no byte is changed for this request any more. */
  readonly signal?: AbortSignal;
}

export interface ZeroOptions extends WriteOptions {
  /** Storage may be given back. */
  readonly punch: boolean;
  /** Only if it is quick; otherwise `ENOTSUP`, and nothing is changed. */
  readonly fast?: boolean;
}

/**
 * A fixed-size array of bytes with a volatile write cache, like a disk.
 * Offsets and lengths are bytes, any alignment, inside [0, sizeBytes): a caller that goes beyond is a broken invariant
 * (the NBD session checks requests before they come here).
 *
 * A verb that answers `void` was done when it returned (the page cache had it); one that answers a promise is done when
 * that resolves. Writes are durable once a later flush resolves, or at once with `fua`. Requests in flight together that
 * overlap have no defined order; requests that do not overlap never disturb each other, also inside one block or chunk.
 *
 * A change that has to wait looks at its `signal` again before each step that changes something, in that same step, and
 * ends with `ESHUTDOWN` when it is aborted; what it had done by then stays. So when a signal is aborted, what others write
 * afterwards is not written over by that request.
 *
 * Errors are DeviceError with an errno name: `ENOSPC` (the write did not happen, or happened in part; the device goes on),
 * `EIO` (a damaged chunk, a failed disk), `EPERM` (read-only, or fenced by a newer generation), `ESHUTDOWN` (closed,
 * or the signal was aborted).
 */
export interface BlockDevice extends AsyncDisposable {
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  /** Fills `target` from `offset`. */
  read(offset: number, target: Uint8Array): Promise<void> | void;
  /** `source` may be reused by the caller once done. */
  write(offset: number, source: Uint8Array, options: WriteOptions): Promise<void> | void;
  /** Whether a write of these bytes costs no more in parts than whole. Missing: it may. */
  writesInPlace?(offset: number, length: number): boolean;
  /** Reads as zeros afterwards. */
  zero(offset: number, length: number, options: ZeroOptions): Promise<void> | void;
  /** Every write acknowledged before the call is durable when it resolves. */
  flush(): Promise<void>;
  /**
   * Extents that cover the range exactly, in order, neighbours of one kind merged, at most `countMax` of them (then the rest
   * is not covered). A promise when the device has to look.
   */
  extents(offset: number, length: number, countMax: number): Promise<readonly Extent[]> | readonly Extent[];
}

export type DeviceErrno = 'EIO' | 'ENOSPC' | 'ENOTSUP' | 'EPERM' | 'ESHUTDOWN';

/** Throws ESHUTDOWN when whoever asked for the change is gone. */
export function checkWanted(options: WriteOptions): void {
  if (options.signal?.aborted === true) throw new DeviceError('ESHUTDOWN', 'whoever asked for the change is gone');
}

/** Trouble that a client is told as an errno. */
export class DeviceError extends Error {
  override readonly name = 'DeviceError';
  readonly errno: DeviceErrno;

  constructor(errno: DeviceErrno, message: string, options?: ErrorOptions) {
    super(message, options);
    this.errno = errno;
  }
}
