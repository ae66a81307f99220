import type { ConfigOptions } from '#src/config.ts';

import { askServer, otherVersion } from './admin-client.ts';
import { formatBytes } from './image-progress.ts';
import { askAll } from './pages.ts';
import { allInstanceSnapshots, instanceSnapshotLines } from './instance-snapshots.ts';
import { type Column, printable, tableLines } from './table.ts';
import { Words } from './words.ts';

export const SNAPSHOTS_USAGE = `usage: varve snapshots [--data DIR] [--all] [--json]

Lists the snapshots of all accounts with their exact sizes in the running server's store:

  NAME       Lightsail's, or the tag Name
  DISK       that it was taken of
  SIZE       of the disk
  FULL       of all chunks (512 KiB) that the snapshot holds
  NEW        what the store grew by when it was made
  EXCLUSIVE  what deleting it would free now
  SHARED     what it needs and something else needs too: another snapshot, or a disk restored from one

and the snapshots of instances, each of which is all of its disks' at one instant:

  CONSISTENCY  filesystem: the guest's file systems were frozen, or it was off; crash: as after a power cut
  HELD         so long the guest's writes were held
  MADE         by the automatic snapshots of which day; or from what it was copied

  --all    also the account, the region and the Outpost of each
  --json   bytes, and all that is known of each
`;

/** Sizes of a store that is large may take long to count the first time. */
const TIMEOUT_MS = 600_000;

/** One snapshot, as the server tells of it and --json shows it. */
export interface ListedSnapshot {
  readonly id: string;
  readonly name: string | null;
  /** The service that made it: `ec2` or `lightsail`. */
  readonly face: string;
  readonly account: string;
  readonly region: string;
  /** ARN of the Outpost that it is on; null: it is in the region. */
  readonly outpost: string | null;
  readonly volume: string;
  readonly volumeName: string | null;
  /** The newest snapshot of the same volume before it, or what the volume was made from; null: neither. */
  readonly parent: string | null;
  readonly copiedFrom: string | null;
  readonly description: string;
  /** The snapshot of an instance that it is a part of; null: of none. */
  readonly instanceSnapshot: string | null;
  /** Of an automatic one of a disk: the day; null: somebody asked for it. */
  readonly autoDate: string | null;
  readonly sizeBytes: number;
  readonly state: string;
  readonly progressPercent: number;
  readonly startedAtMs: number;
  readonly completedAtMs: number | null;
  readonly fullBytes: number | null;
  /** That differ from its parent's. */
  readonly changedBytes: number | null;
  readonly newBytes: number | null;
  readonly exclusiveBytes: number | null;
  readonly sharedBytes: number | null;
}

interface Total {
  readonly snapshotCount: number;
  readonly storedBytes: number;
  readonly neededBytes: number;
  readonly fullBytes: number;
}

export async function allSnapshots(options: ConfigOptions): Promise<readonly ListedSnapshot[]> {
  return await askAll(options, { name: 'snapshots', isListed, timeoutMs: TIMEOUT_MS });
}

/** `varve snapshots`. Throws ConfigError for a wrong command line. */
export async function snapshotsCommand(words: readonly string[]): Promise<void> {
  const parsed = new Words('snapshots', words, {
    data: { type: 'string' },
    all: { type: 'boolean' },
    json: { type: 'boolean' },
  });
  parsed.take();
  const options: ConfigOptions = { data: parsed.text('data') };
  const snapshots = await allSnapshots(options);
  const instanceSnapshots = await allInstanceSnapshots(options);
  const total = asTotal(await askServer(options, 'GET', '/store', { timeoutMs: TIMEOUT_MS }));
  const ratio = total.storedBytes > 0 ? Math.round((total.fullBytes * 100) / total.storedBytes) / 100 : null;
  if (parsed.flag('json'))
    process.stdout.write(`${JSON.stringify({ snapshots, instanceSnapshots, total: { ...total, ratio } }, null, 2)}\n`);
  else {
    const all = parsed.flag('all');
    const names = new Map(instanceSnapshots.map(({ id, name }) => [id, name]));
    for (const line of reportLines(columns(all, names), snapshots, total, ratio)) process.stdout.write(`${line}\n`);
    for (const line of instanceSnapshotLines(all, instanceSnapshots)) process.stdout.write(`${line}\n`);
  }
}

/** `wholes`: names of the snapshots of instances. */
function columns(all: boolean, wholes: ReadonlyMap<string, string>): readonly Column<ListedSnapshot>[] {
  const nameOf = ({ name, instanceSnapshot, autoDate }: ListedSnapshot): string => {
    if (instanceSnapshot !== null) return `part of ${wholes.get(instanceSnapshot) ?? instanceSnapshot}`;
    return name ?? (autoDate === null ? '-' : `automatic, ${autoDate}`);
  };
  const size = (heading: string, bytes: (one: ListedSnapshot) => number | null): Column<ListedSnapshot> => ({
    heading,
    isNumber: true,
    cell: (one) => {
      const count = bytes(one);
      return count === null ? '-' : formatBytes(count);
    },
  });
  const more: readonly Column<ListedSnapshot>[] = [
    { heading: 'ACCOUNT', cell: ({ account }) => account },
    { heading: 'REGION', cell: ({ region }) => region },
    { heading: 'OUTPOST', cell: ({ outpost }) => outpost?.split('/')[1] ?? '-' },
  ];
  return [
    { heading: 'SNAPSHOT', cell: ({ id }) => id },
    { heading: 'NAME', cell: (one) => printable(nameOf(one)) },
    { heading: 'DISK', cell: ({ volume, volumeName }) => printable(volumeName ?? volume) },
    ...(all ? more : []),
    size('SIZE', ({ sizeBytes }) => sizeBytes),
    size('FULL', ({ fullBytes }) => fullBytes),
    size('NEW', ({ newBytes }) => newBytes),
    size('EXCLUSIVE', ({ exclusiveBytes }) => exclusiveBytes),
    size('SHARED', ({ sharedBytes }) => sharedBytes),
    {
      heading: 'STATE',
      cell: ({ state, progressPercent }) => (state === 'pending' ? `pending ${progressPercent}%` : state),
    },
  ];
}

function* reportLines(
  table: readonly Column<ListedSnapshot>[],
  snapshots: readonly ListedSnapshot[],
  total: Total,
  ratio: number | null,
): Generator<string> {
  if (snapshots.length > 0) {
    yield* tableLines(table, snapshots);
    yield '';
  }
  const count = total.snapshotCount === 1 ? '1 snapshot holds' : `${total.snapshotCount} snapshots hold`;
  const times = ratio === null ? '' : `, ${ratio.toFixed(2)} times as much`;
  yield `${count} ${formatBytes(total.fullBytes)} in ${formatBytes(total.storedBytes)} of store${times}`;
  const spare = total.storedBytes - total.neededBytes;
  yield `${formatBytes(total.neededBytes)} of it is needed; ${formatBytes(spare)} is framing, and what collections give back`;
}

function isListed(value: unknown): value is ListedSnapshot {
  return (
    typeof value === 'object' &&
    value !== null &&
    'id' in value &&
    typeof value.id === 'string' &&
    'exclusiveBytes' in value &&
    (value.exclusiveBytes === null || typeof value.exclusiveBytes === 'number')
  );
}

function asTotal(value: unknown): Total {
  if (
    typeof value === 'object' &&
    value !== null &&
    'snapshotCount' in value &&
    typeof value.snapshotCount === 'number' &&
    'storedBytes' in value &&
    typeof value.storedBytes === 'number' &&
    'neededBytes' in value &&
    typeof value.neededBytes === 'number' &&
    'fullBytes' in value &&
    typeof value.fullBytes === 'number'
  ) {
    const { snapshotCount, storedBytes, neededBytes, fullBytes } = value;
    return { snapshotCount, storedBytes, neededBytes, fullBytes };
  }
  throw otherVersion();
}
