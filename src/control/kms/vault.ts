import { createCipheriv, createDecipheriv, createHmac, hkdfSync } from 'node:crypto';
import { assert } from '#base/assert.ts';
import type { Random } from '#base/random.ts';

const CIPHER = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** What is sealed in the metadata does not open: another master key, or damage. */
export class VaultError extends Error {
  override readonly name = 'VaultError';
}

/**
 * Seals the material of KMS keys, and tokens of KMS that clients keep, with keys that are derived from the installation's
 * master key. The master key itself never comes here. Bytes: docs/formats/kms-keys.md.
 */
export class KeyVault {
  readonly #sealKey: Buffer;
  readonly #identityKey: Buffer;
  readonly #checkKey: Buffer;
  readonly #random: Random;

  /** `root`: 32 bytes, derived from the master key for nothing but this. */
  constructor(options: { readonly root: Uint8Array; readonly random: Random }) {
    assert(options.root.length === 32, 'the vault has a key of 32 bytes');
    const derive = (purpose: string): Buffer => Buffer.from(hkdfSync('sha256', options.root, 'varve', purpose, 32));
    this.#sealKey = derive('varve kms 1 seal');
    this.#identityKey = derive('varve kms 1 material id');
    this.#checkKey = derive('varve kms 1 check');
    this.#random = options.random;
  }

  /** Nonce, ciphertext and tag, in base64. It opens for the same `purpose` only. */
  seal(purpose: readonly string[], plain: Uint8Array): string {
    const nonce = this.#random.bytes(NONCE_BYTES);
    const cipher = createCipheriv(CIPHER, this.#sealKey, nonce).setAAD(aadOf(purpose));
    return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]).toString('base64');
  }

  /** Null: not sealed here for this purpose. */
  open(purpose: readonly string[], sealed: string): Buffer | null {
    const bytes = Buffer.from(sealed, 'base64');
    if (bytes.length < NONCE_BYTES + TAG_BYTES) return null;
    const decipher = createDecipheriv(CIPHER, this.#sealKey, bytes.subarray(0, NONCE_BYTES), {
      authTagLength: TAG_BYTES,
    });
    decipher.setAAD(aadOf(purpose)).setAuthTag(bytes.subarray(-TAG_BYTES));
    const plain = decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES));
    try {
      decipher.final();
    } catch {
      plain.fill(0);
      return null;
    }
    return plain;
  }

  /** 64 hexadecimal digits that follow from a key and its material and tell nothing of it. */
  materialId(keyId: string, material: Uint8Array): string {
    return createHmac('sha256', this.#identityKey).update(keyId).update(material).digest('hex');
  }

  /** Equal for vaults of one master key. */
  check(): string {
    return createHmac('sha256', this.#checkKey).update('varve kms').digest('hex');
  }
}

function aadOf(purpose: readonly string[]): Buffer {
  return Buffer.from(JSON.stringify(purpose));
}
