import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import { NbdClient } from '#src/cli/image-nbd-client.ts';
import { cutOf, newSnapshot, openVolume } from '#volume/host-under-test.suite.ts';
import { nbdUri } from '#volume/nbd-uri.ts';
import { treeBytes } from './snapshot-image.ts';
import type { Figure, VolumeBench } from './volume-figures.ts';
import { memoryAtRest, memoryFigure, startHost } from './volume-host.ts';
import { writeScattered } from './volume-scattered.ts';

const GIB = 1024 ** 3;
const IDLE_VOLUMES = 100;
const MAPPED_BYTES = 1024 * GIB;
/** Written again after a cut, in all pages of the map. Each is copied whole, so they take two gigabytes. */
const COPIED_CHUNKS = 4096;

/** Memory of the volume host at rest, with many volumes, with a large one. */
export async function* benchMemory(bench: VolumeBench): AsyncGenerator<Figure> {
  yield* idleVolumes(bench);
  yield* mappedVolume(bench);
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
  const metadata = await mapBytes(join(dataDirectory, 'volumes', volume));
  yield { key: 'map_files_mb', name: 'its map and the log of it on disk', value: metadata / 1e6, unit: 'MB' };
}

/** Of all files of a volume but its data. */
async function mapBytes(volumeDirectory: string): Promise<number> {
  const { size } = await stat(join(volumeDirectory, 'data'));
  return (await treeBytes(volumeDirectory)) - size;
}
