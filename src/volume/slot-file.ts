import type { Clock } from '#base/clock.ts';
import { SECTOR_BYTES, type SectorCipher } from '#base/sector-cipher.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';

import { ReadTemperature } from './read-temperature.ts';
import type { Slots } from './slots.ts';
import { asDeviceError, type VolumeFile } from './volume-files.ts';

/** The file grows by so many slots at a time (sparse: they take no space). */
const GROW_SLOTS = 64;
/** What `trimEnd` cuts off at most before other work gets its turn: to give 512 MiB back takes a file system some two milliseconds. */
export const TRIMMED_A_TURN = 1024;

/** Where sectors are put together and encrypted. Shared by all volumes: it is used within one call. */
const scratch = Buffer.allocUnsafeSlow(CHUNK_BYTES);

/** The data file: slot k is the 512 KiB at k × 512 KiB, and which of them are in use. With a cipher, its sectors of 4 KiB are encrypted under their place in the file. */
export class SlotFile {
  readonly slots: Slots;
  /** Something was written since the last sync began. */
  isDirty = false;
  /** Whether the slot last taken was never used before: it reads as zeros. */
  tookFresh = false;
  readonly #file: VolumeFile;
  readonly #clock: Clock;
  readonly #cipher: SectorCipher | null;
  readonly #temperature = new ReadTemperature();
  /** How long the next load takes tells the temperature. Not what decrypting takes: another thread would not make that quicker. */
  #isTimed = false;
  #laterCount = 0;
  #onIdle: (() => void) | null = null;
  /** Whole slots that the file spans. */
  #fileSlots: number;

  constructor(parts: {
    readonly file: VolumeFile;
    readonly slots: Slots;
    readonly clock: Clock;
    readonly cipher: SectorCipher | null;
  }) {
    const { file, slots, clock, cipher } = parts;
    this.#file = file;
    this.#clock = clock;
    this.#cipher = cipher;
    this.slots = slots;
    this.#fileSlots = Math.floor(file.sizeBytes() / CHUNK_BYTES);
  }

  /** Of the data file, for threads that write slots; null where only this object may. */
  get descriptor(): number | null {
    return this.#cipher === null ? (this.#file.descriptor ?? null) : null;
  }

  /**
   * As `readNow`, or in another thread when the file seems not to be in the page cache; then the slot is not used again
   * before it has resolved.
   */
  read(slot: number, within: number, target: Uint8Array, start: number, length: number): Promise<void> | void {
    if (this.#temperature.nextIsCold()) return this.#readLater(slot, within, target, start, length);
    this.#isTimed = true;
    this.readNow(slot, within, target, start, length);
  }

  /** Fills target[start, start + length) from `within` the slot. Throws DeviceError. */
  readNow(slot: number, within: number, target: Uint8Array, start: number, length: number): void {
    if (this.#cipher === null) {
      this.#load(slot, within, target, start, length);
      return;
    }
    const sectors = sectorsOf(within, length);
    if (sectors.length === length) {
      this.#load(slot, within, target, start, length);
      this.#cipher.decrypt(sectorAt(slot, within), target, start, length);
      return;
    }
    this.#loadPlain(this.#cipher, slot, sectors.begin, sectors.length);
    target.set(scratch.subarray(within - sectors.begin, within - sectors.begin + length), start);
  }

  /** Writes source[start, start + length) to `within` the slot. Throws DeviceError; then a part may have been written. */
  write(slot: number, within: number, source: Uint8Array, start: number, length: number): void {
    if (this.#cipher === null) {
      this.#store(slot, within, source, start, length);
      return;
    }
    const sectors = sectorsOf(within, length);
    const sector = sectorAt(slot, sectors.begin);
    if (sectors.length === length) {
      this.#cipher.encrypt(sector, source, start, length, scratch, 0);
    } else {
      this.#loadPlain(this.#cipher, slot, sectors.begin, sectors.length);
      scratch.set(source.subarray(start, start + length), within - sectors.begin);
      this.#cipher.encrypt(sector, scratch, 0, sectors.length, scratch, 0);
    }
    this.#store(slot, sectors.begin, scratch, 0, sectors.length);
  }

  /** Sectors of a slot, as they are for the client, into `scratch`. */
  #loadPlain(cipher: SectorCipher, slot: number, begin: number, length: number): void {
    this.#load(slot, begin, scratch, 0, length);
    cipher.decrypt(sectorAt(slot, begin), scratch, 0, length);
  }

  #load(slot: number, within: number, target: Uint8Array, start: number, length: number): void {
    const isTimed = this.#isTimed;
    this.#isTimed = false;
    const beginMs = isTimed ? this.#clock.monotonicMs() : 0;
    try {
      let done = this.#file.read(target, start, length, slot * CHUNK_BYTES + within);
      while (done < length) {
        const count = this.#file.read(target, start + done, length - done, slot * CHUNK_BYTES + within + done);
        if (count === 0) throw new Error('the data file ends');
        done += count;
      }
    } catch (error) {
      throw asDeviceError(error, `read slot ${slot}`);
    }
    if (isTimed) this.#temperature.observe(this.#clock.monotonicMs() - beginMs, length);
  }

  /** Reads a whole slot in another thread, into `target` and so into the page cache: what is read then in one step comes from there. As it is stored. Throws DeviceError. */
  async warm(slot: number, target: Uint8Array): Promise<void> {
    await this.#whilePinned(slot, () => this.#loadLater(slot, 0, target, 0, CHUNK_BYTES));
  }

  async #readLater(slot: number, within: number, target: Uint8Array, start: number, length: number): Promise<void> {
    await this.#whilePinned(slot, async () => {
      const sectors = this.#cipher === null ? { begin: within, length } : sectorsOf(within, length);
      const isWhole = sectors.length === length;
      const bytes = isWhole ? target : Buffer.allocUnsafeSlow(sectors.length);
      const first = isWhole ? start : 0;
      await this.#loadLater(slot, sectors.begin, bytes, first, sectors.length);
      this.#cipher?.decrypt(sectorAt(slot, sectors.begin), bytes, first, sectors.length);
      if (!isWhole) target.set(bytes.subarray(within - sectors.begin, within - sectors.begin + length), start);
    });
  }

  async #whilePinned(slot: number, work: () => Promise<void>): Promise<void> {
    this.slots.pin(slot);
    this.#laterCount += 1;
    try {
      await work();
    } finally {
      this.slots.unpin(slot);
      this.#laterCount -= 1;
      if (this.#laterCount === 0) this.#onIdle?.();
    }
  }

  async #loadLater(slot: number, within: number, target: Uint8Array, start: number, length: number): Promise<void> {
    try {
      for (let done = 0; done < length;) {
        const position = slot * CHUNK_BYTES + within + done;
        const count = await this.#file.readLater(target, start + done, length - done, position);
        if (count === 0) throw new Error('the data file ends');
        done += count;
      }
    } catch (error) {
      throw asDeviceError(error, `read slot ${slot}`);
    }
  }

  #store(slot: number, within: number, source: Uint8Array, start: number, length: number): void {
    this.isDirty = true;
    try {
      let done = this.#file.write(source, start, length, slot * CHUNK_BYTES + within);
      while (done < length) {
        const count = this.#file.write(source, start + done, length - done, slot * CHUNK_BYTES + within + done);
        if (count === 0) throw new Error('the data file takes no more bytes');
        done += count;
      }
    } catch (error) {
      throw asDeviceError(error, `write slot ${slot}`);
    }
  }

  /** A slot that nothing points to; `tookFresh` says whether it is zeros. Throws DeviceError. */
  take(): number {
    const reused = this.slots.reuse();
    this.tookFresh = reused < 0;
    if (reused >= 0) return reused;
    if (this.slots.endSlot >= this.#fileSlots) this.#grow();
    return this.slots.extend();
  }

  /** Throws the system's error. */
  async sync(): Promise<void> {
    this.isDirty = false;
    await this.#file.sync();
  }

  /**
   * Cuts the free end off the file, `countMax` slots of it at most: they are fresh afterwards. Nothing durable may point
   * there. Answers whether there may be more to cut off. Throws DeviceError, and then nothing has changed.
   */
  trimEnd(countMax: number): boolean {
    const endBefore = this.slots.endSlot;
    this.slots.trimEnd(countMax);
    try {
      this.#file.truncate(this.slots.endSlot * CHUNK_BYTES);
    } catch (error) {
      // They are not zeros, so they must not be taken for fresh ones.
      while (this.slots.endSlot < endBefore) this.slots.putBack(this.slots.extend());
      throw asDeviceError(error, 'cut the end off the data file');
    }
    this.#fileSlots = this.slots.endSlot;
    return endBefore - this.slots.endSlot === countMax;
  }

  /** Closes once no other thread reads any more; nothing else may be begun. */
  async close(): Promise<void> {
    if (this.#laterCount > 0) await new Promise<void>((resolve) => (this.#onIdle = resolve));
    this.#file.close();
  }

  #grow(): void {
    const fileSlots = this.slots.endSlot + GROW_SLOTS;
    try {
      this.#file.truncate(fileSlots * CHUNK_BYTES);
    } catch (error) {
      throw asDeviceError(error, 'grow the data file');
    }
    this.isDirty = true;
    this.#fileSlots = fileSlots;
  }
}

/** The sectors that a range of a slot touches. */
function sectorsOf(within: number, length: number): { readonly begin: number; readonly length: number } {
  const begin = within - (within % SECTOR_BYTES);
  return { begin, length: Math.ceil((within + length) / SECTOR_BYTES) * SECTOR_BYTES - begin };
}

/** The number of a sector: its place in the file. */
function sectorAt(slot: number, begin: number): number {
  return (slot * CHUNK_BYTES + begin) / SECTOR_BYTES;
}
