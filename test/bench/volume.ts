/**
 * `npm run bench:volume`: what `bench:nbd` and `bench:snapshot` do not measure of the volumes of a running server.
 *
 *   --only NAMES    of connections,upload,encrypted,cold,cut,memory,snapshots (default all)
 *   --rounds N      how often each side of a comparison runs, in turns; the median of the rounds' ratios counts (default 5)
 *   --seconds S     how long a run is (default 3)
 *   --size-gib G    volumes that are filled (default 4)
 *   --snapshots N   in `snapshots`, of one volume (default 1000)
 *   --stride N      in `memory`, one chunk in N of 1 TiB is written; at most 4096, so that the whole map is made (default 16)
 *   --directory D   where everything lies (default: the system's temporary directory)
 *
 * A table, what it should be, and a last line of JSON. With `NODE_OPTIONS='--cpu-prof --cpu-prof-dir=DIR'` every process,
 * the volume host included, leaves a profile.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { benchCold } from './volume-cold.ts';
import { benchConnections } from './volume-connections.ts';
import { benchCut } from './volume-cut.ts';
import { benchEncrypted } from './volume-encrypted.ts';
import { type Figure, isMissed, lineOf, type VolumeBench } from './volume-figures.ts';
import { benchMemory } from './volume-memory.ts';
import { benchSnapshots } from './volume-snapshots.ts';
import { benchUpload } from './volume-upload.ts';

const SECTIONS: Readonly<Record<string, (bench: VolumeBench) => AsyncIterable<Figure>>> = {
  connections: benchConnections,
  upload: benchUpload,
  encrypted: benchEncrypted,
  cold: benchCold,
  cut: benchCut,
  memory: benchMemory,
  snapshots: benchSnapshots,
};

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: Object.keys(SECTIONS).join(',') },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '3' },
    'size-gib': { type: 'string', default: '4' },
    snapshots: { type: 'string', default: '1000' },
    stride: { type: 'string', default: '16' },
    directory: { type: 'string', default: tmpdir() },
  },
});
const settings = {
  rounds: Number(values.rounds),
  seconds: Number(values.seconds),
  sizeGib: Number(values['size-gib']),
  snapshotCount: Number(values.snapshots),
  stride: Number(values.stride),
};

const directory = await mkdtemp(join(values.directory, 'varve-bench-'));
const report: Record<string, Readonly<Record<string, number>>> = {};
const missed: string[] = [];
try {
  for (const name of values.only.split(',')) {
    const section = SECTIONS[name];
    if (section === undefined) throw new Error(`--only: there is no section "${name}"`);
    const sectionDirectory = join(directory, name);
    await mkdir(sectionDirectory);
    process.stdout.write(`\n${name}\n`);
    const found: Record<string, number> = {};
    for await (const figure of section({ directory: sectionDirectory, ...settings })) {
      process.stdout.write(lineOf(figure));
      found[figure.key] = Number(figure.value.toPrecision(3));
      if (isMissed(figure)) missed.push(`${name}.${figure.key}`);
    }
    report[name] = found;
    await rm(sectionDirectory, { recursive: true, force: true });
  }
  process.stdout.write(`${JSON.stringify({ ...report, missed, ...settings })}\n`);
} finally {
  await rm(directory, { recursive: true, force: true });
}
