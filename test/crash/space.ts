import { readdir, readFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { systemRandom } from '#base/random.ts';
import { loadMasterKey } from '#chunk/master-key.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import { nodeVolumeFiles } from '#volume/volume-files.ts';
import { VolumeDevice } from '#volume/volume-device.ts';
import { readVolumeRecord } from '#volume/volume-directory.ts';
import { VolumeKeys } from '#volume/volume-key.ts';
import { SECTOR_BYTES } from './nbd-load.ts';
import type { Testbed } from './testbed.ts';

/** Objects that a store has beside packs and manifests. */
const OWN_OBJECTS: ReadonlySet<string> = new Set(['repository', 'index-id']);

/**
 * Looks at the files of a server that stopped in order after a collection, when no snapshot was pending. Answers what is not
 * as it should be: objects that nothing knows, packs of which less than half is needed, cuts that were not released, slots
 * beyond one for each chunk that was ever written; and of volumes that are to be encrypted, sectors that anyone can read.
 */
export async function unneededSpace(
  testbed: Testbed,
  options: {
    /** Chunks of each volume that were ever written. */
    readonly chunksPerVolumeMax: number;
    /** Nothing is left: every volume and snapshot was deleted. */
    readonly isEmpty: boolean;
  },
): Promise<readonly string[]> {
  const objects = unneededObjects(await testbed.objects(), join(testbed.data, 'index.db'), options.isEmpty);
  return [...objects, ...(await unneededSlots(testbed, options))];
}

function unneededObjects(objects: ReadonlyMap<string, number>, indexPath: string, isEmpty: boolean): readonly string[] {
  const found: string[] = [];
  const packs = indexedPacks(indexPath);
  for (const [key, size] of objects) {
    if (OWN_OBJECTS.has(key)) continue;
    const name = key.slice(key.lastIndexOf('/') + 1);
    if (isEmpty) found.push(`${key} of ${size} bytes is left`);
    else if (key.startsWith('snapshots/snap-')) continue;
    else if (!key.startsWith('packs/')) found.push(`${key} is no object`);
    else if (packs.get(name)?.size !== size) found.push(`${key} of ${size} bytes is in no index`);
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
  { data, setting }: Testbed,
  { chunksPerVolumeMax, isEmpty }: { readonly chunksPerVolumeMax: number; readonly isEmpty: boolean },
): Promise<readonly string[]> {
  const found: string[] = [];
  const directory = join(data, 'volumes');
  const masterKey = await loadMasterKey(join(data, 'master.key'), systemRandom);
  const keys = new VolumeKeys({ masterKey, random: systemRandom });
  for (const name of existsSync(directory) ? await readdir(directory) : []) {
    const path = join(directory, name);
    const record = await readVolumeRecord(nodeVolumeFiles, path);
    if (isEmpty || record === null) {
      found.push(`volumes/${name} is left`);
      continue;
    }
    await using device = await VolumeDevice.open(path, {
      generation: record.generation,
      openKey: (volume, sealedKey) => keys.open(volume, sealedKey),
      fetchOrigin: () => Promise.reject(new Error('nothing is read')),
    });
    if (setting.isEncrypted !== (record.sealedKey !== null)) found.push(`${name}: its encryption is not as asked for`);
    if (setting.isEncrypted) found.push(...(await readableSectors(name, device.dataPath)));
    const cuts = device.cuts();
    if (cuts.length > 0) found.push(`${name}: ${cuts.length} cuts were not released`);
    // What lies in two slots is put together in the background, when there is time.
    if (cuts.length === 0) await device.compact();
    const slotCount = device.slotBytes / CHUNK_BYTES;
    if (slotCount > chunksPerVolumeMax) found.push(`${name}: ${slotCount} slots for ${chunksPerVolumeMax} chunks`);
  }
  return found;
}

/** Sectors that repeat their first sixteen bytes, as what the load writes does. Zeros are holes, which are not encrypted. */
async function readableSectors(name: string, dataPath: string): Promise<readonly string[]> {
  const bytes = await readFile(dataPath);
  const found: string[] = [];
  for (let at = 0; at < bytes.length; at += SECTOR_BYTES) {
    const isPattern = bytes.compare(bytes, at, at + SECTOR_BYTES - 16, at + 16, at + SECTOR_BYTES) === 0;
    if (isPattern && bytes.readUInt32LE(at + 8) !== 0)
      found.push(`${name}: the sector at ${at} of its data is readable`);
  }
  return found.slice(0, 3);
}
