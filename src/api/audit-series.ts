import { access, type FileHandle, open, readdir, rename } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { assert } from '#base/assert.ts';
import type { Clock } from '#base/clock.ts';
import { describeError, type Log } from '#base/log.ts';
import { CHAIN_START, chainLine, type ChainHead, parseChained } from './audit-chain.ts';

export interface AuditSeriesOptions {
  /** The file that is written; older ones are `PATH.1` (the newest of them), `.2`, … */
  readonly path: string;
  /** 32 bytes. */
  readonly key: Uint8Array;
  /** A file is not written to once it has so many bytes. */
  readonly fileBytesMax: number;
  /** All files, the one that is written included. */
  readonly filesMax: number;
  /** How far the lines had come, by what was kept elsewhere; null: nothing was. */
  readonly expected: ChainHead | null;
  readonly clock: Clock;
  readonly log: Log;
}

interface Batch {
  readonly lines: string[];
  readonly written: PromiseWithResolvers<void>;
}

/** Of lines that the disk has not taken yet; more are counted and left out, so that a disk that hangs does not fill the memory. */
const WAITING_BYTES_MAX = 16 * 1024 * 1024;

/**
 * Lines of JSON in files of bounded size, chained by MACs (audit-chain.ts). What is appended in the same turn, and while a
 * write is on its way, goes out with one write. What a write could not take is kept in memory and written before
 * anything else as soon as the disk takes it. Readable by the owner only.
 */
export class AuditSeries implements AsyncDisposable {
  readonly #options: AuditSeriesOptions;
  #file: FileHandle;
  #fileBytes: number;
  #head: ChainHead;
  #batch: Batch = newBatch();
  #waitingBytes = 0;
  /** Of lines that are in the chain already. */
  #unwritten: Buffer = Buffer.alloc(0);
  #lost = 0;
  #writing: Promise<void> | null = null;
  #isFailing = false;

  private constructor(options: AuditSeriesOptions, file: FileHandle, fileBytes: number, head: ChainHead) {
    this.#options = options;
    this.#file = file;
    this.#fileBytes = fileBytes;
    this.#head = head;
  }

  /** Goes on where the last process ended; says in a line what it finds to be missing. */
  static async open(options: AuditSeriesOptions): Promise<AuditSeries> {
    const { path, expected, log } = options;
    let last = await lastOf(path);
    const isOlder = last.head === null && last.bytes > 0;
    const series = new AuditSeries(options, await openFile(path), last.bytes, last.head ?? CHAIN_START);
    if (isOlder) {
      // Lines without a chain: written by a program that knew none.
      await series.#rotate();
      last = { ...last, tornBytes: 0 };
    }
    if (last.bytes === 0) series.#head = (await headBefore(path)) ?? CHAIN_START;
    if (last.tornBytes > 0) {
      await series.#file.appendFile('\n');
      series.#fileBytes += 1;
      await series.append({ time: series.#now(), torn: last.tornBytes });
    }
    if (expected !== null && expected.sequence > series.#head.sequence) {
      const missing = expected.sequence - series.#head.sequence;
      log.error('lines of the audit log are missing', { path, missing });
      series.#head = expected;
      await series.append({ time: series.#now(), missing });
    }
    return series;
  }

  /** The last line that is with the kernel, or will be next. */
  get head(): ChainHead {
    return this.#head;
  }

  /** Resolves when the line is with the kernel, which keeps it whatever becomes of this process; or when it could not be written now. Never rejects. */
  append(fields: Readonly<Record<string, unknown>>): Promise<void> {
    const json = JSON.stringify(fields);
    if (this.#waitingBytes + json.length > WAITING_BYTES_MAX) {
      this.#lost += 1;
      return Promise.resolve();
    }
    this.#waitingBytes += json.length;
    const batch = this.#batch;
    batch.lines.push(json);
    this.#writing ??= this.#write();
    return batch.written.promise;
  }

  /** When everything appended so far is with the kernel, or cannot be. */
  async flushed(): Promise<void> {
    if (this.#batch.lines.length > 0 || this.#unwritten.length > 0) this.#writing ??= this.#write();
    while (this.#writing !== null) await this.#writing;
  }

  /** Everything that is with the kernel is on the disk. Answers how far that is. */
  async synced(): Promise<ChainHead> {
    await this.flushed();
    const head = this.#head;
    await this.#file.datasync().catch(() => {}); // A file system without it, at worst.
    return head;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.synced();
    await this.#file.close();
  }

  async #write(): Promise<void> {
    await Promise.resolve(); // What is appended in the same turn goes out with one write.
    let batch: Batch | null = null;
    try {
      for (;;) {
        await this.#writeRest();
        batch?.written.resolve();
        batch = null;
        if (this.#batch.lines.length === 0) break;
        await this.#makeRoom();
        batch = this.#chainBatch();
      }
      this.#isFailing = false;
    } catch (error) {
      if (!this.#isFailing)
        this.#options.log.error('the audit log cannot be written', { reason: describeError(error) });
      this.#isFailing = true;
      batch?.written.resolve();
      this.#batch.written.resolve(); // Its lines stay, and are written with the next.
      this.#batch = { lines: this.#batch.lines, written: Promise.withResolvers() };
    }
    this.#writing = null; // In the same turn as the look at what waits: nothing is left behind.
  }

  /** Gives the lines that wait their places in the chain. */
  #chainBatch(): Batch {
    const batch = this.#batch;
    this.#batch = newBatch();
    this.#waitingBytes = 0;
    if (this.#lost > 0) batch.lines.push(JSON.stringify({ time: this.#now(), lost: this.#lost }));
    this.#lost = 0;
    const out: string[] = [];
    const add = (json: string): void => {
      const { line, head } = chainLine(this.#options.key, this.#head, json);
      out.push(line);
      this.#head = head;
    };
    if (this.#fileBytes === 0) {
      add(JSON.stringify({ time: this.#now(), log: basename(this.#options.path), previous: this.#head.mac }));
    }
    for (const json of batch.lines) add(json);
    this.#unwritten = Buffer.from(out.join(''));
    return batch;
  }

  async #writeRest(): Promise<void> {
    while (this.#unwritten.length > 0) {
      const { bytesWritten } = await this.#file.write(this.#unwritten);
      assert(bytesWritten > 0, 'a write takes something or fails');
      this.#fileBytes += bytesWritten;
      this.#unwritten = this.#unwritten.subarray(bytesWritten);
    }
  }

  async #makeRoom(): Promise<void> {
    const lineOverhead = 64; // The number and the MAC, of each line.
    const bytes = this.#waitingBytes + this.#batch.lines.length * lineOverhead;
    if (this.#fileBytes > 0 && this.#fileBytes + bytes > this.#options.fileBytesMax) await this.#rotate();
  }

  /** May be repeated after an error, and be cut short by a kill: only what has to go for a whole new file goes. */
  async #rotate(): Promise<void> {
    const { path, filesMax } = this.#options;
    await this.#file.datasync().catch(() => {}); // As in synced().
    await this.#file.close();
    let fileBytes = this.#fileBytes;
    try {
      // Else an earlier attempt moved all of them, and could not open the new one: nothing is in the way.
      if (await isThere(path)) await moveOlder(path, filesMax);
      fileBytes = 0;
    } finally {
      this.#file = await openFile(path);
      this.#fileBytes = fileBytes;
    }
  }

  #now(): string {
    return new Date(this.#options.clock.nowMs()).toISOString();
  }
}

/** The files of a series, the newest first. */
export async function seriesFiles(path: string): Promise<readonly string[]> {
  const prefix = `${basename(path)}.`;
  const names = await readdir(dirname(path));
  const numbers = names.flatMap((name) => {
    const number = name.startsWith(prefix) ? name.slice(prefix.length) : '';
    return /^[1-9][0-9]{0,5}$/.test(number) ? [Number(number)] : [];
  });
  const older = numbers.toSorted((a, b) => a - b).map((number) => `${path}.${number}`);
  return names.includes(basename(path)) ? [path, ...older] : older;
}

interface Last {
  readonly bytes: number;
  /** Null: the last line is of no chain, or there is none. */
  readonly head: ChainHead | null;
  /** Behind the last line break: a kill or a loss of power ended the write. */
  readonly tornBytes: number;
}

/** Longer than any line: parameters, resources and names are bounded. */
const LINE_BYTES_MAX = 1024 * 1024;

async function lastOf(path: string): Promise<Last> {
  await using file = await openToRead(path);
  const bytes = file === null ? 0 : (await file.stat()).size;
  if (file === null || bytes === 0) return { bytes: 0, head: null, tornBytes: 0 };
  const tail = Buffer.alloc(Math.min(bytes, 2 * LINE_BYTES_MAX));
  await file.read(tail, 0, tail.length, bytes - tail.length);
  let end = tail.lastIndexOf(10);
  const tornBytes = tail.length - 1 - end;
  while (end >= 0) {
    const start = end === 0 ? -1 : tail.lastIndexOf(10, end - 1);
    const line = parseChained(tail.subarray(start + 1, end));
    // What broke off in an earlier start stands before the line that says so.
    if (line !== null) return { bytes, head: line.head, tornBytes };
    end = start;
  }
  return { bytes, head: null, tornBytes };
}

/** Of the newest file before the one that is written. */
async function headBefore(path: string): Promise<ChainHead | null> {
  for (const older of await seriesFiles(path)) {
    if (older === path) continue;
    const { bytes, head } = await lastOf(older);
    if (bytes > 0) return head;
  }
  return null;
}

function newBatch(): Batch {
  return { lines: [], written: Promise.withResolvers() };
}

async function openFile(path: string): Promise<FileHandle> {
  return await open(path, 'a', 0o600);
}

async function openToRead(path: string): Promise<FileHandle | null> {
  try {
    return await open(path, 'r');
  } catch (error) {
    if (isAbsent(error)) return null;
    throw error;
  }
}

/** Every file gets the next number, up to the first that is free; when none is, the oldest goes. */
async function moveOlder(path: string, filesMax: number): Promise<void> {
  const nameOf = (number: number): string => (number === 0 ? path : `${path}.${number}`);
  let free = 1;
  while (free < filesMax - 1 && (await isThere(nameOf(free)))) free += 1;
  // Onto the oldest: a rename replaces it, or does nothing.
  for (let number = free; number >= 1; number -= 1) await rename(nameOf(number - 1), nameOf(number));
}

async function isThere(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (error) {
    if (isAbsent(error)) return false;
    throw error;
  }
}

function isAbsent(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
