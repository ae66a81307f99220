import {
  closeSync,
  constants,
  fdatasync,
  fstatSync,
  ftruncateSync,
  openSync,
  read,
  readSync,
  writeSync,
} from 'node:fs';
import { readdir, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

import { syncDirectory } from '#base/atomic-file.ts';
import { makeDirectory } from '#base/make-directory.ts';
import { DeviceError } from '#block/device.ts';

/**
 * An open file of a volume directory. Reads and writes are synchronous: what they touch is mostly in the page cache, and a
 * cut between two of them needs no quiescing. `readLater` is for what is not. Errors are the system's (`code`), wrapped by whoever knows what was being done.
 */
export interface VolumeFile {
  /** For threads of this process that write to it; missing where only this object may. */
  readonly descriptor?: number;
  sizeBytes(): number;
  /** Fills target[start, start + length) from `position`; answers how many bytes there were. */
  read(target: Uint8Array, start: number, length: number, position: number): number;
  /** The same in another thread; the file must not be closed before it resolves. */
  readLater(target: Uint8Array, start: number, length: number, position: number): Promise<number>;
  /** Answers how many bytes of source[start, start + length) were written. */
  write(source: Uint8Array, start: number, length: number, position: number): number;
  truncate(sizeBytes: number): void;
  /** Everything written before the call is durable when it resolves, and the size that it needs. */
  sync(): Promise<void>;
  close(): void;
}

/** What a volume directory needs of a file system; tests put one in its place that loses power. */
export interface VolumeFiles {
  /** `existing` throws ENOENT when there is none; `replace` makes a file, or empties the one that is there. */
  open(path: string, mode: 'existing' | 'replace'): VolumeFile;
  /** Names in a directory; throws ENOENT when there is none. */
  list(directory: string): Promise<readonly string[]>;
  /** No error when it is there. */
  makeDirectory(path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  /** No error when there is none. */
  remove(path: string): Promise<void>;
  /** Makes creations, renames and removals in the directory durable. */
  syncDirectory(path: string): Promise<void>;
}

class NodeVolumeFile implements VolumeFile {
  readonly descriptor: number;

  constructor(descriptor: number) {
    this.descriptor = descriptor;
  }

  sizeBytes(): number {
    return fstatSync(this.descriptor).size;
  }

  read(target: Uint8Array, start: number, length: number, position: number): number {
    return readSync(this.descriptor, target, start, length, position);
  }

  readLater(target: Uint8Array, start: number, length: number, position: number): Promise<number> {
    return new Promise((resolve, reject) => {
      read(this.descriptor, target, start, length, position, (error, count) =>
        error === null ? resolve(count) : reject(error),
      );
    });
  }

  write(source: Uint8Array, start: number, length: number, position: number): number {
    return writeSync(this.descriptor, source, start, length, position);
  }

  truncate(sizeBytes: number): void {
    ftruncateSync(this.descriptor, sizeBytes);
  }

  sync(): Promise<void> {
    return new Promise((resolve, reject) => {
      fdatasync(this.descriptor, (error) => (error === null ? resolve() : reject(error)));
    });
  }

  close(): void {
    closeSync(this.descriptor);
  }
}

export const nodeVolumeFiles: VolumeFiles = {
  open: (path, mode) => {
    const { O_RDWR, O_CREAT, O_TRUNC } = constants;
    return new NodeVolumeFile(openSync(path, mode === 'existing' ? O_RDWR : O_RDWR | O_CREAT | O_TRUNC, 0o600));
  },
  list: (directory) => readdir(directory),
  makeDirectory,
  rename,
  remove: (path) => rm(path, { force: true }),
  syncDirectory,
};

/** Writes all of `bytes` at `position`. */
export function writeWhole(file: VolumeFile, bytes: Uint8Array, position: number): void {
  for (let start = 0; start < bytes.length;) {
    const count = file.write(bytes, start, bytes.length - start, position + start);
    if (count === 0) throw Object.assign(new Error('the file takes no more bytes'), { code: 'ENOSPC' });
    start += count;
  }
}

/** Fills `target` from `position`; answers how many bytes there were before the file ended. */
export function readWhole(file: VolumeFile, target: Uint8Array, position: number): number {
  for (let start = 0; start < target.length;) {
    const count = file.read(target, start, target.length - start, position + start);
    if (count === 0) return start;
    start += count;
  }
  return target.length;
}

/** Puts a small file in place whole: a reader, also after a crash, sees the old bytes or the new. Durable when it resolves. */
export async function replaceFile(files: VolumeFiles, path: string, bytes: Uint8Array): Promise<void> {
  const temporary = `${path}.tmp`;
  await writeSynced(files, temporary, bytes);
  await files.rename(temporary, path);
  await files.syncDirectory(dirname(path));
}

/** Makes a file with these bytes, or empties the one that is there first. Its bytes are durable when it resolves; its name is once the directory is synced. */
export async function writeSynced(files: VolumeFiles, path: string, bytes: Uint8Array): Promise<void> {
  const file = files.open(path, 'replace');
  try {
    writeWhole(file, bytes, 0);
    await file.sync();
  } finally {
    file.close();
  }
}

/** What the client of a device is told of a system error. */
export function asDeviceError(error: unknown, doing: string): DeviceError {
  if (error instanceof DeviceError) return error;
  const code = errorCode(error);
  const isFull = code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG';
  return new DeviceError(isFull ? 'ENOSPC' : 'EIO', doing, { cause: error });
}

/** The system's name of an error, as `ENOENT`; empty when it has none. */
export function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}
