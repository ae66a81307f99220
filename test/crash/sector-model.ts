import { assert } from '#base/assert.ts';
import type { Versions } from './nbd-load.ts';

/*
 * What a volume may hold, sector by sector, from outside: from what was sent and what was acknowledged.
 *
 * Requests in flight never overlap, so those on one sector have one order. A sector holds its `certain` version, the last
 * that was acknowledged, or one of its `possible` ones: of requests that ended without an answer. A read that is checked
 * settles which.
 *
 * A cut lies somewhere between its call and its answer. It holds what was certain at the call, and of the requests in
 * flight then or sent since, some; and when it holds one of them, it holds every one that was acknowledged before that one
 * was sent: it is an instant.
 */

/** A write (`version` > 0) or zeros (0) on sectors [first, first + count). */
export interface Change {
  readonly first: number;
  readonly count: number;
  readonly version: number;
  /** When it was sent, by the model's own count of events. */
  readonly sent: number;
  /** When it was acknowledged; Infinity: not yet, or never. */
  acked: number;
}

export class ModelError extends Error {
  override readonly name = 'ModelError';
}

export class VolumeModel {
  readonly sectorCount: number;
  readonly #certain: Float64Array;
  readonly #possible: Map<number, Set<number>>;
  readonly #busy: Uint8Array;
  readonly #flying = new Set<Change>();
  readonly #recorders = new Set<CutRecorder>();
  #events = 0;

  /** `content`: what the volume was made from; zeros without it. */
  constructor(sectorCount: number, content: Versions | null = null) {
    this.sectorCount = sectorCount;
    this.#certain = content === null ? new Float64Array(sectorCount) : Float64Array.from(content);
    this.#possible = new Map();
    this.#busy = new Uint8Array(sectorCount);
  }

  /** Whether no request in flight touches these sectors. */
  isFree(first: number, count: number): boolean {
    return !this.#busy.subarray(first, first + count).includes(1);
  }

  /** A request is about to be sent. */
  send(first: number, count: number, version: number): Change {
    assert(first >= 0 && first + count <= this.sectorCount && this.isFree(first, count), 'requests do not overlap');
    this.#events += 1;
    const change: Change = { first, count, version, sent: this.#events, acked: Infinity };
    this.#busy.fill(1, first, first + count);
    this.#flying.add(change);
    for (const recorder of this.#recorders) recorder.add(change);
    return change;
  }

  /** It was acknowledged. */
  acknowledge(change: Change): void {
    this.#land(change);
    this.#events += 1;
    change.acked = this.#events;
    this.#certain.fill(change.version, change.first, change.first + change.count);
    for (let at = change.first; at < change.first + change.count; at += 1) this.#possible.delete(at);
  }

  /** It ended without an acknowledgement: each of its sectors may have been changed or not. */
  lose(change: Change): void {
    this.#land(change);
    for (let at = change.first; at < change.first + change.count; at += 1) {
      const versions = this.#possible.get(at) ?? new Set();
      this.#possible.set(at, versions.add(change.version));
    }
  }

  /** A read of these sectors is about to be sent: nothing is written there meanwhile. */
  beginRead(first: number, count: number): void {
    assert(this.isFree(first, count), 'requests do not overlap');
    this.#busy.fill(1, first, first + count);
  }

  /** It ended; `found` null: without an answer. Throws ModelError. */
  endRead(first: number, count: number, found: Versions | null, what: string): void {
    this.#busy.fill(0, first, first + count);
    if (found !== null) this.#settle(first, found, what);
  }

  /** What a read of the whole volume found when nothing was in flight. Throws ModelError; else what was found is certain. */
  check(found: Versions, what: string): void {
    assert(this.#flying.size === 0 && found.length === this.sectorCount, 'a check is of the whole volume at rest');
    this.#settle(0, found, what);
  }

  /** A cut is about to be asked for. */
  beginCut(): CutRecorder {
    const possible = new Map([...this.#possible].map(([at, versions]) => [at, new Set(versions)]));
    const recorder = new CutRecorder(Float64Array.from(this.#certain), possible, [...this.#flying]);
    this.#recorders.add(recorder);
    return recorder;
  }

  /** It was answered, or can never be. */
  endCut(recorder: CutRecorder): void {
    this.#recorders.delete(recorder);
  }

  #settle(first: number, found: Versions, what: string): void {
    for (let index = 0; index < found.length; index += 1) {
      const at = first + index;
      const version = found[index] as number;
      const possible = this.#possible.get(at);
      if (version !== this.#certain[at] && possible?.has(version) !== true) {
        const others = possible === undefined ? '' : ` or one of ${[...possible].join()}`;
        throw new ModelError(`${what}: sector ${at} holds ${version}, not ${this.#certain[at]}${others}`);
      }
      this.#certain[at] = version;
      if (possible !== undefined) this.#possible.delete(at);
    }
  }

  #land(change: Change): void {
    assert(this.#flying.delete(change), 'a request ends once');
    this.#busy.fill(0, change.first, change.first + change.count);
  }
}

/** What a cut may hold; from its first checked read on, what it holds. */
export class CutRecorder {
  readonly #base: Float64Array;
  readonly #possible: ReadonlyMap<number, ReadonlySet<number>>;
  /** In the order in which they were sent. */
  readonly #changes: Change[];
  #exact: Versions | null = null;

  constructor(base: Float64Array, possible: ReadonlyMap<number, ReadonlySet<number>>, flying: readonly Change[]) {
    this.#base = base;
    this.#possible = possible;
    this.#changes = flying.toSorted((one, other) => one.sent - other.sent);
  }

  /** What it was found to hold; null before the first check. */
  get content(): Versions | null {
    return this.#exact;
  }

  add(change: Change): void {
    this.#changes.push(change);
  }

  /** Throws ModelError. The first check settles what later ones must find. */
  check(found: Versions, what: string): void {
    if (this.#exact !== null) {
      const at = found.findIndex((version, index) => version !== (this.#exact as Versions)[index]);
      if (at >= 0) throw new ModelError(`${what}: sector ${at} holds ${found[at]}, and held ${this.#exact[at]} before`);
      return;
    }
    assert(found.length === this.#base.length, 'a check is of the whole snapshot');
    const bySector = this.#bySector();
    let newestSent = 0;
    for (let at = 0; at < found.length; at += 1) {
      const version = found[at] as number;
      if (version === this.#base[at] || this.#possible.get(at)?.has(version) === true) continue;
      const change = bySector.get(at)?.find((candidate) => candidate.version === version);
      if (change === undefined) {
        const allowed = [this.#base[at], ...(this.#possible.get(at) ?? []), ...(bySector.get(at) ?? []).map(versionOf)];
        throw new ModelError(`${what}: sector ${at} holds ${version}, not one of ${allowed.join()}`);
      }
      // Zeros do not say whose they are; a version does.
      if (version > 0) newestSent = Math.max(newestSent, change.sent);
    }
    this.#checkInstant(found, bySector, newestSent, what);
    this.#exact = Float64Array.from(found);
  }

  /** What was acknowledged before the newest visible request was sent is there, or something later. */
  #checkInstant(
    found: Versions,
    bySector: ReadonlyMap<number, readonly Change[]>,
    newestSent: number,
    what: string,
  ): void {
    for (const change of this.#changes) {
      if (change.acked >= newestSent) continue;
      for (let at = change.first; at < change.first + change.count; at += 1) {
        const isThere = (bySector.get(at) ?? []).some(
          (candidate) => candidate.sent >= change.sent && candidate.version === found[at],
        );
        if (isThere) continue;
        throw new ModelError(
          `${what}: is no instant: sector ${at} holds ${found[at]}, older than ${change.version}, which was acknowledged ` +
            'before another write that it holds was sent',
        );
      }
    }
  }

  #bySector(): ReadonlyMap<number, readonly Change[]> {
    const bySector = new Map<number, Change[]>();
    for (const change of this.#changes) {
      for (let at = change.first; at < change.first + change.count; at += 1) {
        const changes = bySector.get(at);
        if (changes === undefined) bySector.set(at, [change]);
        else changes.push(change);
      }
    }
    return bySector;
  }
}

function versionOf({ version }: Change): number {
  return version;
}
