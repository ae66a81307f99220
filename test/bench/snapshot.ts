/**
 * `npm run bench:snapshot`: snapshots against restic and borg, in turns, on one ext4 image of real files.
 *
 *   --rounds N      how often each does all of it (default 3; the median counts)
 *   --gib G         the image, five eighths of it files of this machine's /usr (default 4)
 *   --quick         one round of 1 GiB
 *   --only NAMES    of varve,restic,borg (default all; ratios need their peers)
 *   --restores N    instead of all that: one backup each, unchanged, and N times in turns all of it is read back
 *   --directory D   where image and repositories lie (default: the system's temporary directory)
 *
 * Each backs up the image; again after 1 % of its 4 KiB blocks, at random places, were overwritten with random bytes; and
 * again after nothing changed. Then the whole of it is read from the backup. Ours is a volume of a volume host, written
 * and read through NBD; the others have the image as a file. Page cache warm for all.
 */
import { createReadStream } from 'node:fs';
import { createHash } from 'node:crypto';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import module from 'node:module';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { systemClock } from '#base/clock.ts';
import { GIB_BYTES } from '#domain/geometry.ts';
import { makeImage, randomChanges, writeChanges } from './snapshot-image.ts';
import { BorgBackup, listChangedMs, ResticBackup, VarveBackup, type Backup } from './snapshot-tools.ts';

const CHANGED_SHARE = 0.01;

// As the product's processes have it (bin/compile-cache.mjs): the threads that seal start anew for each snapshot.
process.env['NODE_COMPILE_CACHE'] ??= join(import.meta.dirname, '..', '..', 'node_modules', '.cache', 'varve');
module.enableCompileCache(process.env['NODE_COMPILE_CACHE']);

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    gib: { type: 'string', default: '4' },
    quick: { type: 'boolean', default: false },
    only: { type: 'string', default: 'varve,restic,borg' },
    restores: { type: 'string', default: '0' },
    directory: { type: 'string', default: tmpdir() },
  },
});
const sizeGib = values.quick ? 1 : Number(values.gib);
const restores = Number(values.restores);
const rounds = restores > 0 ? 0 : values.quick ? 1 : Number(values.rounds);
const names = values.only.split(',');

interface Figures {
  readonly firstMs: number;
  readonly secondMs: number;
  readonly thirdMs: number;
  readonly restoreMs: number;
  /** Of the repository after each backup. */
  readonly firstBytes: number;
  readonly secondBytes: number;
  readonly thirdBytes: number;
}

/** Of ours alone. */
interface OwnFigures {
  readonly firstByteMs: number;
  readonly listChangedMs: number;
}

async function timed(body: () => Promise<void>): Promise<number> {
  const startedMs = systemClock.monotonicMs();
  await body();
  return systemClock.monotonicMs() - startedMs;
}

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of createReadStream(path, { highWaterMark: 1024 * 1024 })) hash.update(piece as Buffer);
  return hash.digest('hex');
}

const directory = await mkdtemp(join(values.directory, 'varve-bench-snapshot-'));
const figures = new Map<string, Figures[]>(names.map((name) => [name, []]));
const own: OwnFigures[] = [];
try {
  process.stdout.write(`making an image of ${sizeGib} GiB\n`);
  const pristine = await makeImage(directory, sizeGib);
  const image = join(directory, 'current');
  const sizeBytes = sizeGib * GIB_BYTES;
  const changedBytes = Math.floor((sizeBytes / 4096) * CHANGED_SHARE) * 4096;
  if (restores > 0) await measureRestores(pristine, sizeBytes);
  for (let round = 0; round < rounds; round += 1) {
    const changes = randomChanges(sizeBytes, CHANGED_SHARE, round + 1);
    for (const name of names) {
      await copyFile(pristine, image);
      // Read once, so that each finds it in the page cache.
      await hashOf(image);
      await using tool = await openTool(name, image, sizeBytes);
      const firstMs = await timed(() => tool.backUp());
      const firstBytes = await tool.repositoryBytes();
      await writeChanges(image, changes);
      await tool.change(changes);
      const secondMs = await timed(() => tool.backUp());
      const secondBytes = await tool.repositoryBytes();
      const thirdMs = await timed(() => tool.backUp());
      const thirdBytes = await tool.repositoryBytes();
      const restoreMs = await timed(() => tool.restore());
      await tool.tidyUp();
      const measured = { firstMs, secondMs, thirdMs, restoreMs, firstBytes, secondBytes, thirdBytes };
      figures.get(name)?.push(measured);
      report(`round ${round + 1} ${name}`, measured);
      if (tool instanceof VarveBackup) own.push(await measureOwn(tool, image, round === 0));
    }
  }
  if (restores === 0) summarize(changedBytes);
} finally {
  await rm(directory, { recursive: true });
}

/** Reading back alone: what other load costs one, it costs the others, too. */
async function measureRestores(image: string, sizeBytes: number): Promise<void> {
  await using scope = new AsyncDisposableStack();
  const tools: Backup[] = [];
  for (const name of names) {
    const tool = scope.use(await openTool(name, image, sizeBytes));
    await tool.backUp();
    tools.push(tool);
  }
  const times = new Map<string, number[]>(names.map((name) => [name, []]));
  const firstBytes: number[] = [];
  for (let round = 0; round < restores; round += 1) {
    for (const tool of tools) {
      const ms = await timed(() => tool.restore());
      await tool.tidyUp();
      times.get(tool.name)?.push(ms);
      if (tool instanceof VarveBackup) firstBytes.push(await tool.firstByteMs());
      const [load = 0] = loadavg();
      process.stdout.write(
        `restore ${round + 1} ${tool.name.padEnd(6)} ${(ms / 1000).toFixed(2)} s, load ${load.toFixed(1)}\n`,
      );
    }
  }
  const seconds = Object.fromEntries([...times].map(([name, all]) => [name, median(all) / 1000]));
  const { varve = Number.NaN, restic = Number.NaN } = seconds;
  const first_byte_ms = Math.round(median(firstBytes));
  process.stdout.write(
    `${JSON.stringify({ restore_vs_restic: restic / varve, seconds, first_byte_ms, gib: sizeGib, restores })}\n`,
  );
}

async function openTool(name: string, image: string, sizeBytes: number): Promise<Backup> {
  if (name === 'varve') return await VarveBackup.open(directory, image, sizeBytes);
  if (name === 'restic') return await ResticBackup.open(directory, image);
  if (name === 'borg') return await BorgBackup.open(directory, image);
  throw new Error(`there is no tool ${name}`);
}

async function measureOwn(tool: VarveBackup, image: string, isChecked: boolean): Promise<OwnFigures> {
  if (isChecked && (await tool.restoredHash()) !== (await hashOf(image)))
    throw new Error('what is restored is not the image');
  const ownMs = { firstByteMs: await tool.firstByteMs(), listChangedMs: await listChangedMs(tool.host) };
  process.stdout.write(
    `  first byte ${ownMs.firstByteMs.toFixed(0)} ms, changed chunks of 16 TiB ${ownMs.listChangedMs.toFixed(1)} ms\n`,
  );
  return ownMs;
}

function report(label: string, figure: Figures): void {
  const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`.padStart(9);
  const mib = (bytes: number): string => `${(bytes / 1024 ** 2).toFixed(0)} MiB`.padStart(9);
  process.stdout.write(
    `${label.padEnd(16)} first ${seconds(figure.firstMs)} ${mib(figure.firstBytes)}` +
      `  1 % changed ${seconds(figure.secondMs)} +${mib(figure.secondBytes - figure.firstBytes).trim()}` +
      `  unchanged ${figure.thirdMs.toFixed(0)} ms +${figure.thirdBytes - figure.secondBytes} B` +
      `  restore ${seconds(figure.restoreMs)}\n`,
  );
}

/** The figure of each tool, by name, median of the rounds. */
function medians(pick: (figure: Figures) => number): Readonly<Record<string, number>> {
  return Object.fromEntries([...figures].map(([name, all]) => [name, median(all.map(pick))]));
}

function summarize(changedBytes: number): void {
  const first = medians(({ firstMs }) => firstMs);
  const second = medians(({ secondMs }) => secondMs);
  const restore = medians(({ restoreMs }) => restoreMs);
  const stored = medians(({ firstBytes }) => firstBytes);
  const growth = medians(({ firstBytes, secondBytes }) => secondBytes - firstBytes);
  const ours = (of: Readonly<Record<string, number>>): number => of['varve'] ?? Number.NaN;
  const best = (of: Readonly<Record<string, number>>): number =>
    Math.min(of['restic'] ?? Infinity, of['borg'] ?? Infinity);
  const restic = (of: Readonly<Record<string, number>>): number => of['restic'] ?? Number.NaN;
  const round = (value: number): number => Math.round(value * 1000) / 1000;
  process.stdout.write(
    `${JSON.stringify({
      first_vs_best: round(best(first) / ours(first)),
      second_vs_restic: round(restic(second) / ours(second)),
      growth_per_changed_byte: round(ours(growth) / changedBytes),
      store_vs_smallest: round(ours(stored) / best(stored)),
      restore_vs_restic: round(restic(restore) / ours(restore)),
      nothing_changed_ms: round(ours(medians(({ thirdMs }) => thirdMs))),
      first_byte_ms: round(median(own.map(({ firstByteMs }) => firstByteMs))),
      list_changed_ms: round(median(own.map(({ listChangedMs: ms }) => ms))),
      gib: sizeGib,
      rounds,
    })}\n`,
  );
}
