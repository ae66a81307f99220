import type { ConfigOptions } from '#src/config.ts';

import { askServer, otherVersion } from './admin-client.ts';
import { counted } from './counted.ts';
import { formatBytes } from './image-progress.ts';
import { findResource, type ListedResource } from './listed-resource.ts';
import { allSnapshots, type ListedSnapshot } from './snapshots.ts';
import { type Column, printable, tableLines } from './table.ts';
import { allVolumes } from './volumes.ts';
import { Words } from './words.ts';

export const DU_USAGE = `usage: varve du [NAME|ID…] [--json] [--data DIR]

Tells exactly what snapshots take in the store, and what deleting them would free: of all snapshots, of these, of those of
these disks, of the disks of these instances, or of these instances' snapshots.

  HOLDS   all chunks (512 KiB) of it, as if it were alone and not compressed
  NEEDS   of the store, some of it together with others
  OWN     of the store, for itself alone: what deleting it would free

The last line tells what deleting all that are listed would free (of up to 1000), which is more than the sum where they
share.
`;

/** Sizes of a store that is large may take long to count the first time. */
const TIMEOUT_MS = 600_000;
/** The server is asked about so many together. */
const COUNT_MAX = 1000;

interface Row {
  readonly id: string;
  readonly name: string | null;
  readonly volume: string;
  readonly holdsBytes: number | null;
  readonly needsBytes: number | null;
  readonly ownBytes: number | null;
}

const size = (heading: string, bytes: (row: Row) => number | null): Column<Row> => ({
  heading,
  isNumber: true,
  cell: (row) => {
    const count = bytes(row);
    return count === null ? '-' : formatBytes(count);
  },
});

const COLUMNS: readonly Column<Row>[] = [
  size('HOLDS', ({ holdsBytes }) => holdsBytes),
  size('NEEDS', ({ needsBytes }) => needsBytes),
  size('OWN', ({ ownBytes }) => ownBytes),
  { heading: 'SNAPSHOT', cell: ({ id }) => id },
  { heading: 'NAME', cell: ({ name }) => printable(name ?? '-') },
  { heading: 'DISK', cell: ({ volume }) => printable(volume) },
];

/** `varve du`. Throws ConfigError for a wrong command line, CommandError for a name that there is not. */
export async function duCommand(rest: readonly string[]): Promise<void> {
  const words = new Words('du', rest, { data: { type: 'string' }, json: { type: 'boolean' } });
  const options: ConfigOptions = { data: words.text('data') };
  const isMeant = await chosenBy(options, words.positionals);
  const rows = (await allSnapshots(options)).filter(isMeant).map(rowOf);
  const ids = rows.map(({ id }) => id);
  const freedBytes = ids.length > COUNT_MAX ? null : await freedBytesOf(options, ids);
  if (words.flag('json')) {
    process.stdout.write(`${JSON.stringify({ snapshots: rows, freedBytes }, null, 2)}\n`);
    return;
  }
  if (rows.length === 0) {
    const of = words.positionals.map((name) => printable(name)).join(', ');
    process.stdout.write(
      of === '' ? 'There are no snapshots.\n' : `There are no snapshots of ${of} that can be used.\n`,
    );
    return;
  }
  for (const line of tableLines(COLUMNS, rows)) process.stdout.write(`${line}\n`);
  if (freedBytes !== null) {
    process.stdout.write(`\nDeleting ${counted(rows.length, 'snapshot')} would free ${formatBytes(freedBytes)}.\n`);
  } else {
    process.stderr.write(`varve: what deleting all of them would free is told of up to ${COUNT_MAX}: name some\n`);
  }
}

/** Bytes of the store that deleting all of these snapshots together would free. */
export async function freedBytesOf(options: ConfigOptions, ids: readonly string[]): Promise<number> {
  const query = new URLSearchParams(ids.map((id): [string, string] => ['id', id])).toString();
  const reply = await askServer(options, 'GET', `/freed?${query}`, { timeoutMs: TIMEOUT_MS });
  if (typeof reply === 'object' && reply !== null && 'freedBytes' in reply && typeof reply.freedBytes === 'number') {
    return reply.freedBytes;
  }
  throw otherVersion();
}

async function chosenBy(
  options: ConfigOptions,
  names: readonly string[],
): Promise<(snapshot: ListedSnapshot) => boolean> {
  if (names.length === 0) return () => true;
  const found: ListedResource[] = [];
  for (const name of names) found.push(await findResource(options, name));
  const instances = new Set(found.filter(({ kind }) => kind === 'instance').map(({ id }) => id));
  const volumes = instances.size === 0 ? [] : await allVolumes(options);
  const ids = new Set([
    ...found.flatMap(({ id, parts }) => (parts.length === 0 ? [id] : parts)),
    ...volumes.filter(({ instance }) => instance !== null && instances.has(instance)).map(({ id }) => id),
  ]);
  return ({ id, volume }) => ids.has(id) || ids.has(volume);
}

function rowOf({ id, name, volume, volumeName, fullBytes, exclusiveBytes, sharedBytes }: ListedSnapshot): Row {
  const needsBytes = exclusiveBytes === null || sharedBytes === null ? null : exclusiveBytes + sharedBytes;
  return { id, name, volume: volumeName ?? volume, holdsBytes: fullBytes, needsBytes, ownBytes: exclusiveBytes };
}
