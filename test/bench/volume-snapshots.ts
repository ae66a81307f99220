import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '#base/clock.ts';
import { SeededRandom } from '#base/random.ts';
import type { SnapshotId } from '#domain/ids.ts';
import { NbdClient } from '#src/cli/image-nbd-client.ts';
import { never, openVolume, snapshotOf } from '#volume/host-under-test.suite.ts';
import { nbdUri } from '#volume/nbd-uri.ts';
import { median } from './fio.ts';
import { treeBytes } from './snapshot-image.ts';
import { type Figure, numberText, type VolumeBench } from './volume-figures.ts';
import { memoryAtRest, memoryFigure, type MeasuredHost, startHost } from './volume-host.ts';

const SMALL_BYTES = 64 * 1024 ** 2;
const DATA_BYTES = SMALL_BYTES / 4;
/** Of the first and of the last snapshots whose times are compared. */
const SAMPLE = 20;

interface Taken {
  readonly snapshot: SnapshotId;
  readonly epoch: number;
}

/** Memory of the volume host after many snapshots of one volume, one changed block each; and what they cost. */
export async function* benchSnapshots(bench: VolumeBench): AsyncGenerator<Figure> {
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
  await client.write(0, random.bytes(DATA_BYTES));
  await snapshotNext();
  const before = await memoryAtRest(pid);
  const objectsBefore = await treeBytes(join(dataDirectory, 'objects'));
  const block = random.bytes(4096);
  for (let count = 0; count < bench.snapshotCount; count += 1) {
    block.writeUInt32LE(count);
    await client.write(random.below(DATA_BYTES / 4096) * 4096, block);
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
  const manifests = await treeBytes(join(dataDirectory, 'objects', 'snapshots'));
  return [...texts, `manifests ${numberText(manifests / 1e6)} MB`].join(', ');
}

async function elapsedMs(work: () => Promise<unknown>): Promise<number> {
  const beganMs = systemClock.monotonicMs();
  await work();
  return systemClock.monotonicMs() - beganMs;
}
