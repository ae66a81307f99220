import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '#base/clock.ts';
import { SeededRandom } from '#base/random.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { SnapshotId } from '#domain/ids.ts';
import { NbdClient } from '#src/cli/image-nbd-client.ts';
import { cutOf, never, newSnapshot, openVolume, snapshotOf } from '#volume/host-under-test.suite.ts';
import { nbdUri } from '#volume/nbd-uri.ts';
import { runOk } from '../run.ts';
import { median } from './fio.ts';
import { treeBytes } from './snapshot-image.ts';
import { type Figure, numberText, type VolumeBench } from './volume-figures.ts';
import { memoryAtRest, type MeasuredHost, type Memory, startHost } from './volume-host.ts';
import { writeScattered } from './volume-scattered.ts';

const GIB = 1024 ** 3;
const IDLE_VOLUMES = 100;
const MAPPED_BYTES = 1024 * GIB;
/** Written again after a cut, in all pages of the map. Each is copied whole, so they take two gigabytes. */
const COPIED_CHUNKS = 4096;
const SMALL_BYTES = 64 * 1024 ** 2;
/** Of the first and of the last snapshots whose times are compared. */
const SAMPLE = 20;

/** Memory of the volume host at rest, with many volumes, with a large one, and after many snapshots; and what those cost. */
export async function* benchMemory(bench: VolumeBench): AsyncGenerator<Figure> {
  yield* idleVolumes(bench);
  yield* mappedVolume(bench);
  yield* manySnapshots(bench);
}

async function* idleVolumes(bench: VolumeBench): AsyncGenerator<Figure> {
  await using measured = await startHost(bench.directory, 'idle');
  const { host, pid } = measured;
  yield memoryFigure('rest_mb', 'host at rest', await memoryAtRest(pid), 100);
  await using clients = new AsyncDisposableStack();
  for (let count = 0; count < IDLE_VOLUMES; count += 1) {
    const { socketPath } = await openVolume(host, { sizeBytes: GIB });
    clients.use(await NbdClient.connect(nbdUri('', socketPath)));
  }
  const what = `host with ${IDLE_VOLUMES} open volumes, a client each`;
  yield memoryFigure('idle_mb', what, await memoryAtRest(pid), 600);
}

async function* mappedVolume(bench: VolumeBench): AsyncGenerator<Figure> {
  await using measured = await startHost(bench.directory, 'mapped');
  const { host, pid, dataDirectory } = measured;
  const { volume, socketPath } = await openVolume(host, { sizeBytes: MAPPED_BYTES });
  const touch = (count: number): Promise<void> =>
    writeScattered(nbdUri('', socketPath), { sizeBytes: MAPPED_BYTES, count, blockBytes: 4096 });
  await touch(Math.floor(MAPPED_BYTES / CHUNK_BYTES / bench.stride));
  const what = `one chunk in ${bench.stride} of 1 TiB written`;
  yield memoryFigure('mapped_mb', `host, ${what}`, await memoryAtRest(pid), 132);
  await host.cut([volume], cutOf(newSnapshot()));
  await touch(COPIED_CHUNKS);
  yield memoryFigure(
    'mapped_cut_mb',
    `as before, cut, ${COPIED_CHUNKS} chunks written again`,
    await memoryAtRest(pid),
    132,
  );
  await host.close(volume, 1);
  await host.open(volume, 2);
  yield memoryFigure('mapped_reopened_mb', 'as before, closed and opened', await memoryAtRest(pid), 132);
  const { size } = await stat(await newestMap(join(dataDirectory, 'volumes', volume)));
  yield { key: 'map_file_mb', name: 'its newest checkpoint of the map', value: size / 1e6, unit: 'MB' };
}

async function newestMap(volumeDirectory: string): Promise<string> {
  const { stdout } = await runOk('sh', ['-c', 'ls -t "$1"/map.* | head -n 1', 'sh', volumeDirectory]);
  return stdout.trim();
}

interface Taken {
  readonly snapshot: SnapshotId;
  readonly epoch: number;
}

async function* manySnapshots(bench: VolumeBench): AsyncGenerator<Figure> {
  await using measured = await startHost(bench.directory, 'snapshots');
  const { host, pid, dataDirectory } = measured;
  const { volume, socketPath } = await openVolume(host, { sizeBytes: SMALL_BYTES });
  const client = await NbdClient.connect(nbdUri('', socketPath));
  const taken: Taken[] = [];
  const tookMs: number[] = [];
  const snapshotNext = async (): Promise<void> => {
    const beganMs = systemClock.monotonicMs();
    const base = taken.at(-1);
    taken.push(await snapshotOf(host, volume, { sizeBytes: SMALL_BYTES, ...(base === undefined ? {} : { base }) }));
    tookMs.push(systemClock.monotonicMs() - beganMs);
  };
  const random = new SeededRandom(1);
  await client.write(0, random.bytes(16 * 1024 ** 2));
  await snapshotNext();
  const before = await memoryAtRest(pid);
  const objectsBefore = await treeBytes(join(dataDirectory, 'objects'));
  const block = random.bytes(4096);
  for (let count = 0; count < bench.snapshotCount; count += 1) {
    block.writeUInt32LE(count);
    await client.write(random.below(16 * 256) * 4096, block);
    await snapshotNext();
  }
  const after = await memoryAtRest(pid);
  await client[Symbol.asyncDispose]();
  const [, ...each] = tookMs;
  const first = median(each.slice(0, SAMPLE));
  const last = median(each.slice(-SAMPLE));
  const storedBytes = (await treeBytes(join(dataDirectory, 'objects'))) - objectsBefore;
  const files = await metadataText(measured);
  const ids = taken.map(({ snapshot }) => snapshot);
  const sizesMs = await elapsedMs(async () => {
    for (let start = 0; start < ids.length; start += 1000) await host.snapshotSizes(ids.slice(start, start + 1000));
  });
  const deleteMs = await elapsedMs(async () => {
    for (const snapshot of ids) await host.deleteSnapshot(snapshot);
  });
  const collectMs = await elapsedMs(() => host.collect([], never));
  const left = await treeBytes(join(dataDirectory, 'objects'));
  const { snapshotCount } = bench;
  const grown = (after.resident - before.resident) / 1e6;
  const note = `${numberText(before.resident / 1e6)} before, ${numberText(after.resident / 1e6)} after`;
  const of = `${snapshotCount} snapshots, one block each`;
  yield* [
    { key: 'snapshots_grown_mb', name: `host grew by, over ${of}`, value: grown, unit: 'MB', note },
    memoryFigure('snapshots_mb', 'host after them', after, 100),
    { key: 'snapshot_first_ms', name: `a snapshot, median of the first ${SAMPLE}`, value: first, unit: 'ms' },
    { key: 'snapshot_last_ms', name: `a snapshot, median of the last ${SAMPLE}`, value: last, unit: 'ms' },
    {
      key: 'stored_kb',
      name: 'objects grew by, a snapshot',
      value: storedBytes / snapshotCount / 1e3,
      unit: 'kB',
      note: files,
    },
    { key: 'sizes_ms', name: 'sizes of them all', value: sizesMs, unit: 'ms' },
    { key: 'delete_s', name: 'deleting them all, one after another', value: deleteMs / 1000, unit: 's' },
    {
      key: 'collect_ms',
      name: 'collection after that',
      value: collectMs,
      unit: 'ms',
      note: `${numberText(left / 1e6)} MB of objects left`,
    },
  ];
}

async function metadataText({ dataDirectory }: MeasuredHost): Promise<string> {
  const texts: string[] = [];
  for (const name of ['index.db', 'sizes.db']) {
    const { size } = await stat(join(dataDirectory, name));
    texts.push(`${name} ${numberText(size / 1e6)} MB`);
  }
  const manifests = await treeBytes(join(dataDirectory, 'objects', 'manifests'));
  return [...texts, `manifests ${numberText(manifests / 1e6)} MB`].join(', ');
}

async function elapsedMs(work: () => Promise<unknown>): Promise<number> {
  const beganMs = systemClock.monotonicMs();
  await work();
  return systemClock.monotonicMs() - beganMs;
}

/** `below` is in megabytes, and what is resident counts. */
function memoryFigure(key: string, name: string, { resident, proportional }: Memory, below: number): Figure {
  const note = `PSS ${numberText(proportional / 1e6)} MB`;
  return { key, name, value: resident / 1e6, unit: 'MB', note, goal: { below } };
}
