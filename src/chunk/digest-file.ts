import { closeSync, constants, openSync, readSync, writeSync } from 'node:fs';

import { DIGESTS_BYTES } from './chunk-digests.ts';

const FLAGS = constants.O_RDWR | constants.O_CREAT;
/** It says nothing of what is in the chunks, but which of their segments are equal. */
const MODE = 0o600;

/**
 * What the digests of a volume's chunks were when they were last addressed, chunk n's at byte n × 512
 * (docs/formats/volume.md). It is believed only as far as an address proves it: digests that do not give the address that
 * is looked for are nothing. So it may be lost, old, torn, or another volume's, and is written without a sync. Where it
 * cannot be read or written, there is none. Synchronous, for a thread of its own.
 */
export class DigestFile implements Disposable {
  readonly #file: number | null;

  /** Null: there is none. */
  constructor(path: string | null) {
    this.#file = path === null ? null : openIfPossible(path);
  }

  /** What is said of a chunk, to be proved; null: nothing. */
  read(index: number): Buffer | null {
    if (this.#file === null) return null;
    const digests = Buffer.allocUnsafe(DIGESTS_BYTES);
    try {
      const count = readSync(this.#file, digests, 0, DIGESTS_BYTES, index * DIGESTS_BYTES);
      return count === DIGESTS_BYTES ? digests : null;
    } catch {
      return null;
    }
  }

  write(index: number, digests: Uint8Array): void {
    if (this.#file === null) return;
    try {
      writeSync(this.#file, digests, 0, DIGESTS_BYTES, index * DIGESTS_BYTES);
    } catch {
      // The disk is full, say: then the whole chunk is read next time.
    }
  }

  [Symbol.dispose](): void {
    if (this.#file !== null) closeSync(this.#file);
  }
}

function openIfPossible(path: string): number | null {
  try {
    return openSync(path, FLAGS, MODE);
  } catch {
    return null;
  }
}
