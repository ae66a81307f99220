import { setImmediate } from 'node:timers/promises';

import { assert } from '#base/assert.ts';
import { type Clock, systemClock } from '#base/clock.ts';
import { KeyLock } from '#base/key-lock.ts';
import { SectorCipher } from '#base/sector-cipher.ts';
import {
  type BlockDevice,
  checkWanted,
  DeviceError,
  type Extent,
  type WriteOptions,
  type ZeroOptions,
} from '#block/device.ts';
import { CHUNK_BYTES, chunkIndexFloor } from '#domain/geometry.ts';
import type { AccountId, CutId, Epoch, Generation, VolumeId } from '#domain/ids.ts';

import { ChunkIo } from './chunk-io.ts';
import type { ListPresent } from './chunk-presence.ts';
import { COMPACTION_LIMITS, Compaction, type CompactionLimits } from './compaction.ts';
import { type ChunkKinds, ExtentScan, VolumeChunkKinds } from './extents.ts';
import { VolumeHostError } from './host.ts';
import { JOURNAL_LIMITS, type Journal, type JournalLimits } from './journal.ts';
import { isRecordName } from './log-record.ts';
import { type FetchedChunks, OriginChunks } from './origin-chunks.ts';
import { oneByOne, type ReadOrigin } from './origin-source.ts';
import { MERGE_LIMITS, type MergeLimits, PartialMerges } from './partial-merges.ts';
import { PartialSlots } from './partial-slots.ts';
import { machineBootId, recover } from './recovery.ts';
import type { SlotFile } from './slot-file.ts';
import { SlotKeeper } from './slot-keeper.ts';
import { createVolumeDirectory, readVolumeRecord, VolumeDirectory, writeVolumeRecord } from './volume-directory.ts';
import type { VolumeRecord } from './volume-file.ts';
import { nodeVolumeFiles, type VolumeFiles } from './volume-files.ts';
import type { Change, VolumeMap } from './volume-map.ts';
import type { VolumeOrigin } from './volume-origin.ts';

export type { Change } from './volume-map.ts';

/*
 * A volume that is open: the map says where each chunk is (zero, origin, or a slot of the data file and its epoch), the log
 * makes that last, cuts end epochs.
 *
 * A chunk is written in place only when its slot is of this epoch. Otherwise it moves: a slot is taken, the data is written,
 * the record is appended, the map changes. What is not written stays in the slot where it is, under the new one, which is
 * partial then (partial-slots.ts), until a merge puts the two together when no cut is pending; or it is brought along, when
 * it is not in a slot that is whole. A slot that is not of this epoch never changes while a cut may need it, so a cut copies
 * nothing and waits for nothing.
 *
 * All this is synchronous, each request in one step (a long zero in several, with a turn for others between), so between two requests there is always an instant for a cut. What
 * waits is only: a flush, and a request that needs the origin: to learn what it holds, which is done for many chunks
 * together, and then for the bytes. That one looks at the map again when they are there and then does its work in one step;
 * what others did meanwhile stays. When whoever asked is gone by then, it does nothing: others may have been told since
 * that what they wrote there is durable. A write covers less than a chunk at its two ends only, so it waits for two chunks at most.
 * Chunks fetched for a read are put into slots of epoch 0. A chunk that the origin is known not to hold is as good as zero,
 * and its entry stays as it is.
 * When all of the origin is here, the volume is detached from it (`detach`): nothing is read through any more, what came from
 * it belongs to the volume as everything else, and the origin may go.
 *
 * What may be lost: see journal.ts (a flush), log-replay.ts (a crash), and map-log.ts (a torn tail, damage).
 */

/** What a new volume is. */
export interface VolumeDeviceSpec {
  readonly volume: VolumeId;
  readonly account: AccountId;
  /** A whole number of chunks. */
  readonly sizeBytes: number;
  readonly origin: VolumeOrigin | null;
  /** Its key, sealed, when it is to be encrypted. */
  readonly sealedKey?: string | null;
  /** At most, of the origin's chunks in the background; null or missing: as the host is set. */
  readonly hydrationBytesPerSecond?: number | null;
}

export interface VolumeDeviceOptions {
  readonly generation: Generation;
  /** The verified 512 KiB of a chunk of the origin, or null where it holds nothing. Its bytes are not changed afterwards. */
  readonly fetchOrigin: (index: number) => Promise<Uint8Array | null>;
  /** Reads several together; without it `fetchOrigin` is asked for each. */
  readonly readOrigin?: ReadOrigin;
  /** Which chunks the origin holds. Without it each is fetched to find out, and extents cannot tell. */
  readonly originPresence?: ListPresent;
  /** Names the time between two starts of the machine; by default what the kernel says. */
  readonly bootId?: string;
  /** What tells how long a read took; the system's by default. */
  readonly clock?: Clock;
  /** Opens the sealed key of an encrypted volume; without it, such a volume is not opened. */
  readonly openKey?: (volume: VolumeId, sealed: string) => Uint8Array;
  /** Trouble that no request is told of: a rotation of the log that is tried again, a fetched chunk that could not be kept. */
  readonly onTrouble?: (error: unknown) => void;
  readonly files?: VolumeFiles;
  readonly limits?: JournalLimits;
  readonly compaction?: CompactionLimits;
  readonly merges?: MergeLimits;
}

export class VolumeDevice implements BlockDevice {
  readonly readOnly = false;
  readonly volume: VolumeId;
  readonly account: AccountId;
  readonly generation: Generation;
  readonly origin: VolumeOrigin | null;
  /** The data file; slots of a pending cut may be read from it by anyone. */
  readonly dataPath: string;
  /** What the sectors of the data file are encrypted with; null: nothing. */
  readonly dataKey: Uint8Array | null;
  readonly #journal: Journal;
  readonly #map: VolumeMap;
  readonly #slotFile: SlotFile;
  readonly #origin: OriginChunks;
  readonly #kinds: ChunkKinds;
  readonly #io: ChunkIo;
  readonly #partials: PartialSlots;
  readonly #merges: PartialMerges;
  readonly #compaction: Compaction;
  readonly #files: VolumeFiles;
  readonly #path: string;
  #record: VolumeRecord;
  readonly #recordLock = new KeyLock();
  /** Nothing is to be fetched any more. */
  #isOriginHere = false;
  #isClosed = false;
  /** Whoever closes it again waits for the same end, and is told of the same failure. */
  #closed: Promise<void> | null = null;

  private constructor(parts: DeviceParts) {
    const { record, options } = parts;
    this.volume = record.volume;
    this.account = record.account;
    this.origin = record.origin;
    this.#record = record;
    this.#files = options.files ?? nodeVolumeFiles;
    this.#path = parts.path;
    this.generation = options.generation;
    this.dataPath = parts.dataPath;
    this.dataKey = parts.dataKey;
    this.#journal = parts.journal;
    this.#map = parts.journal.map;
    this.#slotFile = parts.slotFile;
    this.#origin = new OriginChunks({
      chunks: this.#map.chunks,
      chunkCount: record.origin?.chunkCount ?? 0,
      read: options.readOrigin ?? oneByOne(options.fetchOrigin),
      keeper: new SlotKeeper(parts),
      list: options.originPresence ?? null,
    });
    if (record.detached) this.#origin.detach();
    this.#kinds = new VolumeChunkKinds(this.#map.chunks, this.#origin);
    const partials = new PartialSlots(parts);
    this.#partials = partials;
    this.#io = new ChunkIo({ ...parts, origin: this.#origin, partials });
    const { clock = systemClock, compaction = COMPACTION_LIMITS, merges = MERGE_LIMITS } = options;
    this.#merges = new PartialMerges({ ...parts, partials, clock, limits: merges });
    this.#compaction = new Compaction({ ...parts, clock, limits: compaction });
  }

  /**
   * Makes the directory of a new volume. Durable when it resolves, atomic, idempotent: after a crash in the middle it is
   * simply called again, and a volume that is there stays as it is.
   */
  static async create(directory: string, spec: VolumeDeviceSpec, files: VolumeFiles = nodeVolumeFiles): Promise<void> {
    const { volume, account, sizeBytes, origin, sealedKey = null, hydrationBytesPerSecond = null } = spec;
    await createVolumeDirectory(files, directory, {
      volume,
      account,
      sizeBytes,
      origin,
      detached: false,
      hydrationBytesPerSecond,
      generation: 0,
      sealedKey,
    });
  }

  /**
   * Recovers the volume. Throws VolumeHostError: `volume-not-found`; `fenced` when a higher generation has opened it;
   * `damaged`. Throws DeviceError when the disk is full or fails.
   */
  static async open(path: string, options: VolumeDeviceOptions): Promise<VolumeDevice> {
    const { files = nodeVolumeFiles, generation, onTrouble = (): void => {} } = options;
    const found = await readVolumeRecord(files, path);
    if (found === null) throw new VolumeHostError('volume-not-found', `no volume in ${path}`);
    if (generation < found.generation) {
      throw new VolumeHostError('fenced', `generation ${found.generation} owns ${found.volume}, not ${generation}`);
    }
    const record = { ...found, generation };
    if (generation > found.generation) await writeVolumeRecord(files, path, record);
    const dataKey = dataKeyOf(record, options);
    const cipher = dataKey === null ? null : new SectorCipher(dataKey);
    const directory = new VolumeDirectory(files, path, record.volume);
    const { bootId = machineBootId(), limits = JOURNAL_LIMITS, clock = systemClock } = options;
    const recovered = await recover({ directory, record, generation, bootId, limits, clock, cipher, onTrouble });
    const dataPath = directory.dataPath;
    const device = new VolumeDevice({ ...recovered, record, options, path, dataPath, dataKey, onTrouble });
    device.#merges.consider();
    return device;
  }

  get sizeBytes(): number {
    return this.#record.sizeBytes;
  }

  /** What the volume reads through to; null: nothing, or nothing any more. */
  get originChunks(): OriginChunks | null {
    return this.origin === null || this.isDetached ? null : this.#origin;
  }

  /** All of the origin is in the volume for good, and nothing of it is needed any more. */
  get isDetached(): boolean {
    return this.#record.detached;
  }

  /** `isDetached`, or about to be: whoever needs the origin itself must hold it. Cuts keep all that came from it. */
  get mayLoseOrigin(): boolean {
    return this.#map.isDetached;
  }

  /** At most, of the origin's chunks in the background; null: as the host is set. */
  get hydrationBytesPerSecond(): number | null {
    return this.#record.hydrationBytesPerSecond;
  }

  /** The epoch in which writes land now; from 1. */
  get epoch(): Epoch {
    return this.#map.epoch;
  }

  /** Why it answers nothing any more, until it is opened again; null: it serves. */
  get failure(): DeviceError | null {
    return this.#journal.failure;
  }

  /** Bytes of the slots in use. */
  get slotBytes(): number {
    return this.#slotFile.slots.usedCount * CHUNK_BYTES;
  }

  read(offset: number, target: Uint8Array): Promise<void> | void {
    this.#check(offset, target.length);
    const { chunks } = this.#map;
    const index = chunkIndexFloor(offset);
    const within = offset - index * CHUNK_BYTES;
    if (within + target.length <= CHUNK_BYTES) {
      // What nearly every request is: bytes of one slot.
      const slot = chunks.wholeSlotAt(index);
      if (slot >= 0) return this.#slotFile.read(slot, within, target, 0, target.length);
      if (chunks.isPartial(index)) return this.#partials.read(index, within, target, 0, target.length);
    }
    const fetching = this.#origin.needed(offset, offset + target.length);
    if (fetching !== null) return this.#readWith(fetching, offset, target);
    this.#io.read(offset, target, null);
  }

  write(offset: number, source: Uint8Array, options: WriteOptions): Promise<void> | void {
    this.#check(offset, source.length);
    checkWanted(options);
    const { chunks, epoch } = this.#map;
    const index = chunkIndexFloor(offset);
    const within = offset - index * CHUNK_BYTES;
    const slot = within + source.length <= CHUNK_BYTES ? chunks.slotOfEpoch(index, epoch) : -1;
    if (slot >= 0) {
      if (source.length > 0) this.#map.marks.mark(index, within, source.length);
      this.#slotFile.write(slot, within, source, 0, source.length);
    } else {
      const fetching = this.#origin.neededAtEnds(offset, offset + source.length);
      if (fetching !== null) return this.#writeWith(fetching, offset, source, options);
      this.#io.write(offset, source, null);
    }
    if (options.fua) return this.#journal.flush();
  }

  writesInPlace(offset: number, length: number): boolean {
    const { chunks, epoch } = this.#map;
    const last = chunkIndexFloor(offset + length - 1);
    for (let index = chunkIndexFloor(offset); index <= last; index += 1) {
      if (chunks.slotOfEpoch(index, epoch) < 0) return false;
    }
    return true;
  }

  zero(offset: number, length: number, options: ZeroOptions): Promise<void> | void {
    this.#check(offset, length);
    checkWanted(options);
    if (options.fast === true && !options.punch && this.#io.zeroWrites(offset, offset + length)) {
      throw new DeviceError('ENOTSUP', 'zeros would have to be written');
    }
    const fetching = this.#origin.neededAtEnds(offset, offset + length);
    if (fetching !== null) return this.#zeroWith(fetching, offset, offset + length, options);
    const next = this.#io.zero(offset, offset + length, options.punch, null);
    if (next < offset + length) return this.#zeroOn(null, next, offset + length, options);
    if (options.fua) return this.#journal.flush();
  }

  flush(): Promise<void> {
    if (this.#isClosed) return Promise.reject(closed());
    this.#merges.consider();
    this.#compaction.consider();
    return this.#journal.flush();
  }

  extents(offset: number, length: number, countMax: number): Promise<readonly Extent[]> | readonly Extent[] {
    this.#check(offset, length);
    const scan = new ExtentScan(this.#kinds, { offset, length, countMax });
    const unknown = scan.advance();
    return unknown === null ? scan.extents : this.#extentsOf(scan, unknown);
  }

  /**
   * Ends the epoch, at once: what was acknowledged before is in the cut, what begins after is not. `durable` resolves when
   * the cut and all that is in it survive a loss of power. The same pending cut again answers the same epoch.
   * Throws DeviceError.
   */
  beginCut(cut: CutId): { readonly epoch: Epoch; readonly durable: Promise<void> } {
    assert(isRecordName(cut), 'a cut has a name of 1 to 200 visible ASCII characters');
    this.#check(0, 0);
    const epoch = this.#map.pending(cut)?.epoch ?? this.#journal.cut(cut);
    return { epoch, durable: this.#journal.flush() };
  }

  /** Pending cuts, oldest first. */
  cuts(): readonly { readonly cut: CutId; readonly epoch: Epoch }[] {
    return this.#map.tables.filter((table) => !table.released).map(({ cut, epoch }) => ({ cut, epoch }));
  }

  /**
   * Chunks of a pending cut that were written after `sinceEpoch` ended (0: since the origin; SINCE_NOTHING, when it is
   * detached: all that it holds), in the order of their index.
   * Lazy: writes, other cuts and other releases may go on meanwhile. Throws VolumeHostError `aborted` when the cut is not,
   * or no more, pending.
   */
  changes(cut: CutId, sinceEpoch: Epoch): Iterable<Change> {
    return this.#map.changes(cut, sinceEpoch);
  }

  /** How many `changes` gives, without going through them. */
  changeCount(cut: CutId, sinceEpoch: Epoch): number {
    return this.#map.changeCount(cut, sinceEpoch);
  }

  /** The cut is not needed any more: its slots can be used again. No error when there is none. Durable when it resolves. */
  async release(cut: CutId): Promise<void> {
    this.#check(0, 0);
    const table = this.#map.pending(cut);
    if (table === null) await this.#journal.flush();
    else await this.#journal.release(table);
    this.#merges.consider();
    this.#compaction.consider();
  }

  /**
   * Lets the origin go, when all of it is here and no cut is pending, whose chunks may be the origin's. False: not yet.
   * Durable when it answers true. Not to be called while it runs. Throws DeviceError, or the system's error; then it may be
   * called again.
   */
  async detach(signal: AbortSignal): Promise<boolean> {
    if (this.origin === null || this.isDetached) return true;
    if (!this.#mayDetach()) return false;
    this.#isOriginHere ||= await this.#origin.isWhole(signal);
    if (!this.#isOriginHere) return false;
    // What came from the origin lasts before the origin may go; and so do the releases of cuts that needed it.
    await this.#journal.flush();
    this.#check(0, 0);
    if (!this.#mayDetach()) return false;
    // In this turn, as cuts that come now must keep what came from the origin. A crash before the record is written takes it
    // back: those cuts need the origin then, and it is there.
    this.#map.isDetached = true;
    await this.#changeRecord({ detached: true });
    this.#origin.detach();
    return true;
  }

  /**
   * Makes the volume larger: zeros at its end, which may be written at once. Who is connected sees the size that it was told
   * until it connects again. Not smaller than it is; the same size again is no error. Durable when it resolves. Throws the
   * system's error.
   */
  async grow(sizeBytes: number): Promise<void> {
    this.#check(0, 0);
    assert(sizeBytes % CHUNK_BYTES === 0, 'a volume has a whole number of chunks');
    // The record first: a log or a checkpoint names only chunks that the volume has, also after a crash.
    await this.#changeRecord({ sizeBytes });
  }

  /** One change after another, so that none takes another back. */
  async #changeRecord(change: Partial<Pick<VolumeRecord, 'detached' | 'sizeBytes'>>): Promise<void> {
    await this.#recordLock.run('record', async () => {
      const sizeBytes = Math.max(this.sizeBytes, change.sizeBytes ?? 0);
      const record = { ...this.#record, ...change, sizeBytes };
      await writeVolumeRecord(this.#files, this.#path, record);
      this.#map.grow(record.sizeBytes / CHUNK_BYTES);
      this.#record = record;
    });
  }

  /** Merges what lies in two places, moves what lies at the end of the data file to free places before it, and makes the file shorter. Throws DeviceError. */
  async compact(): Promise<void> {
    this.#check(0, 0);
    await this.#merges.run();
    await this.#compaction.run();
  }

  /** Flushes and closes. Requests that wait for the origin end with ESHUTDOWN. Throws DeviceError when the flush fails; closed it is all the same. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#isClosed = true;
    try {
      await Promise.all([this.#origin.close(), this.#merges.close(), this.#compaction.close()]);
      await this.#journal.close();
    } finally {
      await this.#slotFile.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Not while a cut may need the origin, or somebody waits for a chunk of it that was written over. */
  #mayDetach(): boolean {
    return this.#origin.isIdle && (this.#map.isDetached || this.#map.tables.length === 0);
  }

  #check(offset: number, length: number): void {
    assert(offset >= 0 && length >= 0 && offset + length <= this.sizeBytes, 'a request is inside the device');
    if (this.#isClosed) throw closed();
    if (this.#journal.failure !== null) throw this.#journal.failure;
  }

  async #extentsOf(scan: ExtentScan, unknown: number): Promise<readonly Extent[]> {
    for (let index: number | null = unknown; index !== null; index = scan.advance()) {
      await this.#origin.learn(index);
      this.#check(0, 0);
    }
    return scan.extents;
  }

  async #readWith(fetching: Promise<FetchedChunks>, offset: number, target: Uint8Array): Promise<void> {
    const fetched = await fetching;
    this.#check(offset, target.length);
    this.#io.read(offset, target, fetched);
  }

  async #writeWith(
    fetching: Promise<FetchedChunks>,
    offset: number,
    source: Uint8Array,
    options: WriteOptions,
  ): Promise<void> {
    const fetched = await fetching;
    this.#check(offset, source.length);
    checkWanted(options);
    this.#io.write(offset, source, fetched);
    if (options.fua) await this.#journal.flush();
  }

  async #zeroWith(fetching: Promise<FetchedChunks>, offset: number, end: number, options: ZeroOptions): Promise<void> {
    const fetched = await fetching;
    this.#check(offset, end - offset);
    checkWanted(options);
    const next = this.#io.zero(offset, end, options.punch, fetched);
    if (next < end) await this.#zeroOn(fetched, next, end, options);
    else if (options.fua) await this.#journal.flush();
  }

  /** Goes on with a long zero that stopped at `offset`, one step a turn of the event loop. */
  async #zeroOn(fetched: FetchedChunks | null, offset: number, end: number, options: ZeroOptions): Promise<void> {
    for (let next = offset; next < end;) {
      await setImmediate();
      this.#check(next, end - next);
      checkWanted(options);
      next = this.#io.zero(next, end, options.punch, fetched);
    }
    if (options.fua) await this.#journal.flush();
  }
}

interface DeviceParts {
  readonly record: VolumeRecord;
  readonly options: VolumeDeviceOptions;
  /** The volume's directory. */
  readonly path: string;
  readonly dataPath: string;
  readonly dataKey: Uint8Array | null;
  readonly journal: Journal;
  readonly slotFile: SlotFile;
  readonly onTrouble: (error: unknown) => void;
}

function dataKeyOf({ volume, sealedKey }: VolumeRecord, { openKey }: VolumeDeviceOptions): Uint8Array | null {
  if (sealedKey === null) return null;
  if (openKey === undefined)
    throw new VolumeHostError('internal', `volume ${volume} is encrypted, and no key is at hand`);
  return openKey(volume, sealedKey);
}

function closed(): DeviceError {
  return new DeviceError('ESHUTDOWN', 'the volume is closed');
}
