import { dirname, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';

import type { SeededRandom } from '#base/random.ts';

import { SparseBytes } from './sparse-bytes.fake.ts';
import type { VolumeFile, VolumeFiles } from './volume-files.ts';

/** What every call throws from the crash on, until `restart`. */
export class CrashError extends Error {
  override readonly name = 'CrashError';
}

const SECTOR_BYTES = 512;
const BLOCK_BYTES = 4096;

type Op =
  | { readonly kind: 'write'; readonly position: number; readonly bytes: Buffer }
  | { readonly kind: 'truncate'; readonly sizeBytes: number };

/** Bytes that a process sees, bytes that the disk has, and how the one came from the other. */
class Inode {
  /** What a loss of power does not tear. */
  readonly atomBytes: number;
  readonly bytes = new SparseBytes();
  sizeBytes = 0;
  readonly #disk = new SparseBytes();
  #diskSizeBytes = 0;
  readonly #unsynced: Op[] = [];
  /** Blocks that take space. */
  readonly blocks = new Set<number>();

  constructor(atomBytes: number) {
    this.atomBytes = atomBytes;
  }

  get unsyncedCount(): number {
    return this.#unsynced.length;
  }

  apply(op: Op): void {
    this.#unsynced.push(op);
    applyOp(this.bytes, op);
    this.sizeBytes = sizeAfter(this.sizeBytes, op);
    if (op.kind === 'write') return;
    for (const block of this.blocks) if (block * BLOCK_BYTES >= op.sizeBytes) this.blocks.delete(block);
  }

  /** The first `count` of what is not synced reach the disk. */
  reach(count: number): void {
    for (const op of this.#unsynced.splice(0, count)) {
      applyOp(this.#disk, op);
      this.#diskSizeBytes = sizeAfter(this.#diskSizeBytes, op);
      recycle(op);
    }
  }

  /** A sync failed: what is not synced stays visible and never reaches the disk. Sizes do: they are not in pages. */
  drop(): void {
    for (const op of this.#unsynced.splice(0)) {
      if (op.kind === 'truncate') applyOp(this.#disk, op);
      this.#diskSizeBytes = sizeAfter(this.#diskSizeBytes, op);
      recycle(op);
    }
  }

  /** Each atom of the file is what it was after some of the unsynced operations, each its own number of them; so is the size. */
  losePower(random: SeededRandom): void {
    const { length } = this.#unsynced;
    const mood = random.below(4);
    const draw = (): number => (mood === 0 ? 0 : mood === 1 ? length : random.below(length + 1));
    const limits = new Map<number, number>();
    const limitOf = (atom: number): number => {
      const limit = limits.get(atom) ?? draw();
      limits.set(atom, limit);
      return limit;
    };
    const sizeLimit = draw();
    let sizeBytes = this.#diskSizeBytes;
    for (const [index, op] of this.#unsynced.entries()) {
      this.#applyInPart(op, sizeBytes, (atom) => index < limitOf(atom));
      sizeBytes = sizeAfter(sizeBytes, op);
      if (index < sizeLimit) this.#diskSizeBytes = sizeAfter(this.#diskSizeBytes, op);
    }
    for (const op of this.#unsynced.splice(0)) recycle(op);
    this.#disk.zero(this.#diskSizeBytes, Infinity);
    this.bytes.become(this.#disk);
    this.sizeBytes = this.#diskSizeBytes;
  }

  #applyInPart(op: Op, sizeBytes: number, reaches: (atom: number) => boolean): void {
    const start = op.kind === 'write' ? op.position : op.sizeBytes;
    const end = op.kind === 'write' ? op.position + op.bytes.length : sizeBytes;
    for (let at = start; at < end;) {
      const atom = Math.floor(at / this.atomBytes);
      const until = Math.min(end, (atom + 1) * this.atomBytes);
      if (reaches(atom)) {
        if (op.kind === 'write') this.#disk.write(at, op.bytes.subarray(at - start, until - start));
        else this.#disk.zero(at, until);
      }
      at = until;
    }
  }
}

function applyOp(bytes: SparseBytes, op: Op): void {
  if (op.kind === 'write') bytes.write(op.position, op.bytes);
  else bytes.zero(op.sizeBytes, Infinity);
}

/** Buffers of large writes are used again, as pages are. */
const POOLED_BYTES = 512 * 1024;
const pool: Buffer[] = [];

function copyOf(bytes: Uint8Array): Buffer {
  const copy = bytes.length === POOLED_BYTES ? (pool.pop() ?? Buffer.alloc(POOLED_BYTES)) : Buffer.alloc(bytes.length);
  copy.set(bytes);
  return copy;
}

function recycle(op: Op): void {
  if (op.kind === 'write' && op.bytes.length === POOLED_BYTES) pool.push(op.bytes);
}

function sizeAfter(sizeBytes: number, op: Op): number {
  return op.kind === 'truncate' ? op.sizeBytes : Math.max(sizeBytes, op.position + op.bytes.length);
}

type Node = Inode | 'directory';
/** Names that change together, and what they name then. */
type NameOp = readonly (readonly [path: string, node: Node | null])[];

/**
 * A file system in memory that can crash. A killed process loses nothing that was written; a loss of power loses any part
 * of what was not synced: of a file, each block (of files that are not `data`: each sector) on its own; of a directory, each
 * operation on its own. What a failed sync should have written is dropped, and shown until power is lost. It can be told to crash at an operation, to fail, and to be full.
 */
export class FragileFiles {
  readonly #random: SeededRandom;
  #names = new Map<string, Node>([['/', 'directory']]);
  #diskNames = new Map<string, Node>([['/', 'directory']]);
  #unsyncedNames = new Map<string, NameOp[]>();
  /** Counts restarts: a file opened before one is dead. */
  #life = 0;
  #isCrashed = false;
  /** Changing operations until the crash; null: none comes. */
  crashAfter: number | null = null;
  /** 4 KiB blocks that files may take in all. */
  blocksMax = Infinity;
  /** An error that the next matching operation throws, once. */
  failNext: { readonly kind: Failing; readonly path: RegExp; readonly code: string } | null = null;
  /** Changing operations so far. */
  opCount = 0;
  syncCount = 0;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  get isCrashed(): boolean {
    return this.#isCrashed;
  }

  crash(): void {
    this.#isCrashed = true;
  }

  /** Starts again after a crash, or instead of one. `onlyRemovals`: of the directories' unsynced operations, exactly these are kept. */
  restart(options: { readonly powerLost: boolean; readonly onlyRemovals?: boolean }): void {
    this.#life += 1;
    this.#isCrashed = false;
    this.crashAfter = null;
    this.failNext = null;
    if (!options.powerLost) return;
    for (const ops of this.#unsyncedNames.values()) {
      const mood = options.onlyRemovals === true ? 2 : this.#random.below(3);
      const count = this.#random.below(ops.length + 1);
      for (const [index, op] of ops.entries()) {
        const isRemoval = op.length === 1 && op[0]?.[1] === null;
        const reaches = mood === 0 ? index < count : mood === 1 ? this.#random.below(2) === 0 : isRemoval;
        if (reaches) this.#setDisk(op);
      }
    }
    this.#unsyncedNames.clear();
    const isThere = (path: string): boolean => path === '/' || (this.#diskNames.has(path) && isThere(dirname(path)));
    for (const path of this.#diskNames.keys()) if (!isThere(path)) this.#diskNames.delete(path);
    this.#names = new Map(this.#diskNames);
    for (const node of new Set(this.#names.values())) if (node !== 'directory') node.losePower(this.#random);
  }

  /** The file system as one process sees it: dead from the crash on, also after the restart. */
  process(): VolumeFiles {
    const life = this.#life;
    const changing = (): void => {
      this.#alive(life);
      this.#changing(null);
    };
    return {
      open: (path, mode) => {
        this.#alive(life);
        return this.#open(path, mode, life);
      },
      list: async (directory) => {
        this.#alive(life);
        if (this.#names.get(directory) !== 'directory') throw failure('ENOENT', directory);
        const names = [...this.#names.keys()].filter((path) => path !== '/' && dirname(path) === directory);
        return names.map((path) => path.slice(join(directory, '/').length));
      },
      makeDirectory: async (path) => {
        changing();
        if (!this.#names.has(path)) this.#name([[path, 'directory']]);
      },
      rename: async (from, to) => {
        changing();
        const node = this.#names.get(from);
        if (node === undefined) throw failure('ENOENT', from);
        this.#name([
          [to, node],
          [from, null],
        ]);
      },
      remove: async (path) => {
        changing();
        if (this.#names.has(path)) this.#name([[path, null]]);
      },
      syncDirectory: async (path) => {
        changing();
        const ops = this.#unsyncedNames.get(path) ?? [];
        const { length } = ops;
        await this.#pause(life);
        for (const op of ops.splice(0, length)) this.#setDisk(op);
      },
    };
  }

  /** What a process sees in a file. */
  content(path: string): Buffer {
    const node = this.#names.get(path);
    if (node === undefined || node === 'directory') throw failure('ENOENT', path);
    const content = Buffer.alloc(node.sizeBytes);
    node.bytes.read(0, content, 0, content.length);
    return content;
  }

  /** Changes a byte of a file behind everybody's back, on the disk too. */
  damage(path: string, position: number, change: (byte: number) => number): void {
    const node = this.#names.get(path);
    if (node === undefined || node === 'directory') throw failure('ENOENT', path);
    const byte = Buffer.alloc(1);
    node.bytes.read(position, byte, 0, 1);
    node.apply({ kind: 'write', position, bytes: Buffer.from([change(byte[0] ?? 0)]) });
    node.reach(node.unsyncedCount);
  }

  #open(path: string, mode: 'existing' | 'replace', life: number): VolumeFile {
    let node = this.#names.get(path);
    if (node === 'directory') throw failure('EISDIR', path);
    if (mode === 'existing' && node === undefined) throw failure('ENOENT', path);
    if (mode === 'replace') {
      this.#changing(null);
      if (node === undefined) {
        node = new Inode(path.endsWith('/data') ? BLOCK_BYTES : SECTOR_BYTES);
        this.#name([[path, node]]);
      } else {
        node.apply({ kind: 'truncate', sizeBytes: 0 });
      }
    }
    return this.#file(path, node as Inode, life);
  }

  #file(path: string, inode: Inode, life: number): VolumeFile {
    const alive = (): void => this.#alive(life);
    return {
      sizeBytes: () => inode.sizeBytes,
      read: (target, start, length, position) => {
        alive();
        const count = Math.max(0, Math.min(length, inode.sizeBytes - position));
        inode.bytes.read(position, target, start, count);
        return count;
      },
      readLater: async (target, start, length, position) => {
        alive();
        await this.#pause(life);
        const count = Math.max(0, Math.min(length, inode.sizeBytes - position));
        inode.bytes.read(position, target, start, count);
        return count;
      },
      write: (source, start, length, position) => {
        alive();
        this.#fail('write', path);
        const write = (count: number): void => {
          if (count > 0) inode.apply({ kind: 'write', position, bytes: copyOf(source.subarray(start, start + count)) });
        };
        // A process that is killed while it writes leaves a beginning of it; of data, whole pages.
        this.#changing(() => {
          const end = position + this.#random.below(length);
          write(Math.max(0, (inode.atomBytes === BLOCK_BYTES ? end - (end % BLOCK_BYTES) : end) - position));
        });
        const count = this.#allocate(inode, position, length);
        write(count);
        if (count === 0 && length > 0) throw failure('ENOSPC', path);
        return count;
      },
      truncate: (sizeBytes) => {
        alive();
        this.#fail('truncate', path);
        this.#changing(null);
        inode.apply({ kind: 'truncate', sizeBytes });
      },
      sync: async () => {
        alive();
        try {
          this.#fail('sync', path);
        } catch (error) {
          inode.drop();
          throw error;
        }
        this.#changing(null);
        this.syncCount += 1;
        const count = inode.unsyncedCount;
        await this.#pause(life);
        inode.reach(Math.min(count, inode.unsyncedCount));
      },
      close: () => {},
    };
  }

  /** How many of the bytes fit; takes their blocks. */
  #allocate(inode: Inode, position: number, length: number): number {
    if (this.blocksMax === Infinity) {
      return length;
    }
    let used = 0;
    for (const node of new Set(this.#names.values())) if (node !== 'directory') used += node.blocks.size;
    for (let block = Math.floor(position / BLOCK_BYTES); block * BLOCK_BYTES < position + length; block += 1) {
      if (inode.blocks.has(block)) continue;
      if (used >= this.blocksMax) return Math.max(0, block * BLOCK_BYTES - position);
      used += 1;
      inode.blocks.add(block);
    }
    return length;
  }

  async #pause(life: number): Promise<void> {
    for (let turns = this.#random.below(4); turns > 0; turns -= 1) await setImmediate();
    this.#alive(life);
  }

  #alive(life: number): void {
    if (this.#isCrashed || life !== this.#life) throw new CrashError('the process is dead');
  }

  /** `torn`: what is done of the operation in which the crash comes. */
  #changing(torn: (() => void) | null): void {
    this.opCount += 1;
    if (this.crashAfter === null) return;
    this.crashAfter -= 1;
    if (this.crashAfter > 0) return;
    torn?.();
    this.#isCrashed = true;
    throw new CrashError('the process dies');
  }

  #fail(kind: Failing, path: string): void {
    const fault = this.failNext;
    if (fault === null || fault.kind !== kind || !fault.path.test(path)) return;
    this.failNext = null;
    throw failure(fault.code, path);
  }

  /** In one directory. */
  #name(op: NameOp): void {
    applyNames(this.#names, op);
    const directory = dirname(op[0]?.[0] ?? '/');
    const ops = this.#unsyncedNames.get(directory) ?? [];
    ops.push(op);
    this.#unsyncedNames.set(directory, ops);
  }

  #setDisk(op: NameOp): void {
    applyNames(this.#diskNames, op);
  }
}

function applyNames(names: Map<string, Node>, op: NameOp): void {
  for (const [path, node] of op) {
    if (node === null) names.delete(path);
    else names.set(path, node);
  }
}

/** Operations that can be told to fail. */
type Failing = 'write' | 'truncate' | 'sync';

function failure(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code });
}
