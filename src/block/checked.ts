import { assert } from '#base/assert.ts';

import type { BlockDevice, Extent, WriteOptions, ZeroOptions } from './device.ts';

/**
 * A layer that asserts the contract of BlockDevice on both sides: that requests are inside the device, that it is not used
 * after it was disposed of, that a buffer is not changed while it is lent, that extents cover what was asked for. For tests
 * and for the search for a fault; a device without it has no cost.
 */
export class CheckedDevice implements BlockDevice {
  readonly #device: BlockDevice;
  #isDisposed = false;
  /** Requests that were not answered yet. */
  #flying = 0;

  constructor(device: BlockDevice) {
    this.#device = device;
  }

  get sizeBytes(): number {
    return this.#device.sizeBytes;
  }

  get readOnly(): boolean {
    return this.#device.readOnly;
  }

  /** Requests that were not answered yet. */
  get flyingCount(): number {
    return this.#flying;
  }

  read(offset: number, target: Uint8Array): Promise<void> | void {
    this.#check(offset, target.length);
    return this.#follow(this.#device.read(offset, target), null);
  }

  write(offset: number, source: Uint8Array, options: WriteOptions): Promise<void> | void {
    this.#checkChange(offset, source.length);
    return this.#follow(this.#device.write(offset, source, options), source);
  }

  zero(offset: number, length: number, options: ZeroOptions): Promise<void> | void {
    this.#checkChange(offset, length);
    return this.#follow(this.#device.zero(offset, length, options), null);
  }

  async flush(): Promise<void> {
    this.#check(0, 0);
    await this.#follow(this.#device.flush(), null);
  }

  extents(offset: number, length: number, countMax: number): Promise<readonly Extent[]> | readonly Extent[] {
    this.#check(offset, length);
    assert(countMax >= 1, 'at least one extent is asked for');
    const answer = this.#device.extents(offset, length, countMax);
    if (answer instanceof Promise) return this.#waitForExtents(answer, offset, length, countMax);
    checkExtents(answer, offset, length, countMax);
    return answer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isDisposed = true;
    await this.#device[Symbol.asyncDispose]();
  }

  async #waitForExtents(
    answer: Promise<readonly Extent[]>,
    offset: number,
    length: number,
    countMax: number,
  ): Promise<readonly Extent[]> {
    this.#flying += 1;
    try {
      const extents = await answer;
      checkExtents(extents, offset, length, countMax);
      return extents;
    } finally {
      this.#flying -= 1;
    }
  }

  #checkChange(offset: number, length: number): void {
    this.#check(offset, length);
    assert(!this.readOnly, 'a read-only device is not changed');
  }

  #check(offset: number, length: number): void {
    assert(!this.#isDisposed, 'a device is not used after it was disposed of');
    assert(Number.isSafeInteger(offset) && offset >= 0, 'an offset is a whole number');
    assert(Number.isSafeInteger(length) && length >= 0, 'a length is a whole number');
    assert(offset + length <= this.sizeBytes, 'a request is inside the device');
  }

  #follow(answer: Promise<void> | void, lent: Uint8Array | null): Promise<void> | void {
    return answer === undefined ? undefined : this.#wait(answer, lent);
  }

  async #wait(answer: Promise<void>, lent: Uint8Array | null): Promise<void> {
    const copy = lent === null ? null : Buffer.from(lent);
    this.#flying += 1;
    try {
      await answer;
    } finally {
      this.#flying -= 1;
    }
    assert(copy === null || lent === null || copy.equals(lent), 'a buffer is not changed while it is lent');
  }
}

function checkExtents(extents: readonly Extent[], offset: number, length: number, countMax: number): void {
  assert(extents.length <= countMax, 'there are no more extents than asked for');
  let end = offset;
  let before: Extent | null = null;
  for (const extent of extents) {
    assert(extent.offset === end && extent.length > 0, 'an extent begins where the one before ends');
    const isSame = before !== null && before.zero === extent.zero && before.hole === extent.hole;
    assert(!isSame, 'neighbours of one kind are merged');
    end += extent.length;
    before = extent;
  }
  assert(end <= offset + length, 'extents end where the range does');
  assert(end === offset + length || extents.length === countMax, 'extents cover the range');
}
