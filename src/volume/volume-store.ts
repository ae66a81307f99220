import { readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { syncDirectory } from '#base/atomic-file.ts';
import { makeDirectory } from '#base/make-directory.ts';
import { parseVolumeId, type VolumeId } from '#domain/ids.ts';

import { VolumeHostError } from './host.ts';
import { decodeVolumeRecord, type VolumeRecord } from './volume-file.ts';

/** A directory that is being removed: the volume does not exist any more, whatever is left in it. */
const TOMBSTONE = '.removed';
/** What only a volume has. */
const PART = /^(map|log)\./;

/**
 * The directories of all volumes of a host.
 *
 * A removal begins with a rename to a tombstone, which is durable before anything is deleted: after a crash a volume is
 * there whole or not at all, and what is left of a tombstone is deleted at the next start.
 */
export class VolumeStore {
  readonly #root: string;

  private constructor(root: string) {
    this.#root = root;
  }

  /** Makes the directory and finishes the removals that a crash interrupted. */
  static async open(root: string): Promise<VolumeStore> {
    await makeDirectory(root);
    await syncDirectory(dirname(root));
    await syncDirectory(root); // What a killed process renamed stays so before it goes.
    for (const name of await readdir(root)) {
      if (name.endsWith(TOMBSTONE)) await rm(join(root, name), { recursive: true, force: true });
    }
    return new VolumeStore(root);
  }

  pathOf(volume: VolumeId): string {
    return join(this.#root, volume);
  }

  async has(volume: VolumeId): Promise<boolean> {
    return (await this.read(volume)) !== null;
  }

  /**
   * What `volume.json` says; null when there is no volume, or only the beginning of one whose creation was interrupted.
   * Throws when it cannot be known.
   */
  async read(volume: VolumeId): Promise<VolumeRecord | null> {
    const path = this.pathOf(volume);
    const bytes = await unlessAbsent(() => readFile(join(path, 'volume.json')));
    if (bytes !== null) return decodeVolumeRecord(bytes);
    const data = await unlessAbsent(() => stat(join(path, 'data')));
    if (data !== null && data.size > 0) {
      throw new VolumeHostError('damaged', `volume ${volume} has data and no volume.json`);
    }
    return null;
  }

  /**
   * As `read`, for one that must know what the directory is: also the beginning of a volume, whose `volume.json` may have
   * been there and be lost, is `damaged`. Null: nothing of a volume is there.
   */
  async readAll(volume: VolumeId): Promise<VolumeRecord | null> {
    const record = await this.read(volume);
    if (record !== null) return record;
    const names = (await unlessAbsent(() => readdir(this.pathOf(volume)))) ?? [];
    const part = names.find((name) => PART.test(name));
    if (part !== undefined) throw new VolumeHostError('damaged', `volume ${volume} has ${part} and no volume.json`);
    return null;
  }

  /** Every directory of a volume, open or not. */
  async list(): Promise<readonly VolumeId[]> {
    const names = await readdir(this.#root);
    return names.map(parseVolumeId).filter((id) => id !== null);
  }

  /** Gives back all of a volume that nobody has open. Durable when it resolves; no error when there is none. */
  async remove(volume: VolumeId): Promise<void> {
    const path = this.pathOf(volume);
    const tombstone = `${path}${TOMBSTONE}`;
    if ((await unlessAbsent(() => stat(path))) !== null) {
      await rm(tombstone, { recursive: true, force: true }); // Of an earlier volume of this id, half removed.
      await rename(path, tombstone);
    }
    // Before anything of it goes; also when it was renamed by a process that was killed before this.
    await syncDirectory(this.#root);
    await rm(tombstone, { recursive: true, force: true });
  }
}

async function unlessAbsent<R>(read: () => Promise<R>): Promise<R | null> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
}
