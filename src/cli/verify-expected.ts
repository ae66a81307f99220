import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';

import { GIB_BYTES } from '#domain/geometry.ts';
import { parseSnapshotId, type SnapshotId } from '#domain/ids.ts';
import { type OutpostId, outpostIdOf, parseOutpostArn } from '#domain/outpost.ts';

import { ServerAwayError } from './admin-client.ts';
import { askAll } from './pages.ts';
import { plainError } from './plain-errors.ts';

interface Stored {
  readonly id: string;
  readonly sizeBytes: number;
  /** In whose store it is; null: in the region's. */
  readonly outpost: OutpostId | null;
}

/**
 * Snapshots that the store of an Outpost, or (null) the region's, must have, as the metadata says, and the bytes of their volumes: asked of the server that runs on
 * the data directory, or read from `meta.db` where none does. Empty where there is neither: a bare store says what it has.
 */
export async function readExpected(
  dataDirectory: string,
  place: OutpostId | null,
): Promise<ReadonlyMap<SnapshotId, number>> {
  const expected = new Map<SnapshotId, number>();
  for (const { id, sizeBytes, outpost } of await readStored(dataDirectory)) {
    const snapshot = parseSnapshotId(id);
    if (snapshot !== null && outpost === place) expected.set(snapshot, sizeBytes);
  }
  return expected;
}

async function readStored(dataDirectory: string): Promise<readonly Stored[]> {
  try {
    return await askAll({ data: dataDirectory }, { name: 'stored', isListed: isStored });
  } catch (error) {
    if (error instanceof ServerAwayError) return readMetadata(join(dataDirectory, 'meta.db'));
    process.stderr.write(`varve: which snapshots the server knows is not looked at: ${plainError(error)}\n`);
    return [];
  }
}

function isStored(value: unknown): value is Stored {
  return (
    typeof value === 'object' &&
    value !== null &&
    'id' in value &&
    typeof value.id === 'string' &&
    'sizeBytes' in value &&
    typeof value.sizeBytes === 'number' &&
    'outpost' in value &&
    (value.outpost === null || typeof value.outpost === 'string')
  );
}

/** Of a server that does not run. */
function readMetadata(path: string): readonly Stored[] {
  if (!existsSync(path)) return [];
  try {
    // As for the index: where nobody has it open, even reading would make files beside it.
    const place = existsSync(`${path}-wal`) ? path : new URL(`${pathToFileURL(path).href}?immutable=1`);
    const database = new DatabaseSync(place, { readOnly: true });
    try {
      const states = "'completed', 'recoverable', 'recovering'";
      const rows = database
        .prepare(
          `SELECT id, volume_size_gib AS gib, details ->> '$.outpost' AS outpost FROM snapshots WHERE state IN (${states})`,
        )
        .all();
      return rows.map(({ id, gib, outpost }) => {
        const arn = typeof outpost === 'string' ? parseOutpostArn(outpost) : null;
        return { id: String(id), sizeBytes: Number(gib) * GIB_BYTES, outpost: arn === null ? null : outpostIdOf(arn) };
      });
    } finally {
      database.close();
    }
  } catch (error) {
    process.stderr.write(`varve: which snapshots the metadata knows is not looked at: ${plainError(error)}\n`);
    return [];
  }
}
