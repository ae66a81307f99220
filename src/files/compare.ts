import { piecesOf } from './content.ts';
import type { FileNode, FileRun, FileSystem } from './file-system.ts';
import { FileSystemError } from './file-system-error.ts';
import { EnteredOnce, type Listed, listDirectory } from './paths.ts';

/** What is between two states of a file system, of one name. */
export interface FileChange {
  readonly path: string;
  readonly change: 'added' | 'removed' | 'modified';
  readonly before: FileNode | null;
  readonly after: FileNode | null;
  /** The bytes of a file, the target of a symlink or the number of a device. */
  readonly isContentChanged: boolean;
  /** What else changed: `mode`, `owner`, `time` (of directories: mode and owner only). */
  readonly attributes: readonly ('mode' | 'owner' | 'time')[];
}

/** Something that cannot be compared, because it cannot be read. */
export interface ComparisonTrouble {
  readonly path: string;
  readonly error: FileSystemError;
}

export interface Comparison {
  readonly before: FileSystem;
  readonly after: FileSystem;
  /** Whether the two disks may differ in these bytes of the file system. Null: nobody knows, every file is read. */
  readonly isChanged: ((at: number, length: number) => boolean) | null;
  readonly onTrouble: (trouble: ComparisonTrouble) => void;
  readonly signal: AbortSignal;
}

interface Pair {
  readonly path: string;
  readonly before: FileNode | null;
  readonly after: FileNode | null;
  readonly depth: number;
}

/**
 * What changed from one file system to another: all names of both are looked at, and contents are read only where the same
 * blocks do not tell that they are the same. Sorted within each directory. Throws FileSystemError for a root that cannot be
 * read; for anything else `onTrouble` is told.
 */
export async function* compareTrees(comparison: Comparison): AsyncGenerator<FileChange> {
  const { before, after, signal } = comparison;
  const entered = { before: new EnteredOnce(), after: new EnteredOnce() };
  const pending: Pair[] = [{ path: '', before: await before.root(), after: await after.root(), depth: 0 }];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    signal.throwIfAborted();
    const { path, depth } = next;
    try {
      const ahead: Pair[] = [];
      const olds = await listed(next.before, entered.before, depth);
      const news = await listed(next.after, entered.after, depth);
      for (const [name, old, fresh] of merged(olds, news)) {
        const here = `${path}/${name}`;
        const one = nodeOf(comparison, here, old);
        const other = nodeOf(comparison, here, fresh);
        // What cannot be read on one side is neither there nor gone.
        if (one === undefined || other === undefined) continue;
        yield* comparePair(comparison, { path: here, before: one, after: other, depth }, ahead);
      }
      pending.push(...ahead.toReversed());
    } catch (error) {
      if (!(error instanceof FileSystemError) || depth === 0) throw error;
      comparison.onTrouble({ path, error });
    }
  }
}

async function listed(directory: FileNode | null, once: EnteredOnce, depth: number): Promise<readonly Listed[]> {
  if (directory === null) return [];
  once.enter(directory, depth);
  return await listDirectory(directory);
}

/** Undefined, and told of: it is there and cannot be read. */
function nodeOf(comparison: Comparison, path: string, found: Listed | null): FileNode | null | undefined {
  if (found === null || found.node !== null) return found === null ? null : found.node;
  comparison.onTrouble({ path, error: found.error });
  return undefined;
}

/** Two sorted lists as one: name, and what each has of it. */
function* merged(
  olds: readonly Listed[],
  news: readonly Listed[],
): Generator<readonly [string, Listed | null, Listed | null]> {
  for (let [left, right] = [0, 0]; left < olds.length || right < news.length;) {
    const [old, fresh] = [olds[left] ?? null, news[right] ?? null];
    const order = old === null ? 1 : fresh === null ? -1 : Buffer.compare(old.name, fresh.name);
    yield [(order <= 0 ? old : fresh)?.name.toString() ?? '', order <= 0 ? old : null, order >= 0 ? fresh : null];
    if (order <= 0) left += 1;
    if (order >= 0) right += 1;
  }
}

async function* comparePair(comparison: Comparison, pair: Pair, ahead: Pair[]): AsyncGenerator<FileChange> {
  const { path, before, after, depth } = pair;
  const below = (one: FileNode | null, other: FileNode | null): void => {
    if (one?.kind === 'directory' || other?.kind === 'directory') {
      ahead.push({ path, before: one, after: other, depth: depth + 1 });
    }
  };
  if (before === null || after === null || before.kind !== after.kind) {
    if (before !== null) {
      yield { path, change: 'removed', before, after: null, isContentChanged: true, attributes: [] };
      below(before, null);
    }
    if (after !== null) {
      yield { path, change: 'added', before: null, after, isContentChanged: true, attributes: [] };
      below(null, after);
    }
    return;
  }
  below(before, after);
  try {
    const isContentChanged = !(await isSame(comparison, before, after));
    const attributes = changedAttributes(before, after);
    if (isContentChanged || attributes.length > 0) {
      yield { path, change: 'modified', before, after, isContentChanged, attributes };
    }
  } catch (error) {
    if (!(error instanceof FileSystemError)) throw error;
    comparison.onTrouble({ path, error });
  }
}

function changedAttributes(before: FileNode, after: FileNode): FileChange['attributes'] {
  const changed: ('mode' | 'owner' | 'time')[] = [];
  if (before.mode !== after.mode) changed.push('mode');
  if (before.uid !== after.uid || before.gid !== after.gid) changed.push('owner');
  const isTimeSame =
    before.modified.seconds === after.modified.seconds && before.modified.nanoseconds === after.modified.nanoseconds;
  // The time of a directory tells that names in it changed, which are told themselves.
  if (!isTimeSame && before.kind !== 'directory') changed.push('time');
  return changed;
}

async function isSame(comparison: Comparison, before: FileNode, after: FileNode): Promise<boolean> {
  if (before.kind === 'symlink') return (await before.linkTarget()).equals(await after.linkTarget());
  if (before.device !== null || after.device !== null) {
    return before.device?.major === after.device?.major && before.device?.minor === after.device?.minor;
  }
  if (before.kind !== 'file') return true;
  if (before.sizeBytes !== after.sizeBytes) return false;
  return (await isInSamePlace(comparison, before, after)) || (await isSameContent(comparison, before, after));
}

/** Whether both have the same blocks, in which the disks do not differ: then nothing need be read. */
async function isInSamePlace(comparison: Comparison, before: FileNode, after: FileNode): Promise<boolean> {
  const { isChanged } = comparison;
  if (isChanged === null) return false;
  const others = after.content()[Symbol.asyncIterator]();
  for await (const one of before.content()) {
    const next = await others.next();
    if (next.done === true || !isSameRun(one, next.value, isChanged)) return false;
  }
  return (await others.next()).done === true;
}

function isSameRun(one: FileRun, other: FileRun, isChanged: (at: number, length: number) => boolean): boolean {
  if (one.offset !== other.offset || one.length !== other.length) return false;
  const [left, right] = [one.source, other.source];
  if (left.kind === 'bytes') return right.kind === 'bytes' && left.bytes.equals(right.bytes);
  if (left.kind === 'hole') return right.kind === 'hole';
  const isPlaced = right.kind === 'disk' && left.inPlace && right.inPlace && left.at === right.at;
  return isPlaced && !isChanged(left.at, one.length);
}

/** Reads both to the first difference; what is stored as zeros and a hole are the same. */
async function isSameContent(comparison: Comparison, before: FileNode, after: FileNode): Promise<boolean> {
  const one = new Cursor(comparison.before, before);
  const other = new Cursor(comparison.after, after);
  try {
    for (let at = 0; at < before.sizeBytes;) {
      comparison.signal.throwIfAborted();
      const [left, right] = [await one.from(at), await other.from(at)];
      const end = Math.min(left.end, right.end, before.sizeBytes);
      const [a, b] = [left.bytes?.subarray(0, end - at) ?? null, right.bytes?.subarray(0, end - at) ?? null];
      if (a !== null && b !== null && !a.equals(b)) return false;
      if ((a === null) !== (b === null) && (a ?? b)?.some((byte) => byte !== 0) === true) return false;
      at = end;
    }
    return true;
  } finally {
    await one.close();
    await other.close();
  }
}

/** Goes through a content: at each place there are bytes up to some end, or zeros. */
class Cursor {
  readonly #pieces: AsyncGenerator<{ readonly offset: number; readonly bytes: Buffer }>;
  #piece: { readonly offset: number; readonly bytes: Buffer } | null = null;
  #isAtEnd = false;

  constructor(files: FileSystem, node: FileNode) {
    this.#pieces = piecesOf(files, node);
  }

  /** `bytes` null: zeros. Places are asked for in ascending order. */
  async from(at: number): Promise<{ readonly bytes: Buffer | null; readonly end: number }> {
    while (!this.#isAtEnd && (this.#piece === null || this.#piece.offset + this.#piece.bytes.length <= at)) {
      const next = await this.#pieces.next();
      this.#isAtEnd = next.done === true;
      this.#piece = next.done === true ? null : next.value;
    }
    const piece = this.#piece;
    if (piece === null) return { bytes: null, end: Infinity };
    if (at < piece.offset) return { bytes: null, end: piece.offset };
    return { bytes: piece.bytes.subarray(at - piece.offset), end: piece.offset + piece.bytes.length };
  }

  async close(): Promise<void> {
    await this.#pieces.return(undefined);
  }
}
