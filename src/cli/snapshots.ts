import type { ConfigOptions } from '#src/config.ts';

import { askServer } from './admin-client.ts';
import { CommandError } from './command-error.ts';
import { formatBytes } from './image-progress.ts';
import { Words } from './words.ts';

export const SNAPSHOTS_USAGE = `usage: varve snapshots [--data DIR] [--json]

Lists the snapshots of all accounts with their exact sizes in the running server's store:

  SIZE       of the disk
  FULL       of all chunks (512 KiB) that the snapshot holds
  NEW        what the store grew by when it was made
  EXCLUSIVE  what deleting it would free now
  SHARED     what it needs and something else needs too: another snapshot, or a disk restored from one

  --json   bytes, and what else is known of each
`;

/** Sizes of a store that is large may take long to count the first time. */
const TIMEOUT_MS = 600_000;

/** One snapshot, as the server tells of it and --json shows it. */
interface ListedSnapshot {
  readonly id: string;
  readonly name: string | null;
  readonly account: string;
  readonly region: string;
  readonly volume: string;
  readonly volumeName: string | null;
  readonly sizeBytes: number;
  readonly state: string;
  readonly progressPercent: number;
  readonly startedAtMs: number;
  readonly completedAtMs: number | null;
  readonly fullBytes: number | null;
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

/** `varve snapshots`. Throws ConfigError for a wrong command line. */
export async function snapshotsCommand(words: readonly string[]): Promise<void> {
  const parsed = new Words('snapshots', words, { data: { type: 'string' }, json: { type: 'boolean' } });
  parsed.take();
  const options: ConfigOptions = { data: parsed.text('data') };
  const snapshots: ListedSnapshot[] = [];
  for (let after: number | null = 0; after !== null;) {
    const page = asPage(await askServer(options, 'GET', `/snapshots?after=${after}`, TIMEOUT_MS));
    snapshots.push(...page.snapshots);
    after = page.next;
  }
  const total = asTotal(await askServer(options, 'GET', '/store', TIMEOUT_MS));
  const ratio = total.storedBytes > 0 ? Math.round((total.fullBytes * 100) / total.storedBytes) / 100 : null;
  if (parsed.flag('json'))
    process.stdout.write(`${JSON.stringify({ snapshots, total: { ...total, ratio } }, null, 2)}\n`);
  else for (const line of tableLines(snapshots, total, ratio)) process.stdout.write(`${line}\n`);
}

const HEADINGS = ['SNAPSHOT', 'NAME', 'DISK', 'SIZE', 'FULL', 'NEW', 'EXCLUSIVE', 'SHARED', 'STATE'] as const;
/** Columns of numbers, set to the right. */
const FIRST_NUMBER = 3;
const LAST_NUMBER = 7;

function* tableLines(snapshots: readonly ListedSnapshot[], total: Total, ratio: number | null): Generator<string> {
  if (snapshots.length > 0) {
    const rows = [HEADINGS, ...snapshots.map(cellsOf)];
    const widths = HEADINGS.map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
    for (const row of rows) {
      const cells = row.map((cell, column) => {
        const width = widths[column] ?? 0;
        const isNumber = column >= FIRST_NUMBER && column <= LAST_NUMBER;
        return isNumber ? cell.padStart(width) : cell.padEnd(width);
      });
      yield cells.join('  ').trimEnd();
    }
    yield '';
  }
  const count = total.snapshotCount === 1 ? '1 snapshot holds' : `${total.snapshotCount} snapshots hold`;
  const times = ratio === null ? '' : `, ${ratio.toFixed(2)} times as much`;
  yield `${count} ${formatBytes(total.fullBytes)} in ${formatBytes(total.storedBytes)} of store${times}`;
  const spare = total.storedBytes - total.neededBytes;
  yield `${formatBytes(total.neededBytes)} of it is needed; ${formatBytes(spare)} is framing, and what collections give back`;
}

function cellsOf(snapshot: ListedSnapshot): readonly string[] {
  const bytes = (count: number | null): string => (count === null ? '-' : formatBytes(count));
  const state = snapshot.state === 'pending' ? `pending ${snapshot.progressPercent}%` : snapshot.state;
  return [
    snapshot.id,
    snapshot.name ?? '-',
    snapshot.volumeName ?? snapshot.volume,
    bytes(snapshot.sizeBytes),
    bytes(snapshot.fullBytes),
    bytes(snapshot.newBytes),
    bytes(snapshot.exclusiveBytes),
    bytes(snapshot.sharedBytes),
    state,
  ];
}

function asPage(value: unknown): { readonly snapshots: readonly ListedSnapshot[]; readonly next: number | null } {
  if (typeof value === 'object' && value !== null && 'snapshots' in value && 'next' in value) {
    const { snapshots, next } = value;
    if (Array.isArray(snapshots) && snapshots.every(isListed) && (next === null || typeof next === 'number')) {
      return { snapshots, next };
    }
  }
  throw otherVersion();
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

function otherVersion(): CommandError {
  return new CommandError('the server answered something else than sizes; is it of another version?');
}
