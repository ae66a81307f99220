import { assert } from '#base/assert.ts';

import { PARTIAL, SLOT_BASE, slotOf, STATE_ZERO } from './chunk-map.ts';
import { VolumeHostError } from './host.ts';
import { isRecordName, type LogRecord } from './log-record.ts';
import { BLOCKS_A_CHUNK } from './partials.ts';
import type { VolumeMap } from './volume-map.ts';

/**
 * Which records of the logs count, and what they do to the map.
 *
 * Records (START and COMMIT aside) are numbered. One counts when a COMMIT covers it. Behind the last COMMIT, those count
 * that were written since the machine started: the kernel has what a killed process wrote. Was power lost since, they do
 * not: the data that they point to may be missing, whatever is in the log. An OPEN record says so for good to whoever
 * replays it later: what was before it from `voidSequence` on is void.
 */
export class LogReplay {
  readonly #map: VolumeMap;
  /** Records below are in the checkpoint. */
  readonly #firstSequence: number;
  readonly #bootId: string;
  /** Of the next record; −1 before the first START. */
  #sequence = -1;
  /** The boot in which the newest records were written. */
  #lastBootId = '';
  #committedSequence: number;
  /** Records that no COMMIT covers yet, and their numbers, ascending. */
  #pending: { readonly sequence: number; readonly record: LogRecord }[] = [];

  constructor(map: VolumeMap, firstSequence: number, bootId: string) {
    this.#map = map;
    this.#firstSequence = firstSequence;
    this.#committedSequence = firstSequence; // A checkpoint holds committed records only.
    this.#bootId = bootId;
  }

  /** Of the next record to be written. */
  get sequence(): number {
    return this.#sequence;
  }

  /** Whether no power was lost since the newest records were written. */
  get isSameBoot(): boolean {
    return this.#lastBootId === this.#bootId;
  }

  /** The next record. False when records before it are missing. Throws VolumeHostError `damaged` for one that cannot be. */
  take(record: LogRecord): boolean {
    switch (record.kind) {
      case 'start':
        return this.#start(record.firstSequence, record.bootId);
      case 'commit':
        this.#commit(record.sequence);
        return record.sequence <= this.#sequence;
      case 'open':
        this.#pending = this.#pending.filter(({ sequence }) => sequence < record.voidSequence);
        this.#lastBootId = record.bootId;
        this.#sequence += 1;
        return true;
      case 'put':
        this.#check(record);
        this.#pending.push({ sequence: this.#sequence, record });
        this.#sequence += 1;
        return true;
      case 'part':
        this.#checkPart(record);
        this.#pending.push({ sequence: this.#sequence, record });
        this.#sequence += 1;
        return true;
      case 'cut':
      case 'release':
        this.#pending.push({ sequence: this.#sequence, record });
        this.#sequence += 1;
        return true;
    }
  }

  #check({ index, count, state }: Extract<LogRecord, { readonly kind: 'put' }>): void {
    const isInside = index + count <= this.#map.chunks.chunkCount && state < PARTIAL;
    const isPossible = isInside && (count === 1 || state === STATE_ZERO);
    if (!isPossible) {
      throw new VolumeHostError('damaged', `a record puts ${count} chunks from ${index} on into state ${state}`);
    }
  }

  #checkPart({ index, slot, first, count }: Extract<LogRecord, { readonly kind: 'part' }>): void {
    const isInside = index < this.#map.chunks.chunkCount && slot + SLOT_BASE < PARTIAL;
    if (!isInside || count === 0 || first + count > BLOCKS_A_CHUNK) {
      throw new VolumeHostError(
        'damaged',
        `a record puts ${count} blocks of chunk ${index} from ${first} on into slot ${slot}`,
      );
    }
  }

  /** There are no more records. Answers from where on records are void: none, when that is the next one. */
  finish(): number {
    if (this.isSameBoot) this.#commit(this.#sequence);
    this.#pending = [];
    return this.isSameBoot ? this.#sequence : this.#committedSequence;
  }

  /** Another log takes over: what it does not repeat was committed, and what it repeats is taken from it. */
  #start(firstSequence: number, bootId: string): boolean {
    const isGap = this.#sequence === -1 ? firstSequence > this.#firstSequence : firstSequence > this.#sequence;
    if (isGap) return false;
    this.#commit(firstSequence);
    this.#pending = [];
    this.#sequence = firstSequence;
    this.#lastBootId = bootId;
    return true;
  }

  #commit(sequence: number): void {
    this.#committedSequence = Math.max(this.#committedSequence, sequence);
    let count = 0;
    for (const pending of this.#pending) {
      if (pending.sequence >= sequence) break;
      if (pending.sequence >= this.#firstSequence) this.#apply(pending.record);
      count += 1;
    }
    this.#pending.splice(0, count);
  }

  #apply(record: LogRecord): void {
    const wrong = this.#whyNot(record);
    if (wrong !== null) throw new VolumeHostError('damaged', `a record of the log ${wrong}`);
    switch (record.kind) {
      case 'put':
        for (let at = record.index; at < record.index + record.count; at += 1) {
          this.#map.put(at, record.state, record.epoch, giveNothing);
        }
        return;
      case 'part':
        this.#map.putPart(record.index, record.slot, record.epoch, record.first, record.count);
        return;
      case 'cut':
        this.#map.addCut(record.cut, record.epoch);
        return;
      case 'release':
        this.#map.releaseCut(record.epoch);
        return;
      case 'start':
      case 'open':
      case 'commit':
        assert(false, 'only records that change the map wait for a commit');
    }
  }

  /** What no volume ever writes: a good checksum proves only that the bytes are those that were written. */
  #whyNot(record: LogRecord): string | null {
    const { epoch, tables, chunks } = this.#map;
    switch (record.kind) {
      case 'put':
        // What moves within the data file keeps its epoch.
        if (record.epoch !== 0 && record.epoch !== epoch && record.epoch !== chunks.epochAt(record.index)) {
          return `puts a chunk in epoch ${record.epoch} in epoch ${epoch}`;
        }
        for (let at = record.index; at < record.index + record.count; at += 1) {
          if (chunks.stateAt(at) === record.state) return `puts chunk ${at} where it is`;
        }
        return null;
      case 'part':
        if (record.epoch !== epoch) return `puts blocks in epoch ${record.epoch} in epoch ${epoch}`;
        return this.#whyNotPart(record);
      case 'cut':
        if (record.epoch !== epoch) return `ends epoch ${record.epoch} in epoch ${epoch}`;
        return !isRecordName(record.cut) || this.#map.pending(record.cut) !== null ? 'cuts again by one name' : null;
      case 'release':
        return tables.some((table) => table.epoch === record.epoch && !table.released)
          ? null
          : `releases epoch ${record.epoch}, of which no cut is pending`;
      case 'start':
      case 'open':
      case 'commit':
        return null;
    }
  }

  #whyNotPart({ index, slot, epoch }: Extract<LogRecord, { readonly kind: 'part' }>): string | null {
    const { chunks } = this.#map;
    if (chunks.epochAt(index) === epoch) {
      const isThere = chunks.isPartial(index) && slotOf(chunks.stateAt(index)) === slot;
      return isThere ? null : `puts blocks of chunk ${index} into slot ${slot}, where it is not`;
    }
    const under = chunks.wholeSlotAt(index);
    return under >= 0 && under !== slot ? null : `puts blocks of chunk ${index} above what is no other slot`;
  }
}

/** Which slots are free is found out when everything was replayed. */
function giveNothing(): void {}
