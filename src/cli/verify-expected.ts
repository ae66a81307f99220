import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';

import { GIB_BYTES } from '#domain/geometry.ts';
import { parseSnapshotId, type SnapshotId } from '#domain/ids.ts';

import { ServerAwayError } from './admin-client.ts';
import { askAll } from './pages.ts';
import { plainError } from './plain-errors.ts';

interface Stored {
  readonly id: string;
  readonly sizeBytes: number;
}

/**
 * Snapshots that the store must have, as the metadata says, and the bytes of their volumes: asked of the server that runs on
 * the data directory, or read from `meta.db` where none does. Empty where there is neither: a bare store says what it has.
 */
export async function readExpected(dataDirectory: string): Promise<ReadonlyMap<SnapshotId, number>> {
  const expected = new Map<SnapshotId, number>();
  for (const { id, sizeBytes } of await readStored(dataDirectory)) {
    const snapshot = parseSnapshotId(id);
    if (snapshot !== null) expected.set(snapshot, sizeBytes);
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
    typeof value.sizeBytes === 'number'
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
        .prepare(`SELECT id, volume_size_gib AS gib FROM snapshots WHERE state IN (${states})`)
        .all();
      return rows.map(({ id, gib }) => ({ id: String(id), sizeBytes: Number(gib) * GIB_BYTES }));
    } finally {
      database.close();
    }
  } catch (error) {
    process.stderr.write(`varve: which snapshots the metadata knows is not looked at: ${plainError(error)}\n`);
    return [];
  }
}
