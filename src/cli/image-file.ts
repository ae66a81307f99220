import { constants, existsSync } from 'node:fs';
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';

import { syncDirectory } from '#base/atomic-file.ts';

import { CommandError } from './command-error.ts';
import type { ImageSink } from './image-copy.ts';

/** A change of bytes [offset, offset + length); `edit` answers as many as it is given. */
export interface FilePatch {
  readonly offset: number;
  readonly length: number;
  readonly edit: (bytes: Buffer) => Buffer;
}

/**
 * A file that is being made under the name `<path>.partial` and gets its own name when it is complete and durable, so that
 * a file of that name is never half an image. Disposed of before that, it is removed.
 */
export class PartialFile implements AsyncDisposable {
  readonly path: string;
  readonly partialPath: string;
  readonly #file: FileHandle;
  #kept = false;

  private constructor(path: string, file: FileHandle) {
    this.path = path;
    this.partialPath = partialPathOf(path);
    this.#file = file;
  }

  /** Makes it, empty. Throws CommandError where either file is there already. */
  static async create(path: string): Promise<PartialFile> {
    if (existsSync(path)) throw new CommandError(`${path} is there already: remove it, or choose another name`);
    try {
      const flags = constants.O_CREAT | constants.O_EXCL | constants.O_RDWR;
      return new PartialFile(path, await open(partialPathOf(path), flags, 0o600));
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'EEXIST') {
        const partial = partialPathOf(path);
        throw new CommandError(`${partial} is there: another export is writing it, or was killed. Remove it first`, {
          cause: error,
        });
      }
      throw new CommandError(`cannot write ${path}`, { cause: error });
    }
  }

  /** Writes a raw image into it. */
  get sink(): ImageSink {
    return { write: (offset, bytes) => writeAll(this.#file, offset, bytes) };
  }

  async truncate(sizeBytes: number): Promise<void> {
    await this.#file.truncate(sizeBytes);
  }

  /** Changes bytes that are there. */
  async patch({ offset, length, edit }: FilePatch): Promise<void> {
    const { buffer, bytesRead } = await this.#file.read(Buffer.alloc(length), 0, length, offset);
    const edited = edit(buffer.subarray(0, bytesRead));
    await writeAll(this.#file, offset, edited);
  }

  /** Gives it its name, durably. */
  async complete(): Promise<void> {
    await this.#file.sync();
    if (existsSync(this.path)) throw new CommandError(`${this.path} was made by somebody else meanwhile`);
    await rename(this.partialPath, this.path);
    this.#kept = true;
    await syncDirectory(dirname(this.path));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
    if (!this.#kept) await rm(this.partialPath, { force: true });
  }
}

function partialPathOf(path: string): string {
  return `${path}.partial`;
}

async function writeAll(file: FileHandle, offset: number, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, offset + done);
    done += bytesWritten;
  }
}

const ZEROS = Buffer.alloc(1024 * 1024);

/** A raw image as a stream: a stream has no holes, so zeros are written where nothing is. */
export class StreamSink implements ImageSink {
  readonly #stream: NodeJS.WritableStream;
  #position = 0;

  constructor(stream: NodeJS.WritableStream) {
    this.#stream = stream;
    stream.on('error', () => {}); // Each write hears of it.
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    await this.fill(offset);
    await this.#send(bytes);
  }

  /** Writes zeros up to this offset. */
  async fill(offset: number): Promise<void> {
    while (this.#position < offset)
      await this.#send(ZEROS.subarray(0, Math.min(ZEROS.length, offset - this.#position)));
  }

  async #send(bytes: Uint8Array): Promise<void> {
    const done = Promise.withResolvers<void>();
    this.#stream.write(bytes, (error) => {
      if (error === null || error === undefined) done.resolve();
      else if ('code' in error && error.code === 'EPIPE')
        done.reject(new CommandError('whoever reads the image has stopped reading'));
      else done.reject(new CommandError('the image cannot be written to standard output', { cause: error }));
    });
    await done.promise;
    this.#position += bytes.length;
  }
}
