/**
 * `npm run bench:nbd`: our NBD server against `nbdkit file` and `qemu-nbd -f raw`, in turns, with fio's nbd engine.
 *
 *   --rounds N    how often each load runs on each server (default 3)
 *   --seconds S   how long a run is (default 2)
 *   --size-gib G  the volume, filled before (default 4)
 *   --target T    varve: the product with a volume of its own (default); alone: our NBD server on a flat file;
 *                 or the URI of an export of that size, which is overwritten
 *   --load TEXT   only loads whose name has TEXT in it
 *   --directory D where the files lie (default: the system's temporary directory)
 *
 * A round runs a load on each server once, one after another, and gives one ratio for each rival; the median of the
 * rounds' ratios is what counts, since a machine's speed drifts between rounds more than within one.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runOk } from '../run.ts';
import { fill, type FioLoad, median, runFio, warm } from './fio.ts';
import { startNbdkit, startQemu, startServerAlone, startVarve, type Target } from './nbd-servers.ts';

interface Load extends FioLoad {
  readonly name: string;
}

const KIB = 1024;
const MIB = 1024 * KIB;

const LOADS: readonly Load[] = [
  ...[1, 16, 64].map((depth): Load => ({
    name: `4 KiB read, depth ${depth}`,
    mode: 'randread',
    blockBytes: 4 * KIB,
    depth,
  })),
  ...[1, 16, 64].map((depth): Load => ({
    name: `4 KiB write, depth ${depth}`,
    mode: 'randwrite',
    blockBytes: 4 * KIB,
    depth,
  })),
  { name: '128 KiB read, depth 16', mode: 'read', blockBytes: 128 * KIB, depth: 16 },
  { name: '128 KiB write, depth 16', mode: 'write', blockBytes: 128 * KIB, depth: 16 },
  { name: '1 MiB read, depth 4', mode: 'read', blockBytes: MIB, depth: 4 },
  { name: '1 MiB write, depth 4', mode: 'write', blockBytes: MIB, depth: 4 },
];

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '2' },
    'size-gib': { type: 'string', default: '4' },
    target: { type: 'string', default: 'varve' },
    load: { type: 'string', default: '' },
    directory: { type: 'string', default: tmpdir() },
  },
});
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);
const sizeGib = Number(values['size-gib']);

/** Bytes a second that `target` does under `load`. */
async function measure(target: Target, load: Load): Promise<number> {
  const { bytesPerSecond } = await runFio(target.uri, load, [
    ...[`--size=${sizeGib}G`, `--runtime=${seconds}`, '--time_based', '--ramp_time=0.3'],
  ]);
  return bytesPerSecond;
}

function summary(ratios: readonly number[]): { readonly min: number; readonly geomean: number } {
  const geomean = Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / ratios.length);
  return { min: round2(Math.min(...ratios)), geomean: round2(geomean) };
}

function round2(value: number): number {
  return Math.round(value * 100) / 100;
}

function speedText(load: Load, speed: number): string {
  return load.blockBytes === 4 * KIB
    ? `${(speed / load.blockBytes / 1000).toFixed(1)} k/s`
    : `${(speed / 1e9).toFixed(2)} GB/s`;
}

function row(cells: readonly string[]): void {
  process.stdout.write(`${cells.map((cell, index) => (index === 0 ? cell.padEnd(26) : cell.padStart(12))).join('')}\n`);
}

async function startOurs(directory: string, sizeGib: number): Promise<Target> {
  if (values.target === 'varve') return await startVarve(directory, sizeGib);
  if (values.target !== 'alone')
    return { name: values.target, uri: values.target, [Symbol.asyncDispose]: async () => {} };
  const file = join(directory, 'alone.img');
  await runOk('truncate', ['-s', `${sizeGib}G`, file]);
  return await startServerAlone(directory, file, sizeGib);
}

const directory = await mkdtemp(join(values.directory, 'varve-bench-'));
try {
  const rivalFile = join(directory, 'rival.img');
  await runOk('truncate', ['-s', `${sizeGib}G`, rivalFile]);
  await using ours = await startOurs(directory, sizeGib);
  await using nbdkit = await startNbdkit(directory, rivalFile);
  await using qemu = await startQemu(directory, rivalFile);
  await fill(ours.uri, sizeGib);
  await fill(nbdkit.uri, sizeGib);
  // What was written is on its way to the disk; it must not be so while something is measured.
  await runOk('sync', []);
  const toNbdkit: number[] = [];
  const toQemu: number[] = [];
  row(['load', ours.name.slice(0, 12), 'nbdkit', 'qemu-nbd', '/nbdkit', '/qemu-nbd']);
  for (const load of LOADS.filter(({ name }) => name.includes(values.load))) {
    const speeds: { readonly ours: number; readonly nbdkit: number; readonly qemu: number }[] = [];
    for (let round = 0; round < rounds; round += 1) {
      await warm(ours.uri);
      await warm(nbdkit.uri); // qemu-nbd serves the same file.
      speeds.push({
        ours: await measure(ours, load),
        nbdkit: await measure(nbdkit, load),
        qemu: await measure(qemu, load),
      });
    }
    const overNbdkit = median(speeds.map((speed) => speed.ours / speed.nbdkit));
    const overQemu = median(speeds.map((speed) => speed.ours / speed.qemu));
    toNbdkit.push(overNbdkit);
    toQemu.push(overQemu);
    row([
      load.name,
      speedText(load, median(speeds.map((speed) => speed.ours))),
      speedText(load, median(speeds.map((speed) => speed.nbdkit))),
      speedText(load, median(speeds.map((speed) => speed.qemu))),
      overNbdkit.toFixed(2),
      overQemu.toFixed(2),
    ]);
  }
  process.stdout.write(`${JSON.stringify({ nbdkit: summary(toNbdkit), qemu: summary(toQemu), rounds, seconds })}\n`);
} finally {
  await rm(directory, { recursive: true, force: true });
}
