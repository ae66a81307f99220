import { createCipheriv, createDecipheriv } from 'node:crypto';

import type { Random } from '#base/random.ts';
import { SECTOR_KEY_BYTES } from '#base/sector-cipher.ts';
import { derive } from '#chunk/seal.ts';
import type { VolumeId } from '#domain/ids.ts';

import { VolumeHostError } from './host.ts';

const CIPHER = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/**
 * The keys of encrypted volumes. Each volume has one of its own, random; `volume.json` holds it sealed (AES-256-GCM under a
 * key derived from the master key, bound to the volume's id). Without the master key the data file is noise; and what a
 * removed volume leaves on a disk is noise too, once its `volume.json` is gone.
 */
export class VolumeKeys {
  readonly #sealKey: Buffer;
  readonly #random: Random;

  constructor(options: { readonly masterKey: Uint8Array; readonly random: Random }) {
    this.#sealKey = derive(options.masterKey, 'volume keys');
    this.#random = options.random;
  }

  /** A new key, sealed: nonce, ciphertext and tag, in base64. */
  make(volume: VolumeId): string {
    const nonce = this.#random.bytes(NONCE_BYTES);
    const cipher = createCipheriv(CIPHER, this.#sealKey, nonce).setAAD(Buffer.from(volume));
    const sealed = [nonce, cipher.update(this.#random.bytes(SECTOR_KEY_BYTES)), cipher.final(), cipher.getAuthTag()];
    return Buffer.concat(sealed).toString('base64');
  }

  /** Throws VolumeHostError `damaged` when it was not sealed for this volume with this master key. */
  open(volume: VolumeId, sealed: string): Buffer {
    const bytes = Buffer.from(sealed, 'base64');
    if (bytes.length !== NONCE_BYTES + SECTOR_KEY_BYTES + TAG_BYTES) throw wrongKey(volume, null);
    const decipher = createDecipheriv(CIPHER, this.#sealKey, bytes.subarray(0, NONCE_BYTES));
    decipher.setAAD(Buffer.from(volume)).setAuthTag(bytes.subarray(-TAG_BYTES));
    const key = decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES));
    try {
      decipher.final();
    } catch (error) {
      throw wrongKey(volume, error);
    }
    return key;
  }
}

function wrongKey(volume: VolumeId, cause: unknown): VolumeHostError {
  const what = 'its key in volume.json does not open with this installation’s master key';
  return new VolumeHostError('damaged', `volume ${volume}: ${what}`, { cause });
}
