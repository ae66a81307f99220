import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto';

import type { Random } from '#base/random.ts';
import { SECTOR_KEY_BYTES } from '#base/sector-cipher.ts';
import { derive } from '#chunk/seal.ts';
import type { VolumeId } from '#domain/ids.ts';

import { VolumeHostError } from './host.ts';

const CIPHER = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const DATA_KEY_BYTES = 32;

/**
 * The keys of encrypted volumes. Each volume has one of its own, random; `volume.json` holds it sealed (AES-256-GCM under a
 * key derived from the master key, bound to the volume's id). Without the master key the data file is noise; and what a
 * removed volume leaves on a disk is noise too, once its `volume.json` is gone. A volume that has a data key is sealed under
 * both: it is noise also to who has the master key, once nobody has the data key any more.
 */
export class VolumeKeys {
  readonly #sealKey: Buffer;
  readonly #random: Random;

  constructor(options: { readonly masterKey: Uint8Array; readonly random: Random }) {
    this.#sealKey = derive(options.masterKey, 'volume keys');
    this.#random = options.random;
  }

  /** A new key, sealed: nonce, ciphertext and tag, in base64. `dataKey`: 32 bytes. */
  make(volume: VolumeId, dataKey: Uint8Array | null = null): string {
    const nonce = this.#random.bytes(NONCE_BYTES);
    const cipher = createCipheriv(CIPHER, this.#sealKeyUnder(dataKey), nonce).setAAD(Buffer.from(volume));
    const sealed = [nonce, cipher.update(this.#random.bytes(SECTOR_KEY_BYTES)), cipher.final(), cipher.getAuthTag()];
    return Buffer.concat(sealed).toString('base64');
  }

  /** Throws VolumeHostError `damaged` when it was not sealed for this volume with this master key and this data key. */
  open(volume: VolumeId, sealed: string, dataKey: Uint8Array | null = null): Buffer {
    const bytes = Buffer.from(sealed, 'base64');
    if (bytes.length !== NONCE_BYTES + SECTOR_KEY_BYTES + TAG_BYTES) throw wrongKey(volume, null);
    const decipher = createDecipheriv(CIPHER, this.#sealKeyUnder(dataKey), bytes.subarray(0, NONCE_BYTES));
    decipher.setAAD(Buffer.from(volume)).setAuthTag(bytes.subarray(-TAG_BYTES));
    const key = decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES));
    try {
      decipher.final();
    } catch (error) {
      throw wrongKey(volume, error);
    }
    return key;
  }

  #sealKeyUnder(dataKey: Uint8Array | null): Buffer {
    if (dataKey === null) return this.#sealKey;
    return Buffer.from(hkdfSync('sha256', dataKey, this.#sealKey, 'varve 1 volume key under a data key', 32));
  }
}

/** Of a request, in base64. Throws VolumeHostError when it is no data key. */
export function dataKeyOf(text: string | null | undefined): Buffer | null {
  if (text === null || text === undefined) return null;
  const bytes = Buffer.from(text, 'base64');
  if (bytes.length !== DATA_KEY_BYTES) throw new VolumeHostError('internal', 'a data key has 32 bytes');
  return bytes;
}

/** Those that are given. Throws as `dataKeyOf`. */
export function dataKeysOf(...texts: readonly (string | null | undefined)[]): readonly Buffer[] {
  return texts.map(dataKeyOf).filter((key) => key !== null);
}

function wrongKey(volume: VolumeId, cause: unknown): VolumeHostError {
  const what =
    'its key in volume.json does not open with this installation’s master key, or its data key is another one';
  return new VolumeHostError('damaged', `volume ${volume}: ${what}`, { cause });
}
