import { setImmediate } from 'node:timers/promises';

import { assert } from '#base/assert.ts';
import { DeviceError } from '#block/device.ts';
import type { CutId, Epoch, Generation } from '#domain/ids.ts';

import { CheckpointWriter } from './checkpoint.ts';
import { STATE_ZERO } from './chunk-map.ts';
import type { CutTable } from './cut-table.ts';
import type { LogRecord } from './log-record.ts';
import { createLog, LOG_VERSION, type MapLog } from './map-log.ts';
import type { SlotFile } from './slot-file.ts';
import { asDeviceError, type VolumeFile } from './volume-files.ts';
import type { VolumeDirectory } from './volume-directory.ts';
import type { VolumeMap } from './volume-map.ts';

/*
 * Keeps the map in memory, the log and the data file in step.
 *
 * A record is appended, then the map changes: a record that does not fit changes nothing. Everything that a flush promises
 * is in three steps: sync the data; append COMMIT, which covers the records that were there before the data was synced;
 * sync the log. Slots given back by covered records are free from then on. One flush runs at a time; those who come
 * meanwhile share the next.
 *
 * When the log has grown, it is rotated, while requests go on:
 * 1. an empty log n+1 is made, durable;
 * 2. at the end of a flush, at one instant: log n+1 begins with START and a copy of the records that are not committed
 *    yet, and takes all that come later; the checkpoint n+1 begins, of the state of this instant;
 * 3. the checkpoint is written, page by page, to map.<n+1>.tmp, and a flush commits every record that is in it;
 * 4. it is renamed to map.<n+1>; log n and map n are removed.
 * A crash before 2 leaves an empty log, which is removed; between 2 and 4 the state is map n, log n up to where START says,
 * log n+1; after 4 it is map n+1, log n+1 from where the checkpoint says. A rotation that fails is tried again later, with n+2.
 */

export interface JournalLimits {
  /** Rotate when the log is larger; at least. Larger maps have larger logs. */
  readonly logBytesMin: number;
  readonly logBytesMax: number;
  /** Records that no COMMIT covers: from here on a flush is begun without being asked for, so that slots come free and little is copied at a rotation. */
  readonly uncommittedBytesMax: number;
}

export const JOURNAL_LIMITS: JournalLimits = {
  logBytesMin: 8 * 1024 * 1024,
  logBytesMax: 32 * 1024 * 1024,
  uncommittedBytesMax: 4 * 1024 * 1024,
};

/** Pages of a released cut's table looked through before other work gets its turn. */
const DRAIN_PAGES_A_TURN = 16;

/** What recovery hands over. */
export interface JournalParts {
  readonly directory: VolumeDirectory;
  readonly bootId: string;
  readonly map: VolumeMap;
  readonly slotFile: SlotFile;
  readonly log: MapLog;
  /** Of the next record. */
  readonly nextSequence: number;
  /** The checkpoint that the logs go on from. */
  readonly checkpointNumber: number;
  readonly limits: JournalLimits;
  /** A rotation or a flush that nobody waits for went wrong. */
  readonly onTrouble: (error: unknown) => void;
}

export class Journal {
  readonly map: VolumeMap;
  readonly #parts: JournalParts;
  readonly #slotFile: SlotFile;
  #log: MapLog;
  #nextSequence: number;
  /** The first record that no durable COMMIT covers, and where it is, or will be, in the log. */
  #committed: { readonly sequence: number; readonly offset: number };
  #checkpointNumber: number;
  #failure: DeviceError | null = null;
  #running: Promise<void> | null = null;
  #queued: Promise<void> | null = null;
  #rotation: Promise<void> | null = null;
  #rotateAtBytes: number;
  #onCommitted: (() => void) | null = null;
  #isClosed = false;
  readonly #giveBack = (slot: number): void => this.#slotFile.slots.giveBack(slot);
  /** Records of parts since the last commit that covered any began, and those that it covered. */
  #partCount = 0;
  #partCountCommitted = Infinity;
  /** One object for all records of its kind: there may be one for each write. */
  readonly #part = { kind: 'part' as const, index: 0, slot: 0, epoch: 0, first: 0, count: 0 };

  constructor(parts: JournalParts) {
    this.#parts = parts;
    this.map = parts.map;
    this.#slotFile = parts.slotFile;
    this.#log = parts.log;
    this.#nextSequence = parts.nextSequence;
    this.#checkpointNumber = parts.checkpointNumber;
    // Nothing is known to be durable yet; the flush that opens the volume settles it before any rotation.
    this.#committed = { sequence: -1, offset: parts.log.end };
    this.#rotateAtBytes = Infinity; // Until `open` has cleared the directory.
  }

  /** Why the device answers nothing any more: what is durable is not known since a sync failed. */
  get failure(): DeviceError | null {
    return this.#failure;
  }

  /** Whether the log may have records of parts: not one that a program began which knows none, until the next rotation. */
  get takesParts(): boolean {
    return this.#log.version === LOG_VERSION;
  }

  /** About how many records of parts a commit covers, as flushes come now. */
  get partsPerCommit(): number {
    return Math.max(this.#partCount, this.#partCountCommitted);
  }

  /** Makes what recovery found durable, for a new writer: nothing from `voidSequence` on counts. Then removes left-overs. */
  async open(generation: Generation, voidSequence: number): Promise<void> {
    this.#append({ kind: 'open', generation, voidSequence, bootId: this.#parts.bootId }, true);
    this.#slotFile.isDirty = true; // Perhaps not by us, but by a process that was killed.
    await this.flush();
    const { directory } = this.#parts;
    await directory.clearSyncFailed();
    // A checkpoint must have its name for good before what it replaces goes.
    await directory.sync();
    await directory.removeLeftovers(this.#checkpointNumber, this.#log.number);
    // Several logs behind one checkpoint: a rotation did not finish. And a log of an older version is not kept.
    const isInOrder = this.#log.number === this.#checkpointNumber && this.takesParts;
    this.#rotateAtBytes = isInOrder ? this.#logBytesLimit() : 0;
  }

  /** `count` chunks are in `state` since `epoch`. Throws DeviceError, and then nothing has changed. */
  put(index: number, count: number, state: number, epoch: Epoch): void {
    assert(count === 1 || state === STATE_ZERO, 'only zeros come in runs');
    this.#append({ kind: 'put', index, count, state, epoch }, false);
    for (let at = index; at < index + count; at += 1) this.map.put(at, state, epoch, this.#giveBack);
  }

  /** Blocks [first, first + count) of a chunk are in a partial slot since `epoch`: VolumeMap.putPart. The log takes parts. Throws DeviceError, and then nothing has changed. */
  putPart(index: number, slot: number, epoch: Epoch, first: number, count: number): void {
    assert(this.takesParts, 'a log of an older version gets no parts');
    const part = this.#part;
    part.index = index;
    part.slot = slot;
    part.epoch = epoch;
    part.first = first;
    part.count = count;
    this.#append(part, false);
    this.#partCount += 1;
    const shared = this.map.putPart(index, slot, epoch, first, count);
    if (shared >= 0) this.#slotFile.slots.share(shared);
  }

  /** Ends the epoch; answers it. Throws DeviceError. */
  cut(cut: CutId): Epoch {
    const { epoch } = this.map;
    this.#append({ kind: 'cut', cut, epoch }, false);
    this.map.addCut(cut, epoch);
    return epoch;
  }

  /** Gives up a pending cut, and its slots in turns with other work; durable when it resolves. */
  async release(table: CutTable): Promise<void> {
    this.#append({ kind: 'release', epoch: table.epoch }, true);
    this.map.releaseCut(table.epoch);
    let pages = 0;
    for (const _page of this.map.drain(table, this.#giveBack)) {
      pages += 1;
      if (pages % DRAIN_PAGES_A_TURN === 0) await setImmediate();
    }
    await this.flush();
  }

  flush(): Promise<void> {
    if (this.#failure !== null) return Promise.reject(this.#failure);
    if (this.#isClosed) return Promise.reject(new DeviceError('ESHUTDOWN', 'the volume is closed'));
    if (this.#queued !== null) return this.#queued;
    if (this.#running === null) return this.#isClean() ? Promise.resolve() : this.#start();
    this.#queued = this.#startAfter(this.#running);
    return this.#queued;
  }

  async #startAfter(running: Promise<void>): Promise<void> {
    await running.catch(() => {}); // Whoever asked for it is told.
    this.#queued = null;
    if (this.#failure !== null) throw this.#failure;
    await this.#start();
  }

  /** Flushes and closes the files. */
  async close(): Promise<void> {
    assert(!this.#isClosed, 'a journal is closed once');
    try {
      await this.#rotation;
      if (this.#failure === null) await this.flush();
    } finally {
      this.#isClosed = true;
      // Flushes of others: they are told, and need the files until then.
      for (let last = this.#queued ?? this.#running; last !== null; last = this.#queued ?? this.#running) {
        await last.catch(() => {});
      }
      this.#log[Symbol.dispose]();
    }
  }

  #isClean(): boolean {
    return (
      !this.#slotFile.isDirty &&
      this.#nextSequence === this.#committed.sequence &&
      !this.#slotFile.slots.isWaiting &&
      this.#onCommitted === null
    );
  }

  #start(): Promise<void> {
    const running = this.#commit().finally(() => {
      if (this.#running === running) this.#running = null;
    });
    this.#running = running;
    return running;
  }

  async #commit(): Promise<void> {
    const { slots } = this.#slotFile;
    const sequence = this.#nextSequence;
    const offset = this.#log.end;
    slots.beginCommit();
    if (this.#partCount > 0) this.#partCountCommitted = this.#partCount;
    this.#partCount = 0;
    if (this.#slotFile.isDirty) await this.#orFail(() => this.#slotFile.sync(), 'sync the data');
    if (sequence > this.#committed.sequence) {
      try {
        this.#log.append({ kind: 'commit', sequence, syncedBytes: this.#log.synced }, true);
      } catch (error) {
        slots.abandonCommit();
        throw asDeviceError(error, 'append a commit to the log');
      }
      await this.#orFail(() => this.#log.sync(), 'sync the log');
      this.#committed = { sequence, offset };
    }
    slots.endCommit();
    this.#onCommitted?.();
  }

  /** A sync that failed may have dropped what it should have written: nothing more is promised. */
  async #orFail(sync: () => Promise<void>, doing: string): Promise<void> {
    try {
      await sync();
    } catch (error) {
      // The first reason says more than what it led to.
      this.#failure ??= new DeviceError('EIO', `${doing}; the volume must be opened again`, { cause: error });
      this.#markSyncFailed();
      throw this.#failure;
    }
  }

  /** So that the next one to open the volume does not take what the kernel shows for what the disk has. */
  #markSyncFailed(): void {
    const { directory, onTrouble } = this.#parts;
    try {
      directory.markSyncFailed();
    } catch (error) {
      onTrouble(new Error('note that a sync failed', { cause: error }));
    }
  }

  #append(record: LogRecord, useReserve: boolean): void {
    try {
      this.#log.append(record, useReserve);
    } catch (error) {
      throw asDeviceError(error, `append to the log (${record.kind})`);
    }
    this.#nextSequence += 1;
    const { limits, onTrouble } = this.#parts;
    if (this.#log.end >= this.#rotateAtBytes) this.#rotation ??= this.#rotate();
    else if (this.#log.end - this.#committed.offset >= limits.uncommittedBytesMax && this.#running === null) {
      this.flush().catch(onTrouble);
    }
  }

  /** A map is written again when the log has grown to half its size. */
  #logBytesLimit(): number {
    const { logBytesMin, logBytesMax } = this.#parts.limits;
    return Math.min(logBytesMax, Math.max(logBytesMin, this.map.chunks.pageBytes / 2));
  }

  async #rotate(): Promise<void> {
    const { directory, onTrouble } = this.#parts;
    const number = this.#log.number + 1;
    try {
      // Begins in a turn of its own, not inside the request whose record was one too many.
      await setImmediate();
      await createLog(directory.files, directory.logPath(number), directory.identity(number));
      using next = new Handover(directory.openLog(number));
      const temporary = `${directory.mapPath(number)}.tmp`;
      const file = directory.files.open(temporary, 'replace');
      try {
        await this.#writeCheckpoint(file, next);
      } finally {
        file.close();
      }
      await directory.files.rename(temporary, directory.mapPath(number));
      await directory.sync();
      await directory.removeBefore(number, this.#checkpointNumber);
      this.#checkpointNumber = number;
      this.#rotateAtBytes = this.#logBytesLimit();
    } catch (error) {
      this.#rotateAtBytes = this.#log.end + this.#logBytesLimit();
      onTrouble(new Error(`rotate the log to number ${number}`, { cause: error }));
    } finally {
      this.#rotation = null;
    }
  }

  async #writeCheckpoint(file: VolumeFile, next: Handover): Promise<void> {
    const switched: { writer: CheckpointWriter | null; error: unknown } = { writer: null, error: null };
    this.#onCommitted = () => {
      this.#onCommitted = null;
      try {
        switched.writer = this.#switchLog(file, next);
      } catch (error) {
        switched.error = error;
      }
    };
    try {
      await this.flush();
      if (switched.writer === null) throw switched.error;
      await switched.writer.finish();
      // What a checkpoint says is durable, so the data must be: every record in it is older than this flush. And the log
      // must have begun for good, also when there was nothing to commit.
      await this.flush();
      await this.#orFail(() => this.#log.sync(), 'sync the log');
    } finally {
      this.#onCommitted = null;
      switched.writer?.detach();
    }
  }

  /** The instant of the rotation. */
  #switchLog(file: VolumeFile, next: Handover): CheckpointWriter {
    const tail = this.#log.framesFrom(this.#committed.offset);
    const { sequence } = this.#committed;
    const offset = next.log.begin({ firstSequence: sequence, bootId: this.#parts.bootId }, tail);
    this.#log[Symbol.dispose]();
    this.#log = next.take();
    this.#committed = { sequence, offset };
    this.#rotateAtBytes = Infinity; // Until this rotation is over.
    return new CheckpointWriter(file, this.map, this.#parts.directory.identity(this.#log.number), this.#nextSequence);
  }
}

/** A log that closes itself unless it was taken into use. */
class Handover implements Disposable {
  readonly log: MapLog;
  #isTaken = false;

  constructor(log: MapLog) {
    this.log = log;
  }

  take(): MapLog {
    this.#isTaken = true;
    return this.log;
  }

  [Symbol.dispose](): void {
    if (!this.#isTaken) this.log[Symbol.dispose]();
  }
}
