import { constants } from 'node:fs';
import { chmod, link, lstat, lutimes, mkdir, open, rm, lchown, symlink, utimes } from 'node:fs/promises';

import { TaskGroup } from '#base/task-group.ts';
import { piecesOf } from '#files/content.ts';
import type { FileNode, FileSystem, FileTime } from '#files/file-system.ts';
import { FileSystemError } from '#files/file-system-error.ts';
import { EnteredOnce, listDirectory } from '#files/paths.ts';

import { CommandError } from './command-error.ts';
import { nameWords } from './files-words.ts';
import { nonZeroRuns } from './image-copy.ts';
import { plainError } from './plain-errors.ts';

/*
 * Files of an image come to this machine's file system. The image may be an enemy's: nothing may be made outside of the
 * destination, whatever the names in it.
 *
 * - A name has no "/" and is not "..": src/files sees to that.
 * - What is made is made anew (O_EXCL, mkdir), never through something that is there: a directory that is there already must
 *   be one, not a symlink to one.
 * - Symlinks are made when all else is, so that no later name leads through one of them.
 * - Setuid and setgid are kept only with the owners, and devices are not made.
 */

/** Files that are written at the same time. */
const FILES_AT_ONCE = 8;
const NEW_FILE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
const SLASH = Buffer.from('/');

export interface CopyOptions {
  readonly recursive: boolean;
  /** Files that are there already are replaced. */
  readonly force: boolean;
  /** Owners and all bits of the mode are kept, too. */
  readonly owner: boolean;
  readonly signal: AbortSignal;
}

export interface CopyCounts {
  fileCount: number;
  directoryCount: number;
  symlinkCount: number;
  /** Of files, without their holes. */
  bytes: number;
}

/** Copies files and directories out of a file system. What goes wrong with one does not stop the others. */
export class TreeCopy {
  readonly counts: CopyCounts = { fileCount: 0, directoryCount: 0, symlinkCount: 0, bytes: 0 };
  /** A sentence for each file that was not copied. */
  readonly troubles: string[] = [];
  readonly #files: FileSystem;
  readonly #options: CopyOptions;
  /** To be done when the files are there. */
  readonly #symlinks: { readonly node: FileNode; readonly path: Buffer }[] = [];
  readonly #directories: { readonly node: FileNode; readonly path: Buffer }[] = [];
  /** Of files with several names: where the first is. */
  readonly #linked = new Map<number, { readonly path: Buffer; readonly done: Promise<boolean> }>();

  constructor(files: FileSystem, options: CopyOptions) {
    this.#files = files;
    this.#options = options;
  }

  /** `path`: what it will be called. Throws the reason of the signal once it is aborted. */
  async copy(node: FileNode, path: Buffer): Promise<void> {
    await using group = new TaskGroup({ limit: FILES_AT_ONCE });
    const once = new EnteredOnce();
    const pending = [{ node, path, depth: 0 }];
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      this.#options.signal.throwIfAborted();
      const { node: one, path: to, depth } = next;
      if (one.kind === 'directory') {
        await this.#attempt(to, async () => {
          if (!this.#options.recursive) throw new CommandError('it is a directory: add -r');
          once.enter(one, depth);
          await this.#makeDirectory(one, to);
          for (const listed of (await listDirectory(one)).toReversed()) {
            const below = Buffer.concat([to, SLASH, listed.name]);
            if (listed.node === null) this.#trouble(below, listed.error);
            else pending.push({ node: listed.node, path: below, depth: depth + 1 });
          }
        });
      } else if (one.kind === 'file') await this.#startFile(group, one, to);
      else if (one.kind === 'symlink') this.#symlinks.push({ node: one, path: to });
      else this.#trouble(to, new CommandError(`it is a ${one.kind}, which is not copied`));
    }
    await group.drain();
  }

  /** Makes the symlinks, and gives directories their modes and times; last, because neither would last. */
  async finish(): Promise<void> {
    for (const { node, path } of this.#symlinks) {
      await this.#attempt(path, async () => {
        const target = await node.linkTarget();
        await this.#makeNew(path, async () => await symlink(target, path));
        if (this.#options.owner) await lchown(path, node.uid, node.gid);
        await lutimes(path, secondsOf(node.modified), secondsOf(node.modified));
        this.counts.symlinkCount += 1;
      });
    }
    for (const { node, path } of this.#directories.toReversed()) {
      await this.#attempt(path, async () => {
        if (this.#options.owner) await lchown(path, node.uid, node.gid);
        await chmod(path, this.#modeOf(node));
        await utimes(path, secondsOf(node.modified), secondsOf(node.modified));
      });
    }
  }

  async #makeDirectory(node: FileNode, path: Buffer): Promise<void> {
    try {
      await mkdir(path, 0o700);
    } catch (error) {
      if (!isCode(error, 'EEXIST')) throw error;
      if (!(await lstat(path)).isDirectory()) throw new CommandError('what is there is not a directory');
    }
    this.#directories.push({ node, path });
    this.counts.directoryCount += 1;
  }

  async #startFile(group: TaskGroup, node: FileNode, path: Buffer): Promise<void> {
    const first = node.linkCount > 1 ? this.#linked.get(node.id) : undefined;
    if (first !== undefined) {
      await this.#attempt(path, async () => {
        if (!(await first.done)) throw new CommandError('the file was not copied under its other name');
        await this.#makeNew(path, async () => await link(first.path, path));
        this.counts.fileCount += 1;
      });
      return;
    }
    const done = Promise.withResolvers<boolean>();
    if (node.linkCount > 1) this.#linked.set(node.id, { path, done: done.promise });
    await group.add(async () => {
      done.resolve(await this.#attempt(path, async () => await this.#writeFile(node, path)));
    });
  }

  async #writeFile(node: FileNode, path: Buffer): Promise<void> {
    const file = await this.#makeNew(path, async () => await open(path, NEW_FILE, 0o600));
    try {
      await file.truncate(node.sizeBytes);
      for await (const { offset, bytes } of piecesOf(this.#files, node)) {
        this.#options.signal.throwIfAborted();
        for (const { start, bytes: run } of nonZeroRuns(bytes)) await file.write(run, 0, run.length, offset + start);
        this.counts.bytes += bytes.length;
      }
      if (this.#options.owner) await file.chown(node.uid, node.gid);
      await file.chmod(this.#modeOf(node));
      await file.utimes(secondsOf(node.modified), secondsOf(node.modified));
      this.counts.fileCount += 1;
    } catch (error) {
      await rm(path, { force: true }); // Half a file looks like a whole one.
      throw error;
    } finally {
      await file.close();
    }
  }

  /** Makes something that must not be there, or with `force` in the place of a file that is. */
  async #makeNew<T>(path: Buffer, make: () => Promise<T>): Promise<T> {
    try {
      return await make();
    } catch (error) {
      if (!isCode(error, 'EEXIST')) throw error;
      if (!this.#options.force) throw new CommandError('it is there already; --force replaces it', { cause: error });
      await rm(path); // Fails for a directory.
      return await make();
    }
  }

  #modeOf(node: FileNode): number {
    if (this.#options.owner) return node.mode;
    return node.mode & (node.kind === 'directory' ? 0o1777 : 0o777);
  }

  async #attempt(path: Buffer, work: () => Promise<void>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      if (this.#options.signal.aborted) throw error;
      this.#trouble(path, error);
      return false;
    }
  }

  #trouble(path: Buffer, error: unknown): void {
    const isOurs = error instanceof CommandError || error instanceof FileSystemError;
    const at = `${nameWords(path)}: `;
    const words = isOurs ? error.message : plainError(error);
    this.troubles.push(words.startsWith(at) ? words : `${at}${words}`);
  }
}

function secondsOf({ seconds, nanoseconds }: FileTime): number {
  return seconds + nanoseconds / 1e9;
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
