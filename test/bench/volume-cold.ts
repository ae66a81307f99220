import { join } from 'node:path';
import { run, runOk } from '../run.ts';
import { fill, type FioLoad, median, runFio } from './fio.ts';
import { startNbdkit, startVarve } from './nbd-servers.ts';
import { type Figure, inPairs, medianRatio, speedsText, type VolumeBench } from './volume-figures.ts';

const LOADS: readonly (FioLoad & { readonly key: string; readonly name: string })[] = [
  { key: 'random_read', name: '4 KiB random read, depth 32, cold', mode: 'randread', blockBytes: 4096, depth: 32 },
  { key: 'read', name: '128 KiB sequential read, depth 16, cold', mode: 'read', blockBytes: 131_072, depth: 16 },
];

interface ColdTarget {
  readonly uri: string;
  readonly file: string;
}

/** Reads of what is not in the page cache, against `nbdkit file`. What is under the file system may have a cache of its own, for both. */
export async function* benchCold(bench: VolumeBench): AsyncGenerator<Figure> {
  await using varve = await startVarve(bench.directory, bench.sizeGib);
  const rivalFile = join(bench.directory, 'rival.img');
  await runOk('truncate', ['-s', `${bench.sizeGib}G`, rivalFile]);
  await using nbdkit = await startNbdkit(bench.directory, rivalFile);
  const ours = { uri: varve.uri, file: join(varve.server.dataDirectory, 'volumes', varve.volume, 'data') };
  const theirs = { uri: nbdkit.uri, file: rivalFile };
  for (const { uri } of [ours, theirs]) await fill(uri, bench.sizeGib);
  const left: number[] = [];
  for (const { key, name, ...load } of LOADS) {
    const measure = async ({ uri, file }: ColdTarget): Promise<number> => {
      left.push(await dropCache(file));
      // Not repeated at the end of the volume, and no block twice: that would be warm.
      return (await runFio(uri, load, [`--size=${bench.sizeGib}G`, `--runtime=${bench.seconds}`])).bytesPerSecond;
    };
    const pairs = await inPairs(
      bench.rounds,
      () => measure(theirs),
      () => measure(ours),
    );
    const [rival, own] = speedsText(load.blockBytes, pairs);
    const goal = key === 'random_read' ? { atLeast: 0.8 } : undefined;
    yield { key, name, value: medianRatio(pairs), unit: '', note: `${own} : nbdkit ${rival}`, goal };
  }
  const note = 'median of what stayed in the cache before a run';
  yield { key: 'left_mb', name: 'left in the page cache', value: median(left) / 1e6, unit: 'MB', note };
}

/** Writes a file back and has the kernel forget its pages, which asks for no privilege; the bytes that stayed. */
async function dropCache(file: string): Promise<number> {
  await runOk('sync', [file]);
  await runOk('dd', [`if=${file}`, 'iflag=nocache', 'count=0', 'status=none']);
  const { code, stdout } = await run('fincore', ['--bytes', '--noheadings', '--output', 'RES', file]);
  return code === 0 ? Number(stdout.trim()) : Number.NaN;
}
