import { closeSync, fdatasync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { promisify } from 'node:util';
import { DeviceError, type BlockDevice, type Extent } from '#block/device.ts';
import { BLOCK_BYTES } from '#domain/geometry.ts';

const fdatasyncAsync = promisify(fdatasync);
const ZEROS = Buffer.alloc(1024 * 1024);

/** A device on a flat file, all I/O synchronous except flush; knows which blocks were written. For tests and measurements of the NBD server alone. */
export class FileDevice implements BlockDevice {
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  readonly #fd: number;
  /** 1: the block may hold data. */
  readonly #written: Uint8Array;
  #closed = false;
  flushCount = 0;

  /** Makes the file, or opens it if it is there; then all of it counts as written. */
  constructor(options: {
    readonly path: string;
    readonly sizeBytes: number;
    readonly readOnly?: boolean;
    readonly prefilled?: boolean;
  }) {
    this.sizeBytes = options.sizeBytes;
    this.readOnly = options.readOnly ?? false;
    this.#fd = openSync(options.path, options.prefilled === true ? 'r+' : 'w+', 0o600);
    if (options.prefilled !== true) ftruncateSync(this.#fd, options.sizeBytes);
    this.#written = new Uint8Array(Math.ceil(options.sizeBytes / BLOCK_BYTES)).fill(options.prefilled === true ? 1 : 0);
  }

  read(offset: number, target: Uint8Array): void {
    this.#check(offset, target.length);
    let done = 0;
    while (done < target.length) done += readSync(this.#fd, target, done, target.length - done, offset + done);
  }

  write(offset: number, source: Uint8Array, options: { readonly fua: boolean }): Promise<void> | void {
    this.#check(offset, source.length);
    let done = 0;
    while (done < source.length) done += writeSync(this.#fd, source, done, source.length - done, offset + done);
    const first = Math.floor(offset / BLOCK_BYTES);
    const last = Math.floor((offset + source.length - 1) / BLOCK_BYTES);
    if (first === last) this.#written[first] = 1;
    else this.#written.fill(1, first, last + 1);
    if (options.fua) return this.flush();
  }

  writesInPlace(): boolean {
    return true;
  }

  zero(
    offset: number,
    length: number,
    options: { readonly fua: boolean; readonly punch: boolean },
  ): Promise<void> | void {
    this.#check(offset, length);
    for (let done = 0; done < length; done += ZEROS.length) {
      writeSync(this.#fd, ZEROS, 0, Math.min(ZEROS.length, length - done), offset + done);
    }
    const first = Math.ceil(offset / BLOCK_BYTES);
    const end = Math.floor((offset + length) / BLOCK_BYTES);
    if (options.punch && first < end) this.#written.fill(0, first, end);
    if (options.fua) return this.flush();
  }

  async flush(): Promise<void> {
    if (this.#closed) throw new DeviceError('ESHUTDOWN', 'the device is closed');
    await fdatasyncAsync(this.#fd);
    this.flushCount += 1;
  }

  extents(offset: number, length: number, countMax: number): readonly Extent[] {
    this.#check(offset, length);
    const extents: Extent[] = [];
    const end = offset + length;
    let start = offset;
    const last = Math.ceil(end / BLOCK_BYTES);
    while (start < end && extents.length < countMax) {
      const first = Math.floor(start / BLOCK_BYTES);
      const kind = this.#written[first];
      const run = this.#written.subarray(first, last).indexOf(kind === 1 ? 0 : 1);
      const next = run === -1 ? end : Math.min(end, (first + run) * BLOCK_BYTES);
      extents.push({ offset: start, length: next - start, zero: kind === 0, hole: kind === 0 });
      start = next;
    }
    return extents;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.#fd);
  }

  #check(offset: number, length: number): void {
    if (this.#closed) throw new DeviceError('ESHUTDOWN', 'the device is closed');
    if (offset < 0 || length <= 0 || offset + length > this.sizeBytes) throw new Error('a request beyond the device');
  }
}
