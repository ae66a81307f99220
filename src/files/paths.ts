import type { DirectoryEntry, FileNode, FileSystem } from './file-system.ts';
import { damaged, FileSystemError } from './file-system-error.ts';

/** As Linux: more symlinks in one path are a loop. */
const SYMLINKS_MAX = 40;
/** Directories are opened so many at once: they lie together, and the cache makes one read of it. */
const OPENED_AT_ONCE = 256;
/** A path is no deeper than its bytes allow. */
export const DEPTH_MAX = 2048;

/**
 * The file that a path names, from the root; symlinks lead inside the file system only. `follow`: also where the last name
 * is one. Throws FileSystemError (`not-found`, `not-a-directory`, `damaged`).
 */
export async function nodeAt(
  files: FileSystem,
  path: string,
  options: { readonly follow: boolean },
): Promise<FileNode> {
  const above: FileNode[] = [await files.root()];
  const names = split(Buffer.from(path)).toReversed();
  const isDirectoryMeant = path.endsWith('/');
  let symlinks = 0;
  for (;;) {
    const here = above.at(-1);
    const name = names.pop();
    if (here === undefined) throw damaged('a path without a root');
    if (name === undefined) {
      if (isDirectoryMeant && here.kind !== 'directory')
        throw new FileSystemError('not-a-directory', `${path} is not a directory`);
      return here;
    }
    const text = name.toString();
    if (text === '.') continue;
    if (text === '..') {
      if (above.length > 1) above.pop();
      continue;
    }
    if (here.kind !== 'directory')
      throw new FileSystemError('not-a-directory', `${path}: what is before "${text}" is not a directory`);
    const entry = await findEntry(here, name);
    if (entry === null) throw new FileSystemError('not-found', `there is no ${path}`);
    const node = await entry.open();
    const isLast = names.length === 0 && !isDirectoryMeant;
    if (node.kind !== 'symlink' || (isLast && !options.follow)) {
      above.push(node);
      if (above.length > DEPTH_MAX) throw damaged(`${path} is too deep`);
      continue;
    }
    if ((symlinks += 1) > SYMLINKS_MAX) throw new FileSystemError('not-found', `${path}: too many symlinks`);
    const target = await node.linkTarget();
    if (target[0] === 0x2f) above.length = 1;
    names.push(...split(target).toReversed());
  }
}

async function findEntry(directory: FileNode, name: Buffer): Promise<DirectoryEntry | null> {
  for await (const entry of directory.entries()) if (entry.name.equals(name)) return entry;
  return null;
}

function split(path: Buffer): Buffer[] {
  const names: Buffer[] = [];
  for (let start = 0; start <= path.length;) {
    const slash = path.indexOf(0x2f, start);
    const end = slash < 0 ? path.length : slash;
    if (end > start) names.push(path.subarray(start, end));
    start = end + 1;
  }
  return names;
}

/** A name in a directory with what it names, or why that cannot be read. */
export type Listed =
  | { readonly name: Buffer; readonly node: FileNode }
  | { readonly name: Buffer; readonly node: null; readonly error: FileSystemError };

/** All of a directory, by name. What cannot be opened is told in its place. Throws FileSystemError when the directory itself cannot be read. */
export async function listDirectory(directory: FileNode): Promise<readonly Listed[]> {
  const entries: DirectoryEntry[] = [];
  for await (const entry of directory.entries()) entries.push(entry);
  // In the order in which they are stored, so that every page is read once.
  entries.sort((one, other) => one.id - other.id);
  const listed: Listed[] = [];
  for (let start = 0; start < entries.length; start += OPENED_AT_ONCE) {
    listed.push(...(await Promise.all(entries.slice(start, start + OPENED_AT_ONCE).map(opened))));
  }
  return listed.sort((one, other) => Buffer.compare(one.name, other.name));
}

async function opened(entry: DirectoryEntry): Promise<Listed> {
  try {
    return { name: entry.name, node: await entry.open() };
  } catch (error) {
    if (error instanceof FileSystemError) return { name: entry.name, node: null, error };
    throw error;
  }
}

/** Tells a directory that was entered before: no directory has two places, unless the file system is damaged. */
export class EnteredOnce {
  readonly #ids = new Set<number>();

  /** Throws FileSystemError. */
  enter(directory: FileNode, depth: number): void {
    if (this.#ids.has(directory.id)) throw damaged('a directory is in two places, or inside itself');
    if (depth > DEPTH_MAX) throw damaged('its directories are too deep');
    this.#ids.add(directory.id);
  }
}
