import { readdir, stat } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import { nodeVolumeFiles } from '#volume/volume-files.ts';
import { VolumeDevice } from '#volume/volume-device.ts';
import { readVolumeRecord } from '#volume/volume-directory.ts';

/** Files that an object store has beside packs and manifests. */
const OWN_OBJECTS: ReadonlySet<string> = new Set(['repository', 'index-id']);

/**
 * Looks at the data directory of a server that stopped in order after a collection, when no snapshot was pending. Answers
 * what takes space there without need: objects that nothing knows, packs of which less than half is needed, cuts that were
 * not released, slots beyond one for each chunk that was ever written.
 */
export async function unneededSpace(
  data: string,
  options: {
    /** Chunks of each volume that were ever written. */
    readonly chunksPerVolumeMax: number;
    /** Nothing is left: every volume and snapshot was deleted. */
    readonly isEmpty: boolean;
  },
): Promise<readonly string[]> {
  const objects = await unneededObjects(data, options.isEmpty);
  return [...objects, ...(await unneededSlots(data, options))];
}

async function unneededObjects(data: string, isEmpty: boolean): Promise<readonly string[]> {
  const found: string[] = [];
  const packs = indexedPacks(join(data, 'index.db'));
  for (const entry of await readdir(join(data, 'objects'), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const key = path.slice(join(data, 'objects').length + 1);
    if (OWN_OBJECTS.has(key)) continue;
    const { size } = await stat(path);
    if (isEmpty) found.push(`${key} of ${size} bytes is left`);
    else if (key.startsWith('snapshots/snap-')) continue;
    else if (!key.startsWith('packs/')) found.push(`${key} is no object`);
    else if (packs.get(entry.name)?.size !== size) found.push(`${key} of ${size} bytes is in no index`);
  }
  for (const [id, { live, records }] of packs) {
    if (live * 2 < records) found.push(`pack ${id}: ${live} of ${records} bytes are needed`);
  }
  return found;
}

interface Pack {
  readonly size: number;
  readonly live: number;
  readonly records: number;
}

function indexedPacks(path: string): ReadonlyMap<string, Pack> {
  using database = new DatabaseSync(path, { readOnly: true });
  const rows = database.prepare('SELECT id, size, live_bytes, record_bytes FROM pack').all();
  return new Map(
    rows.map((row) => [
      String(row['id']),
      { size: Number(row['size']), live: Number(row['live_bytes']), records: Number(row['record_bytes']) },
    ]),
  );
}

async function unneededSlots(
  data: string,
  { chunksPerVolumeMax, isEmpty }: { readonly chunksPerVolumeMax: number; readonly isEmpty: boolean },
): Promise<readonly string[]> {
  const found: string[] = [];
  const directory = join(data, 'volumes');
  for (const name of existsSync(directory) ? await readdir(directory) : []) {
    const path = join(directory, name);
    const record = await readVolumeRecord(nodeVolumeFiles, path);
    if (isEmpty || record === null) {
      found.push(`volumes/${name} is left`);
      continue;
    }
    await using device = await VolumeDevice.open(path, {
      generation: record.generation,
      fetchOrigin: () => Promise.reject(new Error('nothing is read')),
    });
    const cuts = device.cuts();
    if (cuts.length > 0) found.push(`${name}: ${cuts.length} cuts were not released`);
    const slotCount = device.slotBytes / CHUNK_BYTES;
    if (slotCount > chunksPerVolumeMax) found.push(`${name}: ${slotCount} slots for ${chunksPerVolumeMax} chunks`);
  }
  return found;
}
