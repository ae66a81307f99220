import { link, mkdir, open, opendir, readdir, rename, stat, unlink, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { assert } from '#base/assert.ts';
import { mapAhead } from '#base/map-ahead.ts';
import { sortInTurns } from '#base/sort-in-turns.ts';
import { syncDirectory } from '#base/atomic-file.ts';
import { makeDirectory } from '#base/make-directory.ts';

import { isObjectKey, ObjectExistsError, ObjectStoreError, type ObjectStore } from './object-store.ts';

/** Names of a directory that are read at once. */
const NAMES_PER_READ = 256;
/** Files whose sizes are looked up at once. */
const STATS_MAX = 8;

/**
 * Objects as files under one directory: the key is the path. An object is written beside (`.tmp/`, which is no key),
 * synced, and then renamed (or, with `ifAbsent`, linked) to its place, and the directory is synced. What a crash leaves in
 * `.tmp/` is removed at the next open, so one process at a time may have the directory open.
 * An object `a` and an object `a/b` exclude each other here; that is an ObjectStoreError.
 */
export class FsStore implements ObjectStore {
  readonly #root: string;
  #sequence = 0;
  /** Directories known to exist durably. */
  readonly #directories = new Set<string>();

  private constructor(root: string) {
    this.#root = root;
  }

  static async open(root: string): Promise<FsStore> {
    const store = new FsStore(root);
    const temporary = join(root, '.tmp');
    await trouble('open', root, async () => {
      await makeDirectory(temporary);
      await syncDirectory(root);
      await syncDirectory(dirname(root));
      for (const name of await readdir(temporary)) await unlink(join(temporary, name));
    });
    store.#directories.add(root);
    return store;
  }

  /** The objects of a directory that is only read: opening it sweeps and changes nothing. Throws ObjectStoreError where there is no directory. */
  static async openReadOnly(root: string): Promise<FsStore> {
    await trouble('open', root, async () => readdir(root));
    return new FsStore(root);
  }

  async put(key: string, parts: readonly Uint8Array[], options: { readonly ifAbsent?: boolean } = {}): Promise<void> {
    assert(isObjectKey(key), 'an object key is well-formed');
    await trouble('put', key, async () => {
      const path = join(this.#root, key);
      const temporary = join(this.#root, '.tmp', String((this.#sequence += 1)));
      try {
        const file = await open(temporary, 'wx', 0o600);
        try {
          await writeAll(file, parts);
          await file.datasync();
        } finally {
          await file.close();
        }
        await this.#makeDirectory(dirname(path));
        if (options.ifAbsent === true) {
          await link(temporary, path);
          await unlink(temporary);
        } else await rename(temporary, path);
      } catch (error) {
        await unlink(temporary).catch(() => {}); // The first error says more; what stays is swept at the next open.
        if (options.ifAbsent === true && hasCode(error, 'EEXIST')) throw new ObjectExistsError(`object ${key} exists`);
        throw error;
      }
      await syncDirectory(dirname(path));
    });
  }

  async get(key: string): Promise<Buffer | null> {
    return this.#read(key, async (file) => readAt(file, 0, (await file.stat()).size));
  }

  async getRange(key: string, offset: number, length: number): Promise<Buffer | null> {
    return this.#read(key, async (file) => readAt(file, offset, length));
  }

  async *list(prefix: string): AsyncIterable<{ readonly key: string; readonly sizeBytes: number }> {
    yield* this.#listDirectory('', prefix);
  }

  async delete(key: string): Promise<void> {
    assert(isObjectKey(key), 'an object key is well-formed');
    await trouble('delete', key, async () => {
      const path = join(this.#root, key);
      await unless(isAbsence, () => unlink(path));
      // Also when it was gone: who deleted it may have been killed before this.
      await unless(isAbsence, () => syncDirectory(dirname(path)));
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  async #read(key: string, body: (file: FileHandle) => Promise<Buffer>): Promise<Buffer | null> {
    assert(isObjectKey(key), 'an object key is well-formed');
    return trouble('get', key, async () => {
      let file: FileHandle;
      try {
        file = await open(join(this.#root, key), 'r');
      } catch (error) {
        if (isAbsence(error)) return null;
        throw error;
      }
      try {
        return await body(file);
      } catch (error) {
        if (hasCode(error, 'EISDIR')) return null;
        throw error;
      } finally {
        await file.close();
      }
    });
  }

  /** `directory` is '' or ends in a slash. Sorting a directory as `name/` gives the order of whole keys. */
  async *#listDirectory(
    directory: string,
    prefix: string,
  ): AsyncGenerator<{ readonly key: string; readonly sizeBytes: number }> {
    const keys = await sortInTurns(this.#entryKeys(directory));
    const found = mapAhead(keys, STATS_MAX, async (key) => {
      const sizeBytes = !key.endsWith('/') && key.startsWith(prefix) ? await this.#sizeBytes(key) : null;
      return { key, sizeBytes };
    });
    for await (const { key, sizeBytes } of found) {
      if (key.endsWith('/')) {
        if (key.startsWith(prefix) || prefix.startsWith(key)) yield* this.#listDirectory(key, prefix);
      } else if (sizeBytes !== null) yield { key, sizeBytes };
    }
  }

  /** A few names at a time: a directory may have a hundred thousand. */
  async *#entryKeys(directory: string): AsyncGenerator<string> {
    const opened = await trouble('list', directory, async () => {
      try {
        return await opendir(join(this.#root, directory), { bufferSize: NAMES_PER_READ });
      } catch (error) {
        if (isAbsence(error)) return null;
        throw error;
      }
    });
    if (opened === null) return;
    try {
      for (;;) {
        const entry = await trouble('list', directory, () => opened.read());
        if (entry === null) return;
        if (!isObjectKey(entry.name) || !(entry.isFile() || entry.isDirectory())) continue;
        yield `${directory}${entry.name}${entry.isDirectory() ? '/' : ''}`;
      }
    } finally {
      await opened.close();
    }
  }

  async #sizeBytes(key: string): Promise<number | null> {
    return trouble('list', key, async () => {
      try {
        return (await stat(join(this.#root, key))).size;
      } catch (error) {
        if (isAbsence(error)) return null; // Deleted since its directory was read.
        throw error;
      }
    });
  }

  /** Makes a directory and those above it, each synced into its parent. */
  async #makeDirectory(path: string): Promise<void> {
    if (this.#directories.has(path)) return;
    await this.#makeDirectory(dirname(path));
    try {
      await mkdir(path, { mode: 0o700 });
    } catch (error) {
      if (!hasCode(error, 'EEXIST')) throw error;
    }
    await syncDirectory(dirname(path));
    this.#directories.add(path);
  }
}

async function writeAll(file: FileHandle, parts: readonly Uint8Array[]): Promise<void> {
  let position = 0;
  for (const part of parts) {
    let done = 0;
    while (done < part.length) {
      const { bytesWritten } = await file.write(part, done, part.length - done, position);
      done += bytesWritten;
      position += bytesWritten;
    }
  }
}

async function readAt(file: FileHandle, offset: number, length: number): Promise<Buffer> {
  const target = Buffer.allocUnsafeSlow(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await file.read(target, done, length - done, offset + done);
    if (bytesRead === 0) return target.subarray(0, done);
    done += bytesRead;
  }
  return target;
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

/** Does the work; an error that is expected is none. */
async function unless(isExpected: (error: unknown) => boolean, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!isExpected(error)) throw error;
  }
}

function isAbsence(error: unknown): boolean {
  return hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR');
}

/** Errors of the file system that may pass by themselves or by the user's making room. */
const PASSING = ['EAGAIN', 'EBUSY', 'EINTR', 'EMFILE', 'ENFILE', 'ENOMEM', 'ENOSPC', 'EDQUOT', 'ETIMEDOUT'];

async function trouble<R>(verb: string, what: string, body: () => Promise<R>): Promise<R> {
  try {
    return await body();
  } catch (error) {
    if (error instanceof ObjectExistsError) throw error;
    throw new ObjectStoreError(`${verb} ${what}`, {
      cause: error,
      retryable: PASSING.some((code) => hasCode(error, code)),
    });
  }
}
