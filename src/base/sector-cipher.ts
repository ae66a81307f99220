import { createCipheriv, createDecipheriv } from 'node:crypto';

import { assert } from './assert.ts';
import { MASKED_SECTORS_MAX, type SectorMasks, sectorMasks } from './sector-masks.ts';

/** What is encrypted in one piece, and bytes of the key (two of AES-256). */
export const SECTOR_BYTES = 4096;
export const SECTOR_KEY_BYTES = 64;

const WORDS = SECTOR_BYTES / 4;
const ZERO_SECTOR = Buffer.alloc(SECTOR_BYTES);
const numbers = Buffer.alloc(MASKED_SECTORS_MAX * 16);

interface BlockCipher {
  update(data: Buffer): Buffer;
}

/**
 * AES-256-XTS (IEEE 1619, NIST SP 800-38E) of 4 KiB sectors, each under its number (little-endian, 16 bytes).
 *
 * Node offers XTS, for which each sector needs an object of its own; that costs several times what the cipher does. So the
 * masks are applied here, and three AES objects serve all sectors. The result is the same, byte for byte.
 *
 * A sector of zeros as it is stored stands for a sector of zeros: holes of a file need no key. No other content has that
 * ciphertext, but for a chance of 2^-32768.
 */
export class SectorCipher {
  readonly #encryptor: BlockCipher;
  readonly #decryptor: BlockCipher;
  readonly #tweaker: BlockCipher;
  readonly #masks: SectorMasks;

  constructor(key: Uint8Array) {
    assert(key.length === SECTOR_KEY_BYTES, 'a key of sectors has 64 bytes');
    this.#encryptor = createCipheriv('aes-256-ecb', key.subarray(0, 32), null).setAutoPadding(false);
    this.#decryptor = createDecipheriv('aes-256-ecb', key.subarray(0, 32), null).setAutoPadding(false);
    this.#tweaker = createCipheriv('aes-256-ecb', key.subarray(32), null).setAutoPadding(false);
    this.#masks = sectorMasks();
  }

  /** Whole sectors from source[start, …) to target[at, …); `sector` is the number of the first. The two may be the same bytes. */
  encrypt(sector: number, source: Uint8Array, start: number, length: number, target: Uint8Array, at: number): void {
    assert(length % SECTOR_BYTES === 0, 'sectors are encrypted whole');
    for (let done = 0; done < length;) {
      const count = Math.min(MASKED_SECTORS_MAX, (length - done) / SECTOR_BYTES);
      const bytes = this.#masks.sectors.subarray(0, count * SECTOR_BYTES);
      copy(source, start + done, bytes);
      this.#apply(this.#encryptor, sector + done / SECTOR_BYTES, count, bytes);
      target.set(bytes, at + done);
      done += bytes.length;
    }
  }

  /** Whole sectors of bytes[start, …), in place. */
  decrypt(sector: number, bytes: Uint8Array, start: number, length: number): void {
    assert(length % SECTOR_BYTES === 0, 'sectors are decrypted whole');
    for (let done = 0; done < length;) {
      const count = Math.min(MASKED_SECTORS_MAX, (length - done) / SECTOR_BYTES);
      const sectors = this.#masks.sectors.subarray(0, count * SECTOR_BYTES);
      copy(bytes, start + done, sectors);
      const holes = this.#holesOf(count);
      this.#apply(this.#decryptor, sector + done / SECTOR_BYTES, count, sectors);
      if (holes !== 0) fillHoles(holes, count, sectors);
      bytes.set(sectors, start + done);
      done += sectors.length;
    }
  }

  /** Masks, ciphers and masks again the first sectors of the masks' memory. */
  #apply(cipher: BlockCipher, sector: number, count: number, bytes: Buffer): void {
    for (let at = 0; at < count; at += 1) {
      numbers.writeUInt32LE((sector + at) % 0x1_0000_0000, at * 16);
      numbers.writeUInt32LE(Math.floor((sector + at) / 0x1_0000_0000), at * 16 + 4);
    }
    updateInto(this.#masks.firsts, this.#tweaker, numbers.subarray(0, count * 16));
    this.#masks.mask(count);
    updateInto(bytes, cipher, bytes);
    this.#masks.maskAgain(count);
  }

  /** Which of the first sectors in the masks' memory are zeros, a bit each. */
  #holesOf(count: number): number {
    const { sectors, words } = this.#masks;
    let holes = 0;
    for (let at = 0; at < count; at += 1) {
      if (words[at * WORDS] !== 0) continue;
      if (ZERO_SECTOR.compare(sectors, at * SECTOR_BYTES, (at + 1) * SECTOR_BYTES) === 0) holes |= 1 << at;
    }
    return holes;
  }
}

/**
 * Ciphers `source`, whole blocks, into `target`. Each `update` makes a new buffer. It is given back at once, so that the
 * next one gets the same memory, which the processor's cache still has: else thousands of them would wait for the garbage
 * collector, each in fresh memory, and that takes longer than AES does.
 */
function updateInto(target: Buffer, cipher: BlockCipher, source: Buffer): void {
  const made = cipher.update(source);
  target.set(made);
  // It is the buffer's own memory, and no part of a pool that others use.
  if (made.buffer instanceof ArrayBuffer && made.buffer.byteLength === made.length) made.buffer.transfer(0);
}

function copy(source: Uint8Array, start: number, target: Uint8Array): void {
  target.set(source.subarray(start, start + target.length));
}

function fillHoles(holes: number, count: number, bytes: Uint8Array): void {
  for (let at = 0; at < count; at += 1) {
    if (((holes >>> at) & 1) === 1) bytes.fill(0, at * SECTOR_BYTES, (at + 1) * SECTOR_BYTES);
  }
}
