/** The file that takes the stream of bytes of a reply. */
import { createWriteStream, openSync, rmSync, statSync } from 'node:fs';
import type { Writable } from 'node:stream';
import { failure, osErrorText } from '#client/failure.ts';

export class Outfile {
  readonly path: string;
  #opened = false;

  constructor(path: string) {
    this.path = path;
  }

  /** Empties what is there. Throws ClientError. */
  open(): Writable {
    try {
      const writable = createWriteStream('', { fd: openSync(this.path, 'w') });
      this.#opened = true;
      return writable;
    } catch (error) {
      throw failure(`${osErrorText(error)}: '${this.path}'`);
    }
  }

  /** Removes half of a stream, which nobody could tell from a whole one. What is no file (a device, a pipe) stays. */
  remove(): void {
    if (!this.#opened || statSync(this.path, { throwIfNoEntry: false })?.isFile() !== true) return;
    rmSync(this.path, { force: true });
  }
}
