import { createCipheriv, createDecipheriv } from 'node:crypto';

import { assert } from './assert.ts';

/** What is encrypted in one piece, and bytes of the key (two of AES-256). */
export const SECTOR_BYTES = 4096;
export const SECTOR_KEY_BYTES = 64;

const WORDS = SECTOR_BYTES / 4;
/** Sectors worked on together: enough that a call of OpenSSL costs little beside them, few enough to stay in the cache. */
const BATCH = 16;
const ZERO_SECTOR = Buffer.alloc(SECTOR_BYTES);

/** Shared by all ciphers of a thread: they are used within one call. */
const masks = new Uint32Array(BATCH * WORDS);
const words = new Uint32Array(BATCH * WORDS);
const bytesOfWords = Buffer.from(words.buffer);
const numbers = Buffer.alloc(BATCH * 16);

/**
 * AES-256-XTS (IEEE 1619, NIST SP 800-38E) of 4 KiB sectors, each under its number (little-endian, 16 bytes).
 *
 * Node offers XTS, for which each sector needs an object of its own; that costs several times what the cipher does. So the
 * masks are computed and applied here, and two AES objects serve all sectors. The result is the same, byte for byte.
 *
 * A sector of zeros as it is stored stands for a sector of zeros: holes of a file need no key. No other content has that
 * ciphertext, but for a chance of 2^-32768.
 */
export class SectorCipher {
  readonly #encryptor: ReturnType<typeof createCipheriv>;
  readonly #decryptor: ReturnType<typeof createDecipheriv>;
  readonly #tweaker: ReturnType<typeof createCipheriv>;

  constructor(key: Uint8Array) {
    assert(key.length === SECTOR_KEY_BYTES, 'a key of sectors has 64 bytes');
    this.#encryptor = createCipheriv('aes-256-ecb', key.subarray(0, 32), null).setAutoPadding(false);
    this.#decryptor = createDecipheriv('aes-256-ecb', key.subarray(0, 32), null).setAutoPadding(false);
    this.#tweaker = createCipheriv('aes-256-ecb', key.subarray(32), null).setAutoPadding(false);
  }

  /** Whole sectors from source[start, …) to target[at, …); `sector` is the number of the first. The two may be the same bytes. */
  encrypt(sector: number, source: Uint8Array, start: number, length: number, target: Uint8Array, at: number): void {
    assert(length % SECTOR_BYTES === 0, 'sectors are encrypted whole');
    for (let done = 0; done < length;) {
      const count = Math.min(BATCH, (length - done) / SECTOR_BYTES);
      const from = start + done;
      bytesOfWords.set(source.subarray(from, from + count * SECTOR_BYTES));
      this.#makeMasks(sector + done / SECTOR_BYTES, count);
      target.set(this.#masked(this.#encryptor, count), at + done);
      done += count * SECTOR_BYTES;
    }
  }

  /** Whole sectors of bytes[start, …), in place. */
  decrypt(sector: number, bytes: Uint8Array, start: number, length: number): void {
    assert(length % SECTOR_BYTES === 0, 'sectors are decrypted whole');
    for (let done = 0; done < length;) {
      const count = Math.min(BATCH, (length - done) / SECTOR_BYTES);
      const from = start + done;
      const stored = bytes.subarray(from, from + count * SECTOR_BYTES);
      bytesOfWords.set(stored);
      const holes = holesOf(count);
      this.#makeMasks(sector + done / SECTOR_BYTES, count);
      bytes.set(this.#masked(this.#decryptor, count), from);
      if (holes !== 0) fillHoles(holes, count, stored);
      done += count * SECTOR_BYTES;
    }
  }

  /** Masks, ciphers and masks again the first sectors of `words`; the answer is good until the next call. */
  #masked(cipher: { update(data: Buffer): Buffer }, count: number): Buffer {
    const end = count * WORDS;
    for (let word = 0; word < end; word += 1) words[word] = (words[word] as number) ^ (masks[word] as number);
    bytesOfWords.set(cipher.update(bytesOfWords.subarray(0, count * SECTOR_BYTES)));
    for (let word = 0; word < end; word += 1) words[word] = (words[word] as number) ^ (masks[word] as number);
    return bytesOfWords.subarray(0, count * SECTOR_BYTES);
  }

  /** The mask of a sector's first 16 bytes is its encrypted number; each further one is the one before times x in GF(2^128). */
  #makeMasks(sector: number, count: number): void {
    for (let at = 0; at < count; at += 1) {
      numbers.writeUInt32LE((sector + at) % 0x1_0000_0000, at * 16);
      numbers.writeUInt32LE(Math.floor((sector + at) / 0x1_0000_0000), at * 16 + 4);
    }
    const firsts = this.#tweaker.update(numbers.subarray(0, count * 16));
    for (let at = 0, word = 0; at < count; at += 1) {
      let a = firsts.readInt32LE(at * 16);
      let b = firsts.readInt32LE(at * 16 + 4);
      let c = firsts.readInt32LE(at * 16 + 8);
      let d = firsts.readInt32LE(at * 16 + 12);
      for (const end = word + WORDS; word < end; word += 4) {
        masks[word] = a;
        masks[word + 1] = b;
        masks[word + 2] = c;
        masks[word + 3] = d;
        const carry = (d >> 31) & 0x87;
        d = (d << 1) | (c >>> 31);
        c = (c << 1) | (b >>> 31);
        b = (b << 1) | (a >>> 31);
        a = (a << 1) ^ carry;
      }
    }
  }
}

/** Which of the first sectors of `words` are zeros, a bit each. */
function holesOf(count: number): number {
  let holes = 0;
  for (let at = 0; at < count; at += 1) {
    if (words[at * WORDS] !== 0) continue;
    if (ZERO_SECTOR.compare(bytesOfWords, at * SECTOR_BYTES, (at + 1) * SECTOR_BYTES) === 0) holes |= 1 << at;
  }
  return holes;
}

function fillHoles(holes: number, count: number, bytes: Uint8Array): void {
  for (let at = 0; at < count; at += 1) {
    if (((holes >>> at) & 1) === 1) bytes.fill(0, at * SECTOR_BYTES, (at + 1) * SECTOR_BYTES);
  }
}
