import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { writeFileAtomic } from '#base/atomic-file.ts';
import type { Clock } from '#base/clock.ts';
import { KeyLock } from '#base/key-lock.ts';
import type { Log } from '#base/log.ts';
import { makeDirectory } from '#base/make-directory.ts';
import type { SnapshotId } from '#domain/ids.ts';

import { type AccessTrace, decodeTrace, encodeTrace, joinTraces, TRACE_COUNT_MAX } from './access-trace.ts';

/** A volume's first readers are watched for so long after it was opened: the boot of an instance. */
export const RECORDING_MS = 10 * 60 * 1000;

/**
 * In which order the chunks of a snapshot were first needed by those who opened a volume made from it: a file a snapshot. It
 * makes the next volume warm where it matters, and nothing else depends on it: one that is missing, damaged or cannot be
 * written is no trace, and no error.
 */
export class AccessTraces {
  readonly #directory: string;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #lock = new KeyLock();

  /** The directory is made when there is something to put into it. */
  constructor(options: { readonly directory: string; readonly clock: Clock; readonly log: Log }) {
    this.#directory = options.directory;
    this.#clock = options.clock;
    this.#log = options.log;
  }

  /** Empty where there is none. */
  async read(snapshot: SnapshotId): Promise<AccessTrace> {
    try {
      return decodeTrace(await readFile(this.#path(snapshot))) ?? [];
    } catch {
      return [];
    }
  }

  /** Starts to write down what is needed of a snapshot by the readers of one volume. */
  record(snapshot: SnapshotId): TraceRecorder {
    return new TraceRecorder({
      untilMs: this.#clock.monotonicMs() + RECORDING_MS,
      clock: this.#clock,
      save: (trace) => this.#add(snapshot, trace),
    });
  }

  /** A snapshot of a volume that was itself made from one is read in the same order. */
  async inherit(from: SnapshotId, to: SnapshotId): Promise<void> {
    const trace = await this.read(from);
    if (trace.length > 0) await this.#add(to, trace);
  }

  /** The snapshot is deleted. */
  async remove(snapshot: SnapshotId): Promise<void> {
    await this.#lock.run(snapshot, async () => {
      await rm(this.#path(snapshot), { force: true }).catch((error: unknown) => this.#tell(snapshot, error));
    });
  }

  /** What is known already stays at the beginning: chunks that were hydrated in time are not seen again. */
  async #add(snapshot: SnapshotId, trace: AccessTrace): Promise<void> {
    await this.#lock.run(snapshot, async () => {
      const known = await this.read(snapshot);
      const joined = joinTraces(known, trace);
      if (joined.length === known.length) return;
      try {
        await makeDirectory(this.#directory);
        await writeFileAtomic(this.#path(snapshot), encodeTrace(joined));
      } catch (error) {
        this.#tell(snapshot, error);
      }
    });
  }

  #tell(snapshot: SnapshotId, error: unknown): void {
    this.#log.warn('trace.trouble', { snapshot, error });
  }

  #path(snapshot: SnapshotId): string {
    return join(this.#directory, snapshot);
  }
}

/** What the readers of one volume need, until there is enough of it or its time is over. */
export class TraceRecorder {
  readonly #untilMs: number;
  readonly #clock: Clock;
  readonly #save: (trace: AccessTrace) => Promise<void>;
  readonly #needed = new Set<number>();
  #isOver = false;

  constructor(options: {
    readonly untilMs: number;
    readonly clock: Clock;
    readonly save: (trace: AccessTrace) => Promise<void>;
  }) {
    this.#untilMs = options.untilMs;
    this.#clock = options.clock;
    this.#save = options.save;
  }

  /** A reader needs a chunk that was not fetched yet. Answers false when nothing more is written down. */
  note(index: number): boolean {
    if (this.#isOver) return false;
    this.#isOver = this.#needed.size === TRACE_COUNT_MAX || this.#clock.monotonicMs() >= this.#untilMs;
    if (!this.#isOver) this.#needed.add(index);
    return !this.#isOver;
  }

  /** Keeps what was written down so far, behind what was known before. */
  async save(): Promise<void> {
    if (this.#needed.size > 0) await this.#save([...this.#needed]);
  }
}
