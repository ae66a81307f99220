import { dirname, join } from 'node:path';

import { assert } from '#base/assert.ts';
import { crc32c } from '#base/crc32c.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { VolumeId } from '#domain/ids.ts';

import { encodeFirstCheckpoint } from './checkpoint.ts';
import { VolumeHostError } from './host.ts';
import { encodeFirstLog, type LogIdentity, MapLog } from './map-log.ts';
import { decodeVolumeRecord, encodeVolumeRecord, type VolumeRecord } from './volume-file.ts';
import { errorCode, readWhole, replaceFile, type VolumeFile, type VolumeFiles, writeSynced } from './volume-files.ts';
import { VolumeMap, type VolumeMapShape } from './volume-map.ts';

const FIRST = 1;
const NUMBERED = /^(map|log)\.([1-9][0-9]{0,8})$/;
const SYNC_FAILED = 'sync-failed';
const RECORD_BYTES_MAX = 1024 * 1024;

/** Where the files of a volume are, and what their names mean. */
export class VolumeDirectory {
  readonly path: string;
  readonly files: VolumeFiles;
  readonly #volumeTag: number;

  constructor(files: VolumeFiles, path: string, volume: VolumeId) {
    this.files = files;
    this.path = path;
    this.#volumeTag = crc32c(Buffer.from(volume, 'latin1'));
  }

  get dataPath(): string {
    return join(this.path, 'data');
  }

  mapPath(number: number): string {
    return join(this.path, `map.${number}`);
  }

  logPath(number: number): string {
    return join(this.path, `log.${number}`);
  }

  identity(number: number): LogIdentity {
    return { volumeTag: this.#volumeTag, number };
  }

  /** A log that `createLog` made. */
  openLog(number: number): MapLog {
    return MapLog.openEmpty(this.files, this.logPath(number), this.identity(number));
  }

  /**
   * Remembers that a sync failed: the kernel may have dropped what it could not write, and yet show it, until power is lost.
   * In one step, so that it holds though the process dies right after. It need not outlive the machine: another boot counts
   * no more than this leaves. Throws the system's error.
   */
  markSyncFailed(): void {
    this.files.open(this.#syncFailedPath, 'replace').close();
  }

  async isSyncFailed(): Promise<boolean> {
    return (await this.files.list(this.path)).includes(SYNC_FAILED);
  }

  /** What is shown is on the disk again. */
  async clearSyncFailed(): Promise<void> {
    await this.files.remove(this.#syncFailedPath);
  }

  get #syncFailedPath(): string {
    return join(this.path, SYNC_FAILED);
  }

  sync(): Promise<void> {
    return this.files.syncDirectory(this.path);
  }

  /** Numbers of the checkpoints and logs that are there, ascending. */
  async numbers(): Promise<{ readonly maps: readonly number[]; readonly logs: readonly number[] }> {
    const maps: number[] = [];
    const logs: number[] = [];
    for (const name of await this.files.list(this.path)) {
      const match = NUMBERED.exec(name);
      if (match !== null) (match[1] === 'map' ? maps : logs).push(Number(match[2]));
    }
    return { maps: maps.toSorted((a, b) => a - b), logs: logs.toSorted((a, b) => a - b) };
  }

  /** Removes checkpoints and logs from `first` on, before `number`. */
  async removeBefore(number: number, first: number): Promise<void> {
    for (let old = first; old < number; old += 1) {
      await this.files.remove(this.mapPath(old));
      await this.files.remove(this.logPath(old));
    }
  }

  /** Removes what a crash left: temporary files, checkpoints and logs outside [base, active]. */
  async removeLeftovers(base: number, active: number): Promise<void> {
    for (const name of await this.files.list(this.path)) {
      const match = NUMBERED.exec(name);
      const isOutside = match !== null && (Number(match[2]) < base || Number(match[2]) > active);
      if (isOutside || name.endsWith('.tmp')) await this.files.remove(join(this.path, name));
    }
  }
}

function recordPath(path: string): string {
  return join(path, 'volume.json');
}

/** Makes the directory of a new volume; `volume.json` comes last and makes it one. See VolumeDevice.create. */
export async function createVolumeDirectory(files: VolumeFiles, path: string, record: VolumeRecord): Promise<void> {
  assert(record.sizeBytes > 0 && record.sizeBytes % CHUNK_BYTES === 0, 'a volume has a whole number of chunks');
  const there = await readVolumeRecord(files, path);
  if (there === null) await fillVolumeDirectory(files, path, record);
  else {
    assert(there.volume === record.volume, 'a directory belongs to one volume');
    // The crash that ended the first attempt may have come before these.
    await files.syncDirectory(path);
    await files.syncDirectory(dirname(path));
  }
}

/** Whoever restores a snapshot waits for this, and each sync is a turn of the disk: what needs no order is synced at once. */
async function fillVolumeDirectory(files: VolumeFiles, path: string, record: VolumeRecord): Promise<void> {
  const directory = new VolumeDirectory(files, path, record.volume);
  await files.makeDirectory(path);
  const map = new VolumeMap(mapShape(record));
  files.open(directory.dataPath, 'replace').close();
  const temporary = `${recordPath(path)}.tmp`;
  await allDone([
    // The log begins outside any boot: nothing in it is uncommitted.
    writeSynced(files, directory.logPath(FIRST), encodeFirstLog(directory.identity(FIRST), 'none')),
    writeSynced(files, directory.mapPath(FIRST), encodeFirstCheckpoint(map, directory.identity(FIRST))),
    writeSynced(files, temporary, encodeVolumeRecord(record)),
    files.syncDirectory(dirname(path)),
  ]);
  // The names of all that it needs, before the name that says that it is there.
  await directory.sync();
  await files.rename(temporary, recordPath(path));
  await directory.sync();
}

/** Resolves when each has; rejects with the first error, and only when none is under way any more. */
async function allDone(parts: readonly Promise<void>[]): Promise<void> {
  const settled = await Promise.allSettled(parts);
  const failed = settled.find((one) => one.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

/** Null when there is no volume. Throws VolumeHostError `damaged`. */
export async function readVolumeRecord(files: VolumeFiles, path: string): Promise<VolumeRecord | null> {
  let file: VolumeFile;
  try {
    file = files.open(recordPath(path), 'existing');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null;
    throw error;
  }
  try {
    const sizeBytes = file.sizeBytes();
    if (sizeBytes > RECORD_BYTES_MAX) throw new VolumeHostError('damaged', 'volume.json is too large to be one');
    const bytes = Buffer.alloc(sizeBytes);
    return decodeVolumeRecord(bytes.subarray(0, readWhole(file, bytes, 0)));
  } finally {
    file.close();
  }
}

export async function writeVolumeRecord(files: VolumeFiles, path: string, record: VolumeRecord): Promise<void> {
  await replaceFile(files, recordPath(path), encodeVolumeRecord(record));
}

/** How large a volume's map is, and how much of it the origin fills. */
export function mapShape(record: VolumeRecord): VolumeMapShape {
  const chunkCount = record.sizeBytes / CHUNK_BYTES;
  const originCount = Math.min(chunkCount, record.origin?.chunkCount ?? 0);
  return { chunkCount, originCount, isDetached: record.detached };
}
