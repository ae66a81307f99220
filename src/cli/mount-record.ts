import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { writeFileAtomic } from '#base/atomic-file.ts';
import { makeDirectory } from '#base/make-directory.ts';
import { openRunDirectory } from '#base/run-directory.ts';
import { count, type Decode, nullable, oneOf, record, text } from '#volume/host-decode.ts';

import { CommandError } from './command-error.ts';
import { servedDirectory } from './served-directory.ts';

/** How a disk became a directory. */
export type MountWay = 'file' | 'nbd' | 'loop' | 'fuse2fs';

export const MOUNT_WAYS = ['file', 'nbd', 'loop', 'fuse2fs'] as const;

/** A process that serves a mount. A number alone may be another's by now. */
export interface ServingProcess {
  readonly pid: number;
  /** Clock ticks from the start of the machine to its own (`/proc/PID/stat`, field 22). */
  readonly startTicks: number;
}

/** What `mount` made, and `umount` takes away; written before each step, so that nothing is made that nobody knows of. */
export interface MountRecord {
  /** Where it is seen; absolute, without symlinks. */
  readonly directory: string;
  readonly name: string;
  readonly way: MountWay;
  /** Where nbdfuse shows the disk as a file. */
  readonly fuseDirectory: string | null;
  /** The kernel's device. */
  readonly nbdDevice: string | null;
  /** qemu-nbd, which serves the disk with what is written thrown away. */
  readonly overlay: ServingProcess | null;
  /** nbdfuse, which shows the disk as a file. */
  readonly disk: ServingProcess | null;
  /** fuse2fs, which shows the files. */
  readonly files: ServingProcess | null;
}

const servingProcess = record<ServingProcess>({ pid: count, startTicks: count });

const decodeRecord: Decode<MountRecord> = record<MountRecord>({
  directory: text,
  name: text,
  way: oneOf(MOUNT_WAYS),
  fuseDirectory: nullable(text),
  nbdDevice: nullable(text),
  overlay: nullable(servingProcess),
  disk: nullable(servingProcess),
  files: nullable(servingProcess),
});

/** The records of a data directory: `<data>/run/mounts/<id>.json`, and a directory of the same id for what a mount needs. */
export class MountRecords {
  readonly #directory: string;
  /** Where sockets may be. */
  readonly socketDirectory: string;

  private constructor(directory: string, socketDirectory: string) {
    this.#directory = directory;
    this.socketDirectory = socketDirectory;
  }

  /** Throws CommandError where no server ever kept anything. */
  static async open(data: string | undefined): Promise<MountRecords> {
    const dataDirectory = servedDirectory({ data });
    if (!existsSync(dataDirectory)) {
      throw new CommandError(`there is no data directory ${dataDirectory}; say where the server has it: --data DIR`);
    }
    const { lockDirectory, socketDirectory } = openRunDirectory(dataDirectory);
    const directory = join(lockDirectory, 'mounts');
    await makeDirectory(directory);
    return new MountRecords(directory, socketDirectory);
  }

  /** Of a directory where something is mounted. */
  idOf(directory: string): string {
    return createHash('sha256').update(directory).digest('hex').slice(0, 12);
  }

  workDirectoryOf(directory: string): string {
    return join(this.#directory, this.idOf(directory));
  }

  async find(directory: string): Promise<MountRecord | null> {
    return await read(this.#pathOf(directory));
  }

  async all(): Promise<readonly MountRecord[]> {
    const names = (await readdir(this.#directory)).filter((name) => name.endsWith('.json')).sort();
    const records: MountRecord[] = [];
    for (const name of names) {
      const found = await read(join(this.#directory, name));
      if (found !== null) records.push(found);
    }
    return records;
  }

  async put(mounted: MountRecord): Promise<void> {
    await writeFileAtomic(this.#pathOf(mounted.directory), `${JSON.stringify(mounted, null, 2)}\n`);
  }

  async remove(directory: string): Promise<void> {
    await rm(this.workDirectoryOf(directory), { recursive: true, force: true });
    await rm(this.#pathOf(directory), { force: true });
  }

  #pathOf(directory: string): string {
    return join(this.#directory, `${this.idOf(directory)}.json`);
  }
}

async function read(path: string): Promise<MountRecord | null> {
  let content: string;
  try {
    content = await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
  const value: unknown = JSON.parse(content);
  return decodeRecord(value, path);
}
