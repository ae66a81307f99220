import { setImmediate } from 'node:timers/promises';

import { assert } from '#base/assert.ts';
import { crc32c } from '#base/crc32c.ts';
import type { CutId, Epoch } from '#domain/ids.ts';

import { type MapPage, PAGE_CHUNKS, PAGE_WORDS, type PageSaver, PARTIAL, SLOT_BASE, slotOf } from './chunk-map.ts';
import { FROZEN_WORDS } from './cut-table.ts';
import { VolumeHostError } from './host.ts';
import { isRecordName } from './log-record.ts';
import type { LogIdentity } from './map-log.ts';
import { BLOCKS_A_CHUNK, ownCount, PARTIAL_WORDS, underAt } from './partials.ts';
import { readWhole, type VolumeFile, writeWhole } from './volume-files.ts';
import { VolumeMap, type VolumeMapShape } from './volume-map.ts';

/*
 * A checkpoint: a header with the epoch and the pending cuts, then a section for each page of the map that was ever made
 * and for each page of a cut's table, in any order, then an end section. Behind a page with partial slots, another section
 * describes them.
 *
 * It holds the state of the instant in which it began, though the volume is used while it is written: a page that is about
 * to change and is not saved yet is saved first (PageWatch). Nothing is copied, and nothing waits longer than a page takes.
 */

const MAGIC = 'VARVEMAP';
/** 1: no partial slots. */
const VERSION = 2;
const VERSION_MIN = 1;
const HEADER_FIXED_BYTES = 48;
const CUT_FIXED_BYTES = 12;
const SECTION_HEADER_BYTES = 16;
const MAP_PAGE = 1;
const FROZEN_PAGE = 2;
const END = 3;
const MAP_PARTIALS = 4;
const FROZEN_PARTIALS = 5;
/** Index of the chunk, and what describes its partial slot. */
const PARTIAL_ENTRY_WORDS = 1 + PARTIAL_WORDS;
const FLAG_RELEASED = 1;
/** Pages saved or loaded before other work gets its turn: well under a millisecond. */
const PAGES_A_TURN = 8;
const WORDS_MAX = Math.max(PAGE_WORDS, PAGE_CHUNKS * FROZEN_WORDS, PAGE_CHUNKS * PARTIAL_ENTRY_WORDS);
/** A header of more than so many bytes is not one: room for ten thousand cuts. */
const HEADER_BYTES_MAX = 4 * 1024 * 1024;

/** Saves the state of a volume's map as it is when this is made. One at a time for a map. */
export class CheckpointWriter implements PageSaver {
  readonly #file: VolumeFile;
  readonly #map: VolumeMap;
  readonly #tables: VolumeMap['tables'];
  readonly #seed: number;
  #position: number;
  #sectionCount = 0;
  #failure: { readonly error: unknown } | null = null;

  /** `nextSequence`: the first record that the state does not contain. */
  constructor(file: VolumeFile, map: VolumeMap, identity: LogIdentity, nextSequence: number) {
    assert(map.watch.saver === null, 'a map has one checkpoint at a time');
    this.#file = file;
    this.#map = map;
    this.#tables = [...map.tables];
    const header = encodeHeader(map, identity, nextSequence);
    this.#seed = header.readUInt32LE(header.length - 4);
    this.#position = header.length;
    this.#attempt(() => writeWhole(file, header, 0));
    map.watch.stamp += 1;
    map.watch.saver = this;
  }

  /** Writes all that was not yet written, in turns with other work, and makes it durable. Throws the system's error. */
  async finish(): Promise<void> {
    let pages = 0;
    for (const _page of this.#rest()) {
      if (this.#failure !== null) throw this.#failure.error;
      pages += 1;
      if (pages % PAGES_A_TURN === 0) await setImmediate();
    }
    this.#section(END, 0, this.#sectionCount, new Uint32Array());
    if (this.#failure !== null) throw this.#failure.error;
    this.detach();
    await this.#file.sync();
  }

  /** Sees no more changes. */
  detach(): void {
    if (this.#map.watch.saver === this) this.#map.watch.saver = null;
  }

  savePage(pageIndex: number, page: MapPage): void {
    const { words, partials } = page;
    this.#section(MAP_PAGE, 0, pageIndex, words);
    if (partials === null) return;
    const found = partialEntries(partials, PAGE_CHUNKS, (entry) =>
      (words[entry * 2] as number) >= PARTIAL ? pageIndex * PAGE_CHUNKS + entry : -1,
    );
    this.#section(MAP_PARTIALS, 0, pageIndex, found);
  }

  saveFrozenPage(
    epoch: Epoch,
    pageIndex: number,
    words: Uint32Array<ArrayBuffer>,
    partials: Uint32Array<ArrayBuffer> | null,
  ): void {
    this.#section(FROZEN_PAGE, epoch, pageIndex, words);
    if (partials === null) return;
    const found = partialEntries(partials, words.length / FROZEN_WORDS, (entry) =>
      (words[entry * FROZEN_WORDS + 1] as number) >= PARTIAL ? (words[entry * FROZEN_WORDS] as number) : -1,
    );
    this.#section(FROZEN_PARTIALS, epoch, pageIndex, found);
  }

  *#rest(): Generator<void> {
    const { chunks, watch } = this.#map;
    for (let pageIndex = 0; pageIndex < chunks.pageCount; pageIndex += 1) {
      const page = chunks.pageAt(pageIndex);
      if (page === null || page.stamp === watch.stamp) continue;
      this.savePage(pageIndex, page);
      page.stamp = watch.stamp;
      yield;
    }
    for (const table of this.#tables) yield* table.save();
  }

  #section(kind: number, epoch: Epoch, pageIndex: number, words: Uint32Array<ArrayBuffer>): void {
    this.#attempt(() => {
      const section = sectionScratch.subarray(0, SECTION_HEADER_BYTES + words.byteLength + 4);
      section.writeUInt32LE(kind, 0);
      section.writeUInt32LE(epoch, 4);
      section.writeUInt32LE(pageIndex, 8);
      section.writeUInt32LE(words.length, 12);
      section.set(new Uint8Array(words.buffer, words.byteOffset, words.byteLength), SECTION_HEADER_BYTES);
      section.writeUInt32LE(crc32c(section.subarray(0, section.length - 4), this.#seed), section.length - 4);
      writeWhole(this.#file, section, this.#position);
      this.#position += section.length;
      this.#sectionCount += 1;
    });
  }

  /** A checkpoint that fails is given up by `finish`; the request that happened to save a page is not harmed. */
  #attempt(write: () => void): void {
    if (this.#failure !== null) return;
    try {
      write();
    } catch (error) {
      this.#failure = { error };
    }
  }
}

/** What describes partial slots, each behind the index of its chunk; `indexOf` answers that of an entry, −1 when it is not partial. */
function partialEntries(
  partials: Uint32Array<ArrayBuffer>,
  entryCount: number,
  indexOf: (entry: number) => number,
): Uint32Array<ArrayBuffer> {
  let at = 0;
  for (let entry = 0; entry < entryCount; entry += 1) {
    const index = indexOf(entry);
    if (index < 0) continue;
    entryScratch[at] = index;
    const from = entry * PARTIAL_WORDS;
    for (let word = 0; word < PARTIAL_WORDS; word += 1) entryScratch[at + 1 + word] = partials[from + word] as number;
    at += PARTIAL_ENTRY_WORDS;
  }
  return entryScratch.subarray(0, at);
}

const entryScratch = new Uint32Array(PAGE_CHUNKS * PARTIAL_ENTRY_WORDS);
const sectionScratch = Buffer.alloc(SECTION_HEADER_BYTES + WORDS_MAX * 4 + 4);

/** The checkpoint of a new volume. */
export function encodeFirstCheckpoint(map: VolumeMap, identity: LogIdentity): Buffer {
  const header = encodeHeader(map, identity, 0);
  const end = Buffer.alloc(SECTION_HEADER_BYTES + 4);
  end.writeUInt32LE(END, 0);
  end.writeUInt32LE(crc32c(end.subarray(0, end.length - 4), header.readUInt32LE(header.length - 4)), end.length - 4);
  return Buffer.concat([header, end]);
}

/** Reads a checkpoint. Throws VolumeHostError `damaged`. */
export async function loadCheckpoint(
  file: VolumeFile,
  identity: LogIdentity,
  options: VolumeMapShape,
): Promise<{ readonly map: VolumeMap; readonly nextSequence: number }> {
  const map = new VolumeMap(options);
  const header = readHeader(file, identity, options.chunkCount);
  checkCuts(header, identity);
  const tables = header.cuts.map(({ cut, epoch }) => map.addTable(cut, epoch));
  for (const { epoch, released } of header.cuts) if (released) map.releaseCut(epoch);
  map.epoch = header.epoch;
  let position = header.bytes;
  let before: Section | null = null;
  for (let count = 0; ; count += 1) {
    const section = readSection(file, position, header.crc);
    const isDescription = section.kind === MAP_PARTIALS || section.kind === FROZEN_PARTIALS;
    if (before !== null && isDescription !== partialCount(before) > 0) {
      throw damaged(identity, `partial slots are not described at byte ${position}`);
    }
    if (section.kind === END) {
      if (section.pageIndex !== count) throw damaged(identity, 'sections are missing');
      if (section.epoch !== 0 || section.words.length > 0) throw damaged(identity, 'its end has no place in it');
      return { map, nextSequence: header.nextSequence };
    }
    if (!loadSection(map, tables, section, before)) {
      throw damaged(identity, `the section at byte ${position} has no place in it`);
    }
    before = isDescription ? null : section;
    position += SECTION_HEADER_BYTES + section.words.byteLength + 4;
    if (count % PAGES_A_TURN === 0) await setImmediate();
  }

  function readSection(from: VolumeFile, at: number, seed: number): Section {
    const section = decodeSection(from, at, seed);
    if (section === null) throw damaged(identity, `the section at byte ${at} fails its checksum`);
    return section;
  }
}

/** Cuts in the order of their epochs, all ended, with names of their own. A good checksum proves only that the bytes are those that were written. */
function checkCuts({ cuts, epoch, nextSequence }: Header, identity: LogIdentity): void {
  const names = new Set<CutId>();
  let before = 0;
  for (const cut of cuts) {
    const isPossible = cut.epoch > before && cut.epoch < epoch && isRecordName(cut.cut);
    if (!isPossible || (!cut.released && names.has(cut.cut))) throw damaged(identity, `its cut ${cut.cut} cannot be`);
    if (!cut.released) names.add(cut.cut);
    before = cut.epoch;
  }
  if (epoch === 0 || !Number.isSafeInteger(nextSequence)) throw damaged(identity, 'its header says what cannot be');
}

/** `before`: the section in front of it, if that is a page. */
function loadSection(map: VolumeMap, tables: VolumeMap['tables'], section: Section, before: Section | null): boolean {
  switch (section.kind) {
    case MAP_PAGE:
      return loadMapPage(map, section);
    case FROZEN_PAGE:
      return loadFrozenPage(map, tables, section);
    case MAP_PARTIALS:
    case FROZEN_PARTIALS:
      return before !== null && loadPartials(map, tables, before, section);
    default:
      return false;
  }
}

/** Where the states of a page's entries are: that of entry n in word `first` + n × `step`. */
function layoutOf({ kind }: Section): { readonly first: number; readonly step: number } {
  return kind === MAP_PAGE ? { first: 0, step: 2 } : { first: 1, step: FROZEN_WORDS };
}

/** Entries of a page in partial slots. */
function partialCount(page: Section): number {
  const { first, step } = layoutOf(page);
  let count = 0;
  for (let at = first; at < page.words.length; at += step) if ((page.words[at] as number) >= PARTIAL) count += 1;
  return count;
}

/** False when it does not describe the partial slots of the page, in their order, each as one that a volume can have. */
function loadPartials(map: VolumeMap, tables: VolumeMap['tables'], page: Section, section: Section): boolean {
  const { kind, epoch, pageIndex, words } = section;
  const isOfPage = kind === (page.kind === MAP_PAGE ? MAP_PARTIALS : FROZEN_PARTIALS);
  if (!isOfPage || epoch !== page.epoch || pageIndex !== page.pageIndex) return false;
  if (words.length !== partialCount(page) * PARTIAL_ENTRY_WORDS) return false;
  const table = page.kind === MAP_PAGE ? null : tables.find((candidate) => candidate.epoch === epoch);
  const { first, step } = layoutOf(page);
  let from = 0;
  for (let entry = 0; first + entry * step < page.words.length; entry += 1) {
    const state = page.words[first + entry * step] as number;
    if (state < PARTIAL) continue;
    const index = page.kind === MAP_PAGE ? pageIndex * PAGE_CHUNKS + entry : (page.words[entry * step] as number);
    const description = words.subarray(from + 1, from + PARTIAL_ENTRY_WORDS);
    if (words[from] !== index || index >= map.chunks.chunkCount || !isPartialSlot(state, description)) return false;
    if (table === null || table === undefined) map.chunks.loadPartial(index, description);
    else table.loadPartial(pageIndex, entry, description);
    from += PARTIAL_ENTRY_WORDS;
  }
  return true;
}

/** Above another slot, with some blocks and not all. */
function isPartialSlot(state: number, description: Uint32Array): boolean {
  const under = underAt(description, 0);
  const isOther = slotOf(state) >= 0 && under !== slotOf(state) && under + SLOT_BASE < PARTIAL;
  return isOther && ownCount(description, 0) > 0 && ownCount(description, 0) < BLOCKS_A_CHUNK;
}

/** False when there is no such page, it is there already, or an entry is newer than the volume. */
function loadMapPage({ chunks, epoch: epochNow }: VolumeMap, { epoch, pageIndex, words }: Section): boolean {
  if (epoch !== 0 || pageIndex >= chunks.pageCount || chunks.pageAt(pageIndex) !== null) return false;
  if (words.length !== PAGE_WORDS) return false;
  for (let at = 1; at < words.length; at += 2) if ((words[at] as number) > epochNow) return false;
  chunks.load(pageIndex, words);
  return true;
}

/**
 * False when it is of a cut that is not in the header, as for a page of the map, or has an entry that
 * the cut cannot have: of another page, twice, of an epoch after its end, or of epoch 0 and no slot.
 */
function loadFrozenPage({ chunks }: VolumeMap, tables: VolumeMap['tables'], section: Section): boolean {
  const { epoch, pageIndex, words } = section;
  const table = tables.find((candidate) => candidate.epoch === epoch);
  if (table === undefined || pageIndex >= chunks.pageCount) return false;
  if (table.pageAt(pageIndex) !== null || words.length % FROZEN_WORDS !== 0) return false;
  const indexes = new Set<number>();
  for (let at = 0; at < words.length; at += FROZEN_WORDS) {
    const [index, itsEpoch] = [words[at] as number, words[at + 2] as number];
    const isPlaced = Math.floor(index / PAGE_CHUNKS) === pageIndex && index < chunks.chunkCount;
    if (!isPlaced || itsEpoch > epoch || (itsEpoch === 0 && (words[at + 1] as number) < SLOT_BASE)) return false;
    indexes.add(index);
  }
  if (indexes.size !== words.length / FROZEN_WORDS) return false;
  table.load(pageIndex, words);
  return true;
}

interface Section {
  readonly kind: number;
  readonly epoch: Epoch;
  readonly pageIndex: number;
  readonly words: Uint32Array<ArrayBuffer>;
}

function decodeSection(file: VolumeFile, position: number, seed: number): Section | null {
  const bytes = sectionScratch.subarray(0, readWhole(file, sectionScratch, position));
  if (bytes.length < SECTION_HEADER_BYTES + 4) return null;
  const wordCount = bytes.readUInt32LE(12);
  if (wordCount > WORDS_MAX) return null;
  const end = SECTION_HEADER_BYTES + wordCount * 4;
  if (end + 4 > bytes.length || crc32c(bytes.subarray(0, end), seed) !== bytes.readUInt32LE(end)) return null;
  const words = new Uint32Array(wordCount);
  new Uint8Array(words.buffer).set(bytes.subarray(SECTION_HEADER_BYTES, end));
  return { kind: bytes.readUInt32LE(0), epoch: bytes.readUInt32LE(4), pageIndex: bytes.readUInt32LE(8), words };
}

interface Header {
  readonly epoch: Epoch;
  readonly nextSequence: number;
  readonly cuts: readonly { readonly cut: CutId; readonly epoch: Epoch; readonly released: boolean }[];
  readonly bytes: number;
  readonly crc: number;
}

function encodeHeader(map: VolumeMap, identity: LogIdentity, nextSequence: number): Buffer {
  const cuts = map.tables.map((table) => {
    const name = Buffer.from(table.cut, 'latin1');
    const bytes = Buffer.alloc(CUT_FIXED_BYTES + Math.ceil(name.length / 4) * 4);
    bytes.writeUInt32LE(table.epoch, 0);
    bytes.writeUInt32LE(table.released ? FLAG_RELEASED : 0, 4);
    bytes.writeUInt32LE(name.length, 8);
    name.copy(bytes, CUT_FIXED_BYTES);
    return bytes;
  });
  const header = Buffer.concat([Buffer.alloc(HEADER_FIXED_BYTES), ...cuts, Buffer.alloc(4)]);
  header.write(MAGIC, 0, 'latin1');
  header.writeUInt32LE(VERSION, 8);
  header.writeUInt32LE(identity.number, 12);
  header.writeUInt32LE(identity.volumeTag, 16);
  header.writeUInt32LE(map.chunks.chunkCount, 20);
  header.writeUInt32LE(map.epoch, 24);
  header.writeUInt32LE(cuts.length, 28);
  header.writeBigUInt64LE(BigInt(nextSequence), 32);
  header.writeUInt32LE(header.length, 40);
  header.writeUInt32LE(crc32c(header.subarray(0, header.length - 4)), header.length - 4);
  return header;
}

function readHeader(file: VolumeFile, identity: LogIdentity, chunkCount: number): Header {
  const fixed = Buffer.alloc(HEADER_FIXED_BYTES);
  if (readWhole(file, fixed, 0) < fixed.length || fixed.toString('latin1', 0, 8) !== MAGIC) {
    throw damaged(identity, 'it does not begin as one');
  }
  const version = fixed.readUInt32LE(8);
  if (version < VERSION_MIN || version > VERSION) {
    throw new VolumeHostError(
      'internal',
      `map.${identity.number} has version ${version}; this program knows ${VERSION_MIN} to ${VERSION}`,
    );
  }
  const bytes = fixed.readUInt32LE(40);
  if (bytes < HEADER_FIXED_BYTES + 4 || bytes > HEADER_BYTES_MAX)
    throw damaged(identity, 'its header has no such length');
  const header = Buffer.alloc(bytes);
  const crc = readWhole(file, header, 0) < bytes ? -1 : header.readUInt32LE(bytes - 4);
  if (crc !== crc32c(header.subarray(0, bytes - 4))) throw damaged(identity, 'its header fails its checksum');
  if (header.readUInt32LE(12) !== identity.number || header.readUInt32LE(16) !== identity.volumeTag) {
    throw damaged(identity, 'it is the checkpoint of something else');
  }
  // A volume may have grown since.
  if (header.readUInt32LE(20) > chunkCount) throw damaged(identity, 'it is of a larger volume');
  const cuts = header.readUInt32LE(44) === 0 ? decodeCuts(header, header.readUInt32LE(28)) : null;
  if (cuts === null) throw damaged(identity, 'its header has what this version does not know');
  return { epoch: header.readUInt32LE(24), nextSequence: Number(header.readBigUInt64LE(32)), cuts, bytes, crc };
}

/** Null when they are not `count`, up to the CRC, with known flags. */
function decodeCuts(header: Buffer, count: number): Header['cuts'] | null {
  const cuts: Header['cuts'][number][] = [];
  const end = header.length - 4;
  let at = HEADER_FIXED_BYTES;
  while (cuts.length < count) {
    if (at + CUT_FIXED_BYTES > end) return null;
    const nameEnd = at + CUT_FIXED_BYTES + header.readUInt32LE(at + 8);
    const flags = header.readUInt32LE(at + 4);
    if (nameEnd > end || (flags & ~FLAG_RELEASED) !== 0) return null;
    cuts.push({
      epoch: header.readUInt32LE(at),
      released: (flags & FLAG_RELEASED) !== 0,
      cut: header.toString('latin1', at + CUT_FIXED_BYTES, nameEnd) as CutId,
    });
    at += CUT_FIXED_BYTES + Math.ceil((nameEnd - at - CUT_FIXED_BYTES) / 4) * 4;
    if (at > end || header.subarray(nameEnd, at).some((byte) => byte !== 0)) return null;
  }
  return at === end ? cuts : null;
}

function damaged(identity: LogIdentity, why: string): VolumeHostError {
  return new VolumeHostError('damaged', `map.${identity.number}: ${why}`);
}
