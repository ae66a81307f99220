import { join } from 'node:path';
import type { Clock } from '#base/clock.ts';
import { describeError, type Log } from '#base/log.ts';
import type { Audit, AuditEntry } from './audit.ts';
import type { ChainHead } from './audit-chain.ts';
import { Refusals } from './audit-refusals.ts';
import { AuditSeries } from './audit-series.ts';

const MIB = 1024 ** 2;

/**
 * Three series of files, each with a budget of its own, so that neither a flood of refused calls nor one of reads pushes out
 * who changed what.
 */
export const AUDIT_SERIES = {
  /** What changed something, or may have. */
  changes: { name: 'audit.log', fileBytesMax: 64 * MIB, filesMax: 10 },
  /** What read, or used a key, or put a block. */
  uses: { name: 'audit-use.log', fileBytesMax: 64 * MIB, filesMax: 4 },
  refused: { name: 'audit-refused.log', fileBytesMax: 16 * MIB, filesMax: 4 },
} as const;

export type SeriesName = keyof typeof AUDIT_SERIES;
export const SERIES_NAMES = ['changes', 'uses', 'refused'] as const satisfies readonly SeriesName[];

export type AuditHeads = Readonly<Partial<Record<SeriesName, ChainHead>>>;

export interface AuditLogOptions {
  readonly directory: string;
  /** 32 bytes; whoever has it can forge lines. */
  readonly key: Uint8Array;
  /** For tests: other budgets. */
  readonly budgets?: Partial<Record<SeriesName, { readonly fileBytesMax: number; readonly filesMax: number }>>;
  /** How far each series had come, as `keepHeads` was told last. */
  readonly heads: AuditHeads;
  /** Keeps it where the files of the log are not. What it is told is on the disk. */
  readonly keepHeads: (heads: AuditHeads) => Promise<void>;
  readonly clock: Clock;
  readonly log: Log;
}

/** How often refused calls are summed up, and what was written is brought to the disk and its end kept. */
const PERIOD_MS = 60_000;

/** What is used goes on all the time, and the most. */
const USING =
  /^(?:Get|List|Describe|Is|Simulate|Decode|Encrypt|Decrypt|ReEncrypt|Generate|Verify|Sign|PutSnapshotBlock)/;

/** One JSON object a line for every call; a line of a change is with the kernel before its reply is sent. */
export class AuditLog implements Audit, AsyncDisposable {
  readonly #options: AuditLogOptions;
  readonly #series: Readonly<Record<SeriesName, AuditSeries>>;
  /** Those of principals have lines of their own, however many come from whom nobody knows. */
  readonly #refusals = { known: new Refusals(), unknown: new Refusals() };
  readonly #stop = new AbortController();
  readonly #tending: Promise<void>;
  #kept = '';

  private constructor(options: AuditLogOptions, series: Readonly<Record<SeriesName, AuditSeries>>) {
    this.#options = options;
    this.#series = series;
    this.#tending = this.#tend();
  }

  static async open(options: AuditLogOptions): Promise<AuditLog> {
    const open = async (name: SeriesName): Promise<AuditSeries> => {
      const { directory, key, heads, clock, log } = options;
      const { name: file, fileBytesMax, filesMax } = { ...AUDIT_SERIES[name], ...options.budgets?.[name] };
      const expected = heads[name] ?? null;
      return await AuditSeries.open({ path: join(directory, file), key, fileBytesMax, filesMax, expected, clock, log });
    };
    await using opened = new AsyncDisposableStack();
    const changes = opened.use(await open('changes'));
    const uses = opened.use(await open('uses'));
    const refused = opened.use(await open('refused'));
    opened.move();
    return new AuditLog(options, { changes, uses, refused });
  }

  record(entry: AuditEntry): Promise<void> | null {
    const line = { time: this.#now(), ...entry };
    if (entry.status >= 400 && entry.status < 500) {
      const refusals = entry.principal === null ? this.#refusals.unknown : this.#refusals.known;
      if (refusals.admit(entry)) void this.#series.refused.append(line);
      return null;
    }
    const isUse = entry.operation !== null && USING.test(entry.operation);
    const written = this.#series[isUse ? 'uses' : 'changes'].append(line);
    return isUse && entry.operation !== 'PutSnapshotBlock' ? null : written;
  }

  /** When everything recorded so far is with the kernel, but for refused calls that are summed up later. Answers where each series ends. */
  async flushed(): Promise<AuditHeads> {
    for (const name of SERIES_NAMES) await this.#series[name].flushed();
    return this.#heads();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('the server is stopping'));
    await this.#tending;
    await this.#sumUp();
    for (const name of SERIES_NAMES) await this.#series[name][Symbol.asyncDispose]();
  }

  async #tend(): Promise<void> {
    const { clock } = this.#options;
    while (!this.#stop.signal.aborted) {
      await clock.sleep(PERIOD_MS, this.#stop.signal).catch(() => {}); // Only the signal ends it.
      if (!this.#stop.signal.aborted) await this.#sumUp();
    }
  }

  async #sumUp(): Promise<void> {
    const { known, unknown } = this.#refusals;
    for (const more of [...known.take(), ...unknown.take()]) {
      void this.#series.refused.append({ time: this.#now(), ...more });
    }
    try {
      const { changes, uses, refused } = this.#series;
      const heads = { changes: await changes.synced(), uses: await uses.synced(), refused: await refused.synced() };
      const text = JSON.stringify(heads);
      if (text === this.#kept) return;
      await this.#options.keepHeads(heads);
      this.#kept = text;
    } catch (error) {
      this.#options.log.warn('the end of the audit log could not be kept', { reason: describeError(error) });
    }
  }

  #heads(): AuditHeads {
    const { changes, uses, refused } = this.#series;
    return { changes: changes.head, uses: uses.head, refused: refused.head };
  }

  #now(): string {
    return new Date(this.#options.clock.nowMs()).toISOString();
  }
}
