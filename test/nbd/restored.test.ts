import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, open, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { systemRandom } from '#base/random.ts';
import { openRunDirectory } from '#base/run-directory.ts';
import { CHUNK_BYTES, GIB_BYTES } from '#domain/geometry.ts';
import { openVolume, snapshotOf } from '#volume/host-under-test.suite.ts';
import { nbdUri } from '#volume/nbd-uri.ts';
import { composeHost } from '#src/compose-host.ts';
import { requireTool } from '../clients.ts';
import { runOk } from '../run.ts';

const SIZE = 64 * GIB_BYTES;
/** Chunks with data: at the ends, side by side, and where the tree and the map have their seams. */
const DATA = [0, 1, 255, 256, 4095, 4096, 70_000, SIZE / CHUNK_BYTES - 1];

/** A volume of 64 GiB restored from a snapshot that holds little, and that little. */
async function restored(t: TestContext) {
  const directory = await mkdtemp(join(tmpdir(), 'varve-restored-'));
  const scope = new AsyncDisposableStack();
  t.after(async () => {
    await scope.disposeAsync();
    await rm(directory, { recursive: true });
  });
  const dataDirectory = join(directory, 'data');
  await mkdir(dataDirectory);
  const { socketDirectory } = openRunDirectory(dataDirectory);
  const options = { dataDirectory, socketDirectory, nbdTcp: null, s3: null, clock: systemClock, random: systemRandom };
  const hydration = { bytesPerSecond: 0 }; // What is fetched is what is read.
  const host = await composeHost({ ...options, hydration, log: silentLog }, scope);
  const source = await openVolume(host, { sizeBytes: SIZE });
  const bytes = randomBytes(CHUNK_BYTES);
  for (const index of DATA) await host.writeBlock(source.volume, 1, index, bytes);
  const { snapshot } = await snapshotOf(host, source.volume, { sizeBytes: SIZE });
  const { volume, socketPath } = await openVolume(host, { origin: snapshot, sizeBytes: SIZE });
  const slotBytes = async () => (await host.status([volume]))[0]?.slotBytes;
  return { uri: nbdUri('', socketPath), directory, bytes, slotBytes };
}

test('nbdinfo maps a restored volume: data where the snapshot has some, holes elsewhere, and nothing is fetched for it', async (t) => {
  if (!requireTool(t, 'nbdinfo')) return;
  const { uri, slotBytes } = await restored(t);
  const { stdout } = await runOk('nbdinfo', ['--map', '--json', uri]);
  const extents = JSON.parse(stdout) as readonly {
    readonly offset: number;
    readonly length: number;
    readonly type: number;
  }[];
  const data = extents
    .filter(({ type }) => type === 0)
    .flatMap(({ offset, length }) =>
      Array.from({ length: length / CHUNK_BYTES }, (_, at) => offset / CHUNK_BYTES + at),
    );
  assert.deepEqual(data, DATA);
  assert.deepEqual([...new Set(extents.map(({ type }) => type))], [0, 3]);
  assert.equal(await slotBytes(), 0);
});

test('nbdcopy copies a restored volume: what the snapshot has, and no more', async (t) => {
  if (!requireTool(t, 'nbdcopy')) return;
  const { uri, directory, bytes, slotBytes } = await restored(t);
  const path = join(directory, 'out.img');
  await runOk('nbdcopy', [uri, path]);
  assert.equal(await slotBytes(), DATA.length * CHUNK_BYTES);
  const { size, blocks } = await stat(path);
  assert.equal(size, SIZE);
  assert.ok(blocks * 512 < 4 * DATA.length * CHUNK_BYTES, 'the copy is as sparse');
  await using file = await open(path);
  for (const index of DATA) {
    const { buffer } = await file.read(Buffer.alloc(CHUNK_BYTES), 0, CHUNK_BYTES, index * CHUNK_BYTES);
    assert.ok(buffer.equals(bytes), `chunk ${index}`);
  }
});
