import { fill, type FioLoad, runFio, warm } from './fio.ts';
import { startNbdkit, startVarve, type Target } from './nbd-servers.ts';
import { type Figure, inPairs, medianRatio, speedsText, type VolumeBench } from './volume-figures.ts';
import { join } from 'node:path';
import { runOk } from '../run.ts';

const CONNECTIONS = 4;
const DEPTH = 16;
const LOADS: readonly (Pick<FioLoad, 'mode' | 'blockBytes'> & { readonly key: string; readonly name: string })[] = [
  { key: 'random_read', name: '4 KiB random read', mode: 'randread', blockBytes: 4096 },
  { key: 'random_write', name: '4 KiB random write', mode: 'randwrite', blockBytes: 4096 },
  { key: 'read', name: '128 KiB sequential read', mode: 'read', blockBytes: 131_072 },
  { key: 'write', name: '128 KiB sequential write', mode: 'write', blockBytes: 131_072 },
];

/**
 * Four connections to one volume, each of a process of its own, against one, the same number of requests in flight. Four
 * clients also cost the machine more than one: what nbdkit does with them stands beside.
 */
export async function* benchConnections(bench: VolumeBench): AsyncGenerator<Figure> {
  await using ours = await startVarve(bench.directory, bench.sizeGib);
  const file = join(bench.directory, 'rival.img');
  await runOk('truncate', ['-s', `${bench.sizeGib}G`, file]);
  await using nbdkit = await startNbdkit(bench.directory, file);
  await fill(ours.uri, bench.sizeGib);
  await fill(nbdkit.uri, bench.sizeGib);
  await runOk('sync', []);
  for (const { key, name, mode, blockBytes } of LOADS) {
    const measure = async (target: Target, connections: number): Promise<number> => {
      const load = { mode, blockBytes, depth: DEPTH / connections, connections };
      // Sequential readers take a part each; random ones meet everywhere.
      const isRandom = mode.startsWith('rand');
      const size = Math.floor((bench.sizeGib * 1024) / (isRandom ? 1 : connections));
      const place = [`--size=${size}M`, ...(isRandom ? [] : [`--offset_increment=${size}M`])];
      const length = ['--time_based', `--runtime=${bench.seconds}`, '--ramp_time=0.3'];
      return (await runFio(target.uri, load, [...place, ...length])).bytesPerSecond;
    };
    const pairsOf = async (target: Target): Promise<readonly (readonly [number, number])[]> => {
      await warm(target.uri);
      const one = (): Promise<number> => measure(target, 1);
      return await inPairs(bench.rounds, one, () => measure(target, CONNECTIONS));
    };
    const pairs = await pairsOf(ours);
    const rivals = await pairsOf(nbdkit);
    const [one, four] = speedsText(blockBytes, pairs);
    const note = `${four} : ${one}; nbdkit ${medianRatio(rivals).toFixed(2)}`;
    yield { key, name, value: medianRatio(pairs), unit: '', note, goal: { atLeast: 1 } };
  }
}
