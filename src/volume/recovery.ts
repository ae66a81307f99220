import { readFileSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';

import { assert } from '#base/assert.ts';
import type { Clock } from '#base/clock.ts';
import type { SectorCipher } from '#base/sector-cipher.ts';
import { systemRandom, uuid } from '#base/random.ts';
import type { Generation } from '#domain/ids.ts';
import { BLOCK_BYTES, CHUNK_BYTES } from '#domain/geometry.ts';

import { loadCheckpoint } from './checkpoint.ts';
import { PAGE_CHUNKS, partialOffset } from './chunk-map.ts';
import { VolumeHostError } from './host.ts';
import { Journal, type JournalLimits } from './journal.ts';
import { LogReplay } from './log-replay.ts';
import { LogReader, MapLog, newerLog } from './map-log.ts';
import { BLOCKS_A_CHUNK, hasBlock, runEnd, underAt } from './partials.ts';
import { SlotFile, TRIMMED_A_TURN } from './slot-file.ts';
import { Slots } from './slots.ts';
import { mapShape, type VolumeDirectory } from './volume-directory.ts';
import type { VolumeRecord } from './volume-file.ts';
import { readWhole } from './volume-files.ts';
import type { VolumeMap } from './volume-map.ts';

/*
 * From the files of a volume to its state. The newest checkpoint is complete, or it would not have its name. The logs from
 * its number on are replayed; each goes on where the next one's START says. What counts of the last one depends on whether
 * power was lost since (log-replay.ts). Nothing is changed before all of it was read; then the last log gets an OPEN record
 * and a COMMIT, and only when these are durable are left-overs removed, free slots used, and the data file cut.
 */

/** Frames replayed, or pages looked through, before other work gets its turn. */
const FRAMES_A_TURN = 4096;
const PAGES_A_TURN = 16;

/** Is not the name of any. */
const NO_BOOT = '';

export interface RecoveryOptions {
  readonly directory: VolumeDirectory;
  readonly record: VolumeRecord;
  readonly generation: Generation;
  readonly bootId: string;
  readonly clock: Clock;
  readonly cipher: SectorCipher | null;
  readonly limits: JournalLimits;
  readonly onTrouble: (error: unknown) => void;
}

/** Throws VolumeHostError `damaged`, or the system's error. */
export async function recover(
  options: RecoveryOptions,
): Promise<{ readonly journal: Journal; readonly slotFile: SlotFile }> {
  const { directory } = options;
  const isSyncFailed = await directory.isSyncFailed();
  // What the kernel shows may not be on the disk, as if power had been lost; it will be after the next loss.
  const bootId = isSyncFailed ? NO_BOOT : options.bootId;
  const { maps, logs } = await directory.numbers();
  const base = maps.at(-1);
  if (base === undefined) throw new VolumeHostError('damaged', 'no checkpoint of the map is there');
  const { map, nextSequence } = await loadBase(options, base);
  const replay = new LogReplay(map, nextSequence, bootId);
  const { reader, number } = await replayLogs(directory, { base, logs, replay, bootId });
  const voidSequence = replay.finish();
  await drainReleased(map);
  const slotFile = await openSlots(directory, map, options);
  // Whatever fails below, no descriptor stays open.
  await using opened = new AsyncDisposableStack();
  opened.defer(() => slotFile.close());
  const log = opened.use(
    new MapLog(directory.files.open(directory.logPath(number), 'existing'), {
      number,
      version: reader.version,
      end: reader.offset,
      crc: reader.crc,
    }),
  );
  if (isSyncFailed) {
    log.rewrite(reader.bytes);
    await rewriteSlots(map, slotFile);
  } else log.clearTail(reader.bytes.subarray(reader.offset));
  const journal = new Journal({
    ...options,
    map,
    slotFile,
    log,
    nextSequence: replay.sequence,
    checkpointNumber: base,
  });
  await journal.open(options.generation, voidSequence);
  while (slotFile.trimEnd(TRIMMED_A_TURN)) await setImmediate();
  opened.move(); // They are the journal's and the slots' from here on.
  return { journal, slotFile };
}

/** Answers the log that is to be written on, read up to where its good frames end. */
async function replayLogs(
  directory: VolumeDirectory,
  options: {
    readonly base: number;
    readonly logs: readonly number[];
    readonly replay: LogReplay;
    readonly bootId: string;
  },
): Promise<{ readonly reader: LogReader; readonly number: number }> {
  const { base, replay } = options;
  let last: { readonly reader: LogReader; readonly number: number } | null = null;
  let next = base;
  for (const number of options.logs) {
    if (number < base) continue;
    if (number !== next) throw damagedLog(next, 'it is missing, or did not begin');
    const reader = readLog(directory, number);
    if (!hasBegun(reader, number, options.bootId)) continue; // Then it is the last one, or the next is one too many.
    await replayLog(replay, reader, number);
    last = { reader, number };
    next += 1;
  }
  if (last === null) throw damagedLog(base, 'it is missing, or did not begin');
  if (last.reader.isDamaged(replay.isSameBoot)) {
    throw damagedLog(last.number, `the frame at byte ${last.reader.offset} fails its checksum`);
  }
  return last;
}

async function loadBase(options: RecoveryOptions, base: number): ReturnType<typeof loadCheckpoint> {
  const { directory, record } = options;
  const file = directory.files.open(directory.mapPath(base), 'existing');
  try {
    return await loadCheckpoint(file, directory.identity(base), mapShape(record));
  } finally {
    file.close();
  }
}

function readLog(directory: VolumeDirectory, number: number): LogReader {
  const file = directory.files.open(directory.logPath(number), 'existing');
  try {
    const bytes = Buffer.alloc(file.sizeBytes());
    const count = readWhole(file, bytes, 0);
    const newer = newerLog(bytes.subarray(0, count));
    if (newer !== null) throw new VolumeHostError('internal', `log.${number} ${newer}`);
    const reader = LogReader.of(bytes.subarray(0, count), directory.identity(number));
    if (reader === null) throw damagedLog(number, 'it does not begin as one');
    return reader;
  } finally {
    file.close();
  }
}

/** Whether the log took over from the one before it: START is there, and all that it repeats. */
function hasBegun(reader: LogReader, number: number, bootId: string): boolean {
  const probe = reader.fork();
  const start = probe.next();
  const tailEnd = start?.kind === 'start' ? probe.offset + start.tailBytes : Infinity;
  while (probe.offset < tailEnd && probe.next() !== null);
  if (probe.offset >= tailEnd) return true;
  if (probe.isDamaged(start?.kind === 'start' && start.bootId === bootId)) {
    throw damagedLog(number, `the frame at byte ${probe.offset} fails its checksum`);
  }
  return false;
}

async function replayLog(replay: LogReplay, reader: LogReader, number: number): Promise<void> {
  let frames = 0;
  for (let record = reader.next(); record !== null; record = reader.next()) {
    if (!replay.take(record)) throw damagedLog(number, `records before the one at byte ${reader.offset} are missing`);
    frames += 1;
    if (frames % FRAMES_A_TURN === 0) await setImmediate();
  }
}

/** Cuts released before the crash; the slots are found free afterwards. */
async function drainReleased(map: VolumeMap): Promise<void> {
  let pages = 0;
  for (const table of map.tables.filter((candidate) => candidate.released)) {
    for (const _page of map.drain(table, () => {})) {
      pages += 1;
      if (pages % PAGES_A_TURN === 0) await setImmediate();
    }
  }
}

async function openSlots(directory: VolumeDirectory, map: VolumeMap, options: RecoveryOptions): Promise<SlotFile> {
  const file = directory.files.open(directory.dataPath, 'existing');
  try {
    const slots = new Slots(Math.floor(file.sizeBytes() / CHUNK_BYTES));
    let pages = 0;
    for (const references of map.references()) {
      for (const slot of references) {
        if (!slots.use(slot))
          throw new VolumeHostError('damaged', `slot ${slot} has two users, or is beyond the data file`);
      }
      pages += 1;
      if (pages % PAGES_A_TURN === 0) await setImmediate();
    }
    for (const unders of map.unders()) {
      for (const slot of unders) {
        if (!slots.useUnder(slot))
          throw new VolumeHostError('damaged', `slot ${slot} is under two slots, or is beyond the data file`);
      }
      pages += 1;
      if (pages % PAGES_A_TURN === 0) await setImmediate();
    }
    return new SlotFile({ ...options, file, slots });
  } catch (error) {
    file.close();
    throw error;
  }
}

/**
 * Writes again what may have been written in place since the last COMMIT: chunks of its epoch. What is read of them now, old
 * or new, is what a sync makes durable then. A slot taken later is free again, and older ones do not change. What lies under
 * a partial slot may have been written, too: by a merge that was not committed, and what came after it.
 */
async function rewriteSlots(map: VolumeMap, slotFile: SlotFile): Promise<void> {
  const bytes = Buffer.alloc(CHUNK_BYTES);
  const { chunks, epoch } = map;
  for (let pageIndex = 0; pageIndex < chunks.pageCount; pageIndex += 1) {
    if (chunks.pageAt(pageIndex) === null) continue;
    const end = Math.min(chunks.chunkCount, (pageIndex + 1) * PAGE_CHUNKS);
    for (let index = pageIndex * PAGE_CHUNKS; index < end; index += 1) {
      const slot = chunks.ownSlotOfEpoch(index, epoch);
      if (slot < 0) continue;
      const partials = chunks.partialsOf(index);
      const at = partialOffset(index);
      for (let block = 0, next = BLOCKS_A_CHUNK; block < BLOCKS_A_CHUNK; block = next) {
        if (partials !== null) next = runEnd(partials, at, block, BLOCKS_A_CHUNK);
        const place = partials === null || hasBlock(partials, at, block) ? slot : underAt(partials, at);
        const length = (next - block) * BLOCK_BYTES;
        slotFile.readNow(place, block * BLOCK_BYTES, bytes, 0, length);
        slotFile.write(place, block * BLOCK_BYTES, bytes, 0, length);
      }
      await setImmediate();
    }
  }
}

function damagedLog(number: number, why: string): VolumeHostError {
  return new VolumeHostError('damaged', `log.${number}: ${why}`);
}

/** A name for the time since the machine started. Where the system has none, every start counts as a loss of power. */
export function machineBootId(): string {
  try {
    const id = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
    assert(id.length > 0, 'a boot has a name');
    return id;
  } catch {
    return uuid(systemRandom);
  }
}
