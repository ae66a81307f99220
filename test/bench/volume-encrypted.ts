import { join } from 'node:path';
import { runOk } from '../run.ts';
import { fill, type FioLoad, median, runFio, warm } from './fio.ts';
import { startVarve, type Target } from './nbd-servers.ts';
import { type Figure, inPairs, medianRatio, speedsText, type VolumeBench } from './volume-figures.ts';

const LOADS: readonly (FioLoad & { readonly key: string; readonly name: string; readonly atLeast: number })[] = [
  { key: 'random_read', name: '4 KiB random read', mode: 'randread', blockBytes: 4096, depth: 16, atLeast: 0.5 },
  { key: 'random_write', name: '4 KiB random write', mode: 'randwrite', blockBytes: 4096, depth: 16, atLeast: 0.5 },
  { key: 'read_128k', name: '128 KiB read', mode: 'read', blockBytes: 131_072, depth: 16, atLeast: 0.25 },
  { key: 'write_128k', name: '128 KiB write', mode: 'write', blockBytes: 131_072, depth: 16, atLeast: 0.25 },
  { key: 'read_1m', name: '1 MiB read', mode: 'read', blockBytes: 1_048_576, depth: 4, atLeast: 0.25 },
  { key: 'write_1m', name: '1 MiB write', mode: 'write', blockBytes: 1_048_576, depth: 4, atLeast: 0.25 },
];

/** A volume of a server that encrypts its volumes against one of a server that does not. */
export async function* benchEncrypted(bench: VolumeBench): AsyncGenerator<Figure> {
  await using plain = await startVarve(join(bench.directory, 'plain'), bench.sizeGib);
  await using encrypted = await startVarve(join(bench.directory, 'encrypted'), bench.sizeGib, ['--encrypt-volumes']);
  await fill(plain.uri, bench.sizeGib);
  await fill(encrypted.uri, bench.sizeGib);
  await runOk('sync', []);
  for (const { key, name, atLeast, ...load } of LOADS) {
    const measure = async (target: Target): Promise<number> => {
      const place = [`--size=${bench.sizeGib}G`, '--time_based', `--runtime=${bench.seconds}`, '--ramp_time=0.3'];
      return (await runFio(target.uri, load, place)).bytesPerSecond;
    };
    await warm(plain.uri);
    await warm(encrypted.uri);
    const pairs = await inPairs(
      bench.rounds,
      () => measure(plain),
      () => measure(encrypted),
    );
    const [without, withKey] = speedsText(load.blockBytes, pairs);
    const note = `${withKey} : ${without}`;
    yield { key, name, value: medianRatio(pairs), unit: '', note, goal: { atLeast } };
    if (load.blockBytes > 4096) {
      const value = median(pairs.map(([, second]) => second)) / 1e9;
      yield { key: `${key}_gb_s`, name: `${name}, encrypted`, value, unit: 'GB/s' };
    }
  }
}
