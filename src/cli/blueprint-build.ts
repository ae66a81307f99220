import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { systemClock } from '#base/clock.ts';
import { ProcessLock, ProcessLockedError } from '#base/process-lock.ts';
import type { BuildOptions, BuiltImage } from '#blueprint/build.ts';
import { buildDebianImage } from '#blueprint/debian-image.ts';
import { buildTinyImage } from '#blueprint/tiny-image.ts';
import { BlueprintError } from '#blueprint/tool.ts';
import type { BlueprintWords } from '#domain/blueprint.ts';
import { checkBlueprint, makeBlueprint } from './blueprint-server.ts';
import { CommandError } from './command-error.ts';
import { Interrupt } from './image-interrupt.ts';
import { formatBytes } from './image-progress.ts';

export interface BuildWish {
  readonly recipe: 'tiny' | 'debian';
  /** Null: the image becomes a blueprint of the server. */
  readonly output: string | null;
  readonly mirror: string | null;
  /** Null: the recipe's own. */
  readonly id: string | null;
  readonly userName: string;
  readonly replaces: boolean;
  readonly region: string | undefined;
  readonly data: string | undefined;
}

interface Recipe {
  readonly build: (options: BuildOptions) => Promise<BuiltImage>;
  readonly words: Omit<BlueprintWords, 'userName' | 'version'>;
}

const RECIPES: Readonly<Record<BuildWish['recipe'], Recipe>> = {
  tiny: {
    build: buildTinyImage,
    words: {
      id: 'tiny',
      name: 'Tiny Linux',
      group: 'tiny',
      description: 'A Linux that starts in seconds: a kernel, a shell, ssh and the guest agent, of Debian packages',
      minimumPower: 0,
    },
  },
  debian: {
    build: buildDebianImage,
    words: {
      id: 'debian_12',
      name: 'Debian',
      group: 'debian',
      description: 'Debian 12 with systemd, cloud-init, ssh and the guest agent',
      minimumPower: 0,
    },
  },
};

const BUILD_PREFIX = 'build-';

/** Builds an image, in a directory that is gone afterwards, and hands it over. Throws CommandError. */
export async function runBlueprintBuild(wish: BuildWish): Promise<void> {
  using interrupt = new Interrupt();
  const { signal } = interrupt;
  const recipe = RECIPES[wish.recipe];
  const words = { ...recipe.words, id: wish.id ?? recipe.words.id, userName: wish.userName };
  // Before minutes of work.
  if (wish.output === null) await checkBlueprint({ ...words, version: '1' }, wish);
  const cacheDirectory = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'varve');
  await mkdir(cacheDirectory, { recursive: true });
  using _lock = lockOf(cacheDirectory);
  await removeLeftBuilds(cacheDirectory);
  const workDirectory = await mkdtemp(join(cacheDirectory, BUILD_PREFIX));
  const output = wish.output === null ? null : resolve(wish.output);
  // Whoever finds a file there finds a whole one, and what was there stays when a build fails.
  const imagePath = output === null ? join(workDirectory, 'image.raw') : `${output}.part`;
  try {
    const beganMs = systemClock.monotonicMs();
    const built = await buildIn(recipe, {
      cacheDirectory,
      workDirectory,
      imagePath,
      mirror: wish.mirror,
      signal,
      onStep: (what) => void process.stderr.write(`${what}\n`),
    });
    const seconds = ((systemClock.monotonicMs() - beganMs) / 1000).toFixed(1);
    process.stderr.write(`built in ${seconds} s: ${formatBytes(built.sizeBytes)}\n`);
    if (output !== null) {
      await rename(imagePath, output);
      process.stdout.write(`${output}\n`);
      return;
    }
    const image = { path: imagePath, format: 'raw', sizeGib: null } as const;
    await makeBlueprint({ ...words, version: built.version }, image, wish);
  } finally {
    await rm(workDirectory, { recursive: true, force: true });
    await rm(imagePath, { force: true });
  }
}

/** Of builds that were killed: hundreds of MiB each. To be called by who has the lock. */
export async function removeLeftBuilds(cacheDirectory: string): Promise<void> {
  for (const name of await readdir(cacheDirectory)) {
    if (name.startsWith(BUILD_PREFIX)) await rm(join(cacheDirectory, name), { recursive: true, force: true });
  }
}

async function buildIn(recipe: Recipe, options: BuildOptions): Promise<BuiltImage> {
  try {
    return await recipe.build(options);
  } catch (error) {
    options.signal.throwIfAborted();
    if (error instanceof BlueprintError) throw new CommandError(error.message, { cause: error.cause });
    throw error;
  }
}

function lockOf(directory: string): ProcessLock {
  try {
    return ProcessLock.acquire(join(directory, 'build.lock'), 'the cache of packages');
  } catch (error) {
    if (error instanceof ProcessLockedError) throw new CommandError(error.message);
    throw error;
  }
}
