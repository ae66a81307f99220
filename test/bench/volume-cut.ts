import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { systemClock } from '#base/clock.ts';
import { SeededRandom } from '#base/random.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { CutId, VolumeId } from '#domain/ids.ts';
import { cutOf, newSnapshot, openVolume } from '#volume/host-under-test.suite.ts';
import { nbdUri } from '#volume/nbd-uri.ts';
import { VolumeDevice } from '#volume/volume-device.ts';
import { NbdClient } from '#src/cli/image-nbd-client.ts';
import { runOk } from '../run.ts';
import { fill, median, startFio } from './fio.ts';
import { startNbdkit } from './nbd-servers.ts';
import { type Figure, inPairs, numberText, percentile, type VolumeBench } from './volume-figures.ts';
import { listChangedFigures } from './volume-list-changed.ts';
import { startHost, type MeasuredHost } from './volume-host.ts';
import { writeScattered } from './volume-scattered.ts';

const WRITERS = 16;
const SMALL_BYTES = 1024 ** 3;
const LARGE_BYTES = 16 * 1024 ** 4;
/** Of each writer, at equal distances over the volume: both volumes have the same number of chunks written again and again. */
const AREA_BYTES = SMALL_BYTES / WRITERS;
/** Chunks that hold data, all over the large volume, so that it has every page of its map. */
const LARGE_CHUNKS = 8192;
const BETWEEN_CUTS_MS = 50;
const BEGIN_MS = 500;

interface Cuttable {
  readonly volume: VolumeId;
  readonly socketPath: string;
  readonly sizeBytes: number;
}

interface Cuts {
  /** Milliseconds of each until the writers go on in the next epoch. */
  readonly instants: readonly number[];
  /** Until it survives a loss of power. */
  readonly durables: readonly number[];
}

/**
 * Cuts of a small and of a very large volume with 16 writers.
 *
 * Once through the volume host's control socket, each writer with a connection of its own: that call is answered when the cut
 * is durable. And once with the device in this process, where the instant of the cut can be told from the flush after it.
 */
export async function* benchCut(bench: VolumeBench): AsyncGenerator<Figure> {
  await using measured = await startHost(bench.directory, 'cut');
  const small = await makeVolume(measured, SMALL_BYTES, SMALL_BYTES / CHUNK_BYTES);
  const large = await makeVolume(measured, LARGE_BYTES, LARGE_CHUNKS);
  const calls = await inPairs(
    bench.rounds,
    () => cutsThroughHost(measured, small, bench.seconds),
    () => cutsThroughHost(measured, large, bench.seconds),
  );
  for (const { volume } of [small, large]) await measured.host.close(volume, 1);
  const inside = await inPairs(
    bench.rounds,
    () => cutsOfDevice(measured, small, bench.seconds),
    () => cutsOfDevice(measured, large, bench.seconds),
  );
  const instants = inside.map(([first, second]) => [first.instants, second.instants] as const);
  const durables = inside.map(([first, second]) => [first.durables, second.durables] as const);
  yield* [
    ...figuresOf('instant', 'cut of the device, until writers go on', instants, true),
    ...figuresOf('durable', 'cut of the device, until durable', durables, false),
    ...figuresOf('call', 'cut call to the host, answered when durable', calls, true),
  ];
  const flushes = await flushesOfFile(bench);
  yield {
    key: 'file_flush_ms',
    name: 'for comparison: a flush of nbdkit file, 1 GiB, median',
    value: median(flushes),
    unit: 'ms',
    note: `p99 ${numberText(percentile(flushes, 0.99))} ms, ${flushes.length} flushes, the same writers`,
  };
  yield* listChangedFigures(bench);
}

function figuresOf(
  key: string,
  name: string,
  pairs: readonly (readonly [readonly number[], readonly number[]])[],
  hasGoal: boolean,
): readonly Figure[] {
  const sizes = [
    { size: '1gib', text: '1 GiB', values: pairs.flatMap(([small]) => small) },
    { size: '16tib', text: '16 TiB', values: pairs.flatMap(([, large]) => large) },
  ];
  const figures = sizes.map(({ size, text, values }): Figure => ({
    key: `${key}_${size}_ms`,
    name: `${name}, ${text}, median`,
    value: median(values),
    unit: 'ms',
    note: `p99 ${numberText(percentile(values, 0.99))} ms, ${values.length} cuts`,
    goal: hasGoal ? { below: 10 } : undefined,
  }));
  const [small = Number.NaN, large = Number.NaN] = figures.map(({ value }) => value);
  const goal = hasGoal ? { below: 1.5 } : undefined;
  return [...figures, { key: `${key}_ratio`, name: `${name}, 16 TiB : 1 GiB`, value: large / small, unit: '', goal }];
}

async function makeVolume({ host }: MeasuredHost, sizeBytes: number, chunkCount: number): Promise<Cuttable> {
  const opened = await openVolume(host, { sizeBytes });
  await writeScattered(nbdUri('', opened.socketPath), { sizeBytes, count: chunkCount, blockBytes: CHUNK_BYTES / 2 });
  return { ...opened, sizeBytes };
}

/** Milliseconds of each call. */
async function cutsThroughHost({ host }: MeasuredHost, of: Cuttable, seconds: number): Promise<readonly number[]> {
  return await whileWriting(nbdUri('', of.socketPath), of.sizeBytes, seconds, async () => {
    const cut = newCut();
    const beganMs = systemClock.monotonicMs();
    await host.cut([of.volume], cut);
    const tookMs = systemClock.monotonicMs() - beganMs;
    await host.release(of.volume, cut);
    return tookMs;
  });
}

/** What it costs on this disk to make as much durable as a cut has to. */
async function flushesOfFile({ directory, rounds, seconds }: VolumeBench): Promise<readonly number[]> {
  const file = join(directory, 'flushed.img');
  await runOk('truncate', ['-s', String(SMALL_BYTES), file]);
  await using target = await startNbdkit(directory, file);
  await fill(target.uri, SMALL_BYTES / 1024 ** 3);
  await using client = await NbdClient.connect(target.uri);
  return await whileWriting(target.uri, SMALL_BYTES, rounds * seconds, async () => {
    const beganMs = systemClock.monotonicMs();
    await client.flush();
    return systemClock.monotonicMs() - beganMs;
  });
}

/** What `measure` answers each time, with 16 writers, each with a connection of its own. */
async function whileWriting(
  uri: string,
  sizeBytes: number,
  seconds: number,
  measure: () => Promise<number>,
): Promise<readonly number[]> {
  const load = { mode: 'randwrite', blockBytes: 4096, depth: 1, connections: WRITERS } as const;
  const place = [`--size=${AREA_BYTES}`, `--offset_increment=${sizeBytes / WRITERS}`];
  const writing = startFio(uri, load, place);
  await systemClock.sleep(BEGIN_MS);
  const found: number[] = [];
  const untilMs = systemClock.monotonicMs() + seconds * 1000;
  while (systemClock.monotonicMs() < untilMs) {
    found.push(await measure());
    await systemClock.sleep(BETWEEN_CUTS_MS);
  }
  await writing.stop();
  return found;
}

/** The same on the device itself, which the host has let go of, with 16 loops of writes in this process. */
async function cutsOfDevice({ dataDirectory }: MeasuredHost, of: Cuttable, seconds: number): Promise<Cuts> {
  await using device = await VolumeDevice.open(join(dataDirectory, 'volumes', of.volume), {
    generation: 1,
    fetchOrigin: async () => null,
  });
  const stopped = new AbortController();
  const random = new SeededRandom(1);
  const block = random.bytes(4096);
  const write = async (writer: number): Promise<void> => {
    const start = (of.sizeBytes / WRITERS) * writer;
    while (!stopped.signal.aborted) {
      await device.write(start + random.below(AREA_BYTES / block.length) * block.length, block, { fua: false });
      await setImmediate();
    }
  };
  const writers = Array.from({ length: WRITERS }, (_, writer) => write(writer));
  const instants: number[] = [];
  const durables: number[] = [];
  const untilMs = systemClock.monotonicMs() + seconds * 1000;
  while (systemClock.monotonicMs() < untilMs) {
    const cut = newCut();
    const beganMs = systemClock.monotonicMs();
    const { durable } = device.beginCut(cut);
    instants.push(systemClock.monotonicMs() - beganMs);
    await durable;
    durables.push(systemClock.monotonicMs() - beganMs);
    await device.release(cut);
    await systemClock.sleep(BETWEEN_CUTS_MS);
  }
  stopped.abort();
  await Promise.all(writers);
  return { instants, durables };
}

function newCut(): CutId {
  return cutOf(newSnapshot());
}
