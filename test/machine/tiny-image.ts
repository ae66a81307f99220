import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';

import { systemClock } from '#base/clock.ts';
import { ProcessLock, ProcessLockedError } from '#base/process-lock.ts';
import { buildTinyImage } from '#blueprint/tiny-image.ts';

/** What building and booting it needs, beside what every Debian has. */
export const TINY_TOOLS = [
  'apt-get',
  'dpkg-deb',
  'mcopy',
  'mkfs.fat',
  'mke2fs',
  'qemu-img',
  'qemu-system-x86_64',
  'setpriv',
  'sgdisk',
  'syslinux',
  ...(process.getuid?.() === 0 ? [] : ['fakeroot']),
];

/** Where its root file system begins, in bytes. */
export const TINY_ROOT_AT = 25 * 1024 * 1024;

const RECIPE = join(import.meta.dirname, '../../src/blueprint');
/** Files of the other recipe, beside what both have. */
const OF_DEBIAN_ONLY: ReadonlySet<string> = new Set(['debian-files.ts', 'debian-image.ts']);
const WAIT_MS_MAX = 240_000;
const POLL_MS = 100;
/** An image of a recipe that was changed since is not needed long. */
const KEPT_MS = 24 * 3_600_000;

let image: Promise<string> | null = null;

/**
 * The path of a raw, sparse image of the tiny guest (90 MiB, half of it holes), which nobody may write to. Built once for
 * each state of the recipe, by whoever needs it first; everybody else waits. Kept in the directory for temporary files, with
 * the packages that it is made of.
 */
export async function tinyImage(): Promise<string> {
  image ??= builtImage();
  return await image;
}

async function builtImage(): Promise<string> {
  const directory = join(tmpdir(), `varve-images-${userInfo().uid}`);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const path = join(directory, `tiny-${await recipeHash()}.raw`);
  if (existsSync(path)) return path;
  using _lock = await lockOf(join(directory, 'lock'));
  if (existsSync(path)) return path; // Another process built it meanwhile.
  await removeOld(directory);
  const workDirectory = await mkdtemp(join(directory, 'build-'));
  try {
    const imagePath = join(workDirectory, 'image.raw');
    await buildTinyImage({
      cacheDirectory: directory,
      workDirectory,
      imagePath,
      mirror: null,
      signal: AbortSignal.timeout(WAIT_MS_MAX),
      onStep: () => {},
    });
    await rename(imagePath, path);
    return path;
  } finally {
    await rm(workDirectory, { recursive: true, force: true });
  }
}

async function lockOf(path: string): Promise<ProcessLock> {
  const untilMs = systemClock.monotonicMs() + WAIT_MS_MAX;
  for (;;) {
    try {
      return ProcessLock.acquire(path, 'the tiny image');
    } catch (error) {
      if (!(error instanceof ProcessLockedError) || systemClock.monotonicMs() > untilMs) throw error;
      await systemClock.sleep(POLL_MS);
    }
  }
}

/** Of everything that the image is made by. */
async function recipeHash(): Promise<string> {
  const hash = createHash('sha256');
  const names = (await readdir(RECIPE, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() && !entry.name.endsWith('.test.ts') && !OF_DEBIAN_ONLY.has(entry.name))
    .map((entry) => join(entry.parentPath, entry.name));
  for (const name of names.toSorted()) hash.update(`${name}\0`).update(await readFile(name));
  return hash.digest('hex').slice(0, 16);
}

async function removeOld(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    if (!name.startsWith('tiny-')) continue;
    const { mtimeMs } = await stat(join(directory, name));
    if (systemClock.nowMs() - mtimeMs > KEPT_MS) await rm(join(directory, name), { force: true });
  }
}
