import { assert } from '#base/assert.ts';
import {
  checkWanted,
  DeviceError,
  type BlockDevice,
  type Extent,
  type WriteOptions,
  type ZeroOptions,
} from '#block/device.ts';
import { BLOCK_BYTES } from '#domain/geometry.ts';

/** A device in memory. While `slow`, verbs answer with promises that `finish` settles, in any order. */
export class TestDevice implements BlockDevice {
  readonly bytes: Buffer;
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  /** Blocks that were written and not zeroed since. */
  readonly #written = new Set<number>();
  readonly #waiting: { readonly what: string; readonly run: () => void; readonly fail: (error: Error) => void }[] = [];
  slow = false;
  /** Extents are answered with promises, too. */
  looks = false;
  /** The next verb fails so. */
  failure: Error | null = null;
  /** Verbs as they were called. */
  readonly calls: string[] = [];

  constructor(sizeBytes: number, options: { readonly readOnly?: boolean } = {}) {
    this.bytes = Buffer.alloc(sizeBytes);
    this.sizeBytes = sizeBytes;
    this.readOnly = options.readOnly ?? false;
  }

  /** What waits while the device is slow. */
  get waiting(): readonly string[] {
    return this.#waiting.map(({ what }) => what);
  }

  /** Finishes the waiting verb at `index`, or fails it. */
  finish(index = 0, error: Error | null = null): void {
    const [one] = this.#waiting.splice(index, 1);
    assert(one !== undefined, 'something waits');
    if (error === null) one.run();
    else one.fail(error);
  }

  read(offset: number, target: Uint8Array): Promise<void> | void {
    this.#check(offset, target.length);
    return this.#do(`read ${offset} ${target.length}`, () => {
      this.bytes.copy(target, 0, offset, offset + target.length);
    });
  }

  write(offset: number, source: Uint8Array, options: WriteOptions): Promise<void> | void {
    this.#check(offset, source.length);
    return this.#do(`write ${offset} ${source.length}${options.fua ? ' fua' : ''}`, () => {
      checkWanted(options);
      this.bytes.set(source, offset);
      for (let at = offset - (offset % BLOCK_BYTES); at < offset + source.length; at += BLOCK_BYTES) {
        this.#written.add(at);
      }
    });
  }

  zero(offset: number, length: number, options: ZeroOptions): Promise<void> | void {
    this.#check(offset, length);
    const flags = `${options.fua ? ' fua' : ''}${options.punch ? ' punch' : ''}${options.fast === true ? ' fast' : ''}`;
    return this.#do(`zero ${offset} ${length}${flags}`, () => {
      checkWanted(options);
      this.bytes.fill(0, offset, offset + length);
      for (
        let at = Math.ceil(offset / BLOCK_BYTES) * BLOCK_BYTES;
        at + BLOCK_BYTES <= offset + length;
        at += BLOCK_BYTES
      ) {
        this.#written.delete(at);
      }
    });
  }

  async flush(): Promise<void> {
    await this.#do('flush', () => {});
  }

  extents(offset: number, length: number, countMax: number): Promise<readonly Extent[]> | readonly Extent[] {
    this.#check(offset, length);
    if (!this.looks) return this.#extentsNow(offset, length, countMax);
    return this.#look(offset, length, countMax);
  }

  async #look(offset: number, length: number, countMax: number): Promise<readonly Extent[]> {
    await this.#do(`extents ${offset} ${length}`, () => {});
    return this.#extentsNow(offset, length, countMax);
  }

  #extentsNow(offset: number, length: number, countMax: number): readonly Extent[] {
    const extents: Extent[] = [];
    const end = offset + length;
    for (let at = offset; at < end;) {
      const next = Math.min(end, (Math.floor(at / BLOCK_BYTES) + 1) * BLOCK_BYTES);
      const zero = !this.#written.has(at - (at % BLOCK_BYTES));
      const last = extents.at(-1);
      if (last?.zero === zero) extents[extents.length - 1] = { ...last, length: next - last.offset };
      else if (extents.length === countMax) break;
      else extents.push({ offset: at, length: next - at, zero, hole: zero });
      at = next;
    }
    return extents;
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #do(what: string, run: () => void): Promise<void> | void {
    this.calls.push(what);
    const { failure } = this;
    this.failure = null;
    if (failure !== null) {
      if (!this.slow) throw failure;
      return Promise.reject(failure);
    }
    if (!this.slow) {
      run();
      return;
    }
    return new Promise((resolve, reject) => {
      const finish = (): void => {
        try {
          run();
          resolve();
        } catch (error) {
          reject(error);
        }
      };
      this.#waiting.push({ what, run: finish, fail: reject });
    });
  }

  #check(offset: number, length: number): void {
    assert(offset >= 0 && length > 0 && offset + length <= this.sizeBytes, 'a request lies inside the device');
  }
}

export const noSpace = new DeviceError('ENOSPC', 'full');
