import { type FileHandle, open } from 'node:fs/promises';
import { basename } from 'node:path';
import { type ChainedLine, type ChainHead, follows, parseChained } from './audit-chain.ts';
import { seriesFiles } from './audit-series.ts';

/** What is wrong with a series, and where it was found. */
export interface AuditProblem {
  readonly file: string;
  /** In the file, from 1. */
  readonly line: number;
  readonly reason: string;
}

export interface AuditVerified {
  readonly fileCount: number;
  readonly lineCount: number;
  /** Where the chain of what is there begins and ends; null: there is no line. */
  readonly first: ChainHead | null;
  readonly last: ChainHead | null;
  /** Files before the chain: written by a program that made none. */
  readonly unchainedFileCount: number;
  /** Calls whose lines could not be written, as the lines say: the disk was full. */
  readonly lostCount: number;
  /** The first ones. */
  readonly problems: readonly AuditProblem[];
}

const PROBLEMS_MAX = 20;

interface Verification {
  readonly path: string;
  readonly key: Uint8Array;
  readonly filesMax: number;
  readonly expected: readonly ChainHead[];
}

/**
 * Checks the chain over all files of a series. `expected`: lines that must be there, by what was kept elsewhere. The server may
 * go on writing: what comes after the expected lines is checked as far as it is whole.
 */
export async function verifySeries(options: Verification): Promise<AuditVerified> {
  await using files = await openFiles(options.path);
  const check = new SeriesCheck(options);
  for (const [index, { path, file }] of files.all.entries()) {
    const isLast = index === files.all.length - 1;
    check.file(basename(path), await file.readFile(), { isLast, fileCount: files.all.length });
  }
  return check.end(basename(options.path));
}

class SeriesCheck {
  readonly #key: Uint8Array;
  readonly #filesMax: number;
  /** Of the lines that are expected, what is there. */
  readonly #found = new Map<number, string>();
  readonly #expected: readonly ChainHead[];
  readonly #problems: AuditProblem[] = [];
  #fileCount = 0;
  #lineCount = 0;
  #lostCount = 0;
  #unchainedFileCount = 0;
  #first: ChainHead | null = null;
  #last: ChainHead | null = null;
  /** A line that is of no chain: it is well when the next one says that it broke off. */
  #torn: (AuditProblem & { readonly bytes: number }) | null = null;

  constructor({ key, filesMax, expected }: Omit<Verification, 'path'>) {
    this.#key = key;
    this.#filesMax = filesMax;
    this.#expected = expected;
  }

  file(name: string, bytes: Buffer, where: { readonly isLast: boolean; readonly fileCount: number }): void {
    this.#fileCount += 1;
    let start = 0;
    for (let line = 1; start < bytes.length; line += 1) {
      const end = bytes.indexOf(10, start);
      // Behind the last line break of the last file: it is being written, or the server was killed.
      if (end < 0 && where.isLast) return;
      const text = bytes.subarray(start, end < 0 ? bytes.length : end);
      start = end < 0 ? bytes.length : end + 1;
      const chained = parseChained(text);
      if (chained === null && line === 1 && this.#last === null) {
        this.#unchainedFileCount += 1; // Anybody may have written it.
        return;
      }
      if (chained === null) this.#tear(name, line, text.length);
      else this.#line(name, line, chained, where.fileCount);
    }
  }

  end(name: string): AuditVerified {
    this.#settleTear(null);
    for (const { sequence, mac } of this.#expected) {
      if (sequence === 0 || sequence < (this.#first?.sequence ?? 0)) continue; // Its file went in its time.
      const found = this.#found.get(sequence);
      if (found === mac) continue;
      const last = this.#last?.sequence ?? 0;
      const reason =
        found === undefined && sequence > last
          ? `the last lines are missing: there were ${sequence}, the files end at ${last}`
          : `line ${sequence} is not the one that there was`;
      this.#problem({ file: name, line: 0, reason });
    }
    return {
      fileCount: this.#fileCount,
      lineCount: this.#lineCount,
      first: this.#first,
      last: this.#last,
      unchainedFileCount: this.#unchainedFileCount,
      lostCount: this.#lostCount,
      problems: this.#problems,
    };
  }

  #line(file: string, line: number, chained: ChainedLine, fileCount: number): void {
    const { head, fields } = chained;
    this.#settleTear(chained);
    this.#lineCount += 1;
    if (this.#expected.some(({ sequence }) => sequence === head.sequence)) this.#found.set(head.sequence, head.mac);
    if (typeof fields['lost'] === 'number') this.#lostCount += fields['lost'];
    const reason = this.#last === null ? this.#wrongBegin(chained, fileCount) : this.#wrongNext(this.#last, chained);
    if (reason !== null) this.#problem({ file, line, reason });
    this.#first ??= head;
    this.#last = head;
  }

  /** The oldest line that is there says what came before it: files go when there are too many, and not otherwise. */
  #wrongBegin(chained: ChainedLine, fileCount: number): string | null {
    const { previous } = chained.fields;
    if (typeof previous !== 'string') return 'the beginning of the file is missing';
    if (!follows(this.#key, previous, chained)) return `line ${chained.head.sequence} was changed`;
    // Files without a chain count for none: they are older than all that have one, and would have had to go first.
    if (chained.head.sequence > 1 && fileCount - this.#unchainedFileCount < this.#filesMax) {
      return `${chained.head.sequence - 1} lines before this one are missing: no file had to go yet`;
    }
    return null;
  }

  #wrongNext(last: ChainHead, chained: ChainedLine): string | null {
    const { sequence } = chained.head;
    if (sequence > last.sequence + 1) {
      const from = last.sequence + 1;
      return from === sequence - 1 ? `line ${from} is missing` : `lines ${from} to ${sequence - 1} are missing`;
    }
    if (sequence <= last.sequence) return `line ${sequence} stands after line ${last.sequence}`;
    return follows(this.#key, last.mac, chained) ? null : `line ${sequence} was changed, or does not follow`;
  }

  #tear(file: string, line: number, bytes: number): void {
    this.#settleTear(null);
    this.#torn = { file, line, bytes, reason: 'it is no line of the log' };
  }

  #settleTear(next: ChainedLine | null): void {
    if (next !== null && 'previous' in next.fields) return; // The beginning of a file came in between.
    if (this.#torn !== null && next?.fields['torn'] !== this.#torn.bytes) this.#problem(this.#torn);
    this.#torn = null;
  }

  #problem({ file, line, reason }: AuditProblem): void {
    if (this.#problems.length < PROBLEMS_MAX) this.#problems.push({ file, line, reason });
  }
}

interface OpenFiles extends AsyncDisposable {
  /** The oldest first. */
  readonly all: readonly { readonly path: string; readonly file: FileHandle }[];
}

/**
 * All of them at one time, from the newest on: one that is renamed meanwhile is met again, and taken once. So the oldest may
 * have a number by then that none had when they were listed.
 */
async function openFiles(path: string): Promise<OpenFiles> {
  const all: { path: string; file: FileHandle }[] = [];
  const inodes = new Set<number>();
  const take = async (each: string): Promise<boolean> => {
    const file = await open(each, 'r').catch((error: unknown) => {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null; // The oldest went.
      throw error;
    });
    if (file === null) return false;
    const { ino } = await file.stat();
    if (inodes.has(ino)) await file.close();
    else all.unshift({ path: each, file });
    inodes.add(ino);
    return true;
  };
  const listed = await seriesFiles(path);
  for (const each of listed) await take(each);
  const oldest = Number(listed.at(-1)?.slice(path.length + 1) ?? 0);
  for (let number = oldest + 1; await take(`${path}.${number}`);) number += 1;
  return {
    all,
    [Symbol.asyncDispose]: async () => {
      for (const { file } of all) await file.close();
    },
  };
}
