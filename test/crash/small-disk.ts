import { existsSync } from 'node:fs';
import { mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { run, runOk } from '../run.ts';

const MIB = 1024 * 1024;
/** Larger than any page, small beside what is left free. */
const STEP_BYTES = 64 * 1024;

/** A real file system of a few MiB in memory (tmpfs), which can be filled, emptied and made read-only. Mounting needs root. */
export class SmallDisk implements AsyncDisposable {
  readonly path: string;
  readonly #ballast: string;

  private constructor(path: string) {
    this.path = path;
    this.#ballast = join(path, '.ballast');
  }

  static async mount(path: string, mib: number): Promise<SmallDisk> {
    await mkdir(path, { recursive: true });
    await runOk('mount', ['-t', 'tmpfs', '-o', `size=${mib}m,mode=0700`, 'tmpfs', path]);
    return new SmallDisk(path);
  }

  /** Takes all space but so many bytes. */
  async fill(leaveBytes: number): Promise<void> {
    const file = await open(this.#ballast, 'w');
    try {
      const piece = Buffer.alloc(STEP_BYTES, 1);
      let size = 0;
      try {
        for (;;) size += (await file.write(piece, 0, piece.length, size)).bytesWritten;
      } catch (error) {
        if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error;
      }
      await file.truncate(Math.max(0, size - leaveBytes));
    } finally {
      await file.close();
    }
  }

  /** Gives the space back. */
  async free(): Promise<void> {
    await rm(this.#ballast, { force: true });
  }

  async remount(mode: 'ro' | 'rw'): Promise<void> {
    await runOk('mount', ['-o', `remount,bind,${mode}`, this.path]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (existsSync(this.path)) await run('umount', ['-l', this.path]);
  }
}

/** Whether this process may mount; in a user namespace of its own it always may. */
export async function canMount(scratch: string): Promise<boolean> {
  await mkdir(scratch, { recursive: true });
  const mounted = await run('mount', ['-t', 'tmpfs', '-o', `size=${MIB}`, 'tmpfs', scratch]);
  if (mounted.code === 0) await run('umount', [scratch]);
  return mounted.code === 0;
}
