import type { ConfigOptions } from '#src/config.ts';

import { askServer } from './admin-client.ts';
import { CommandError } from './command-error.ts';
import { formatBytes } from './image-progress.ts';
import { Words } from './words.ts';

export const VOLUMES_USAGE = `usage: varve volumes [--data DIR] [--json]

Lists the volumes (and disks) of all accounts, as the running server has them:

  SIZE       of the volume
  OWN        of the places in its data file that it uses
  HYDRATED   how much of what it was made from has come into its own files; the rest is
             read from the store when it is needed, and fetched in the background
  RATE       with which it comes, if it comes
  STATE      and why it waits

  --json   bytes, and what else is known of each
`;

interface Hydration {
  readonly state: string;
  readonly reason: string | null;
  readonly presentBytes: number;
  readonly totalBytes: number;
  readonly bytesPerSecond: number;
}

/** One volume, as the server tells of it and --json shows it. */
interface ListedVolume {
  readonly id: string;
  readonly name: string | null;
  readonly sizeBytes: number;
  readonly state: string;
  readonly ownBytes: number | null;
  readonly failure: string | null;
  readonly hydration: Hydration | null;
}

/** `varve volumes`. Throws ConfigError for a wrong command line. */
export async function volumesCommand(words: readonly string[]): Promise<void> {
  const parsed = new Words('volumes', words, { data: { type: 'string' }, json: { type: 'boolean' } });
  parsed.take();
  const options: ConfigOptions = { data: parsed.text('data') };
  const volumes: ListedVolume[] = [];
  for (let after: number | null = 0; after !== null;) {
    const page = asPage(await askServer(options, 'GET', `/volumes?after=${after}`));
    volumes.push(...page.volumes);
    after = page.next;
  }
  if (parsed.flag('json')) process.stdout.write(`${JSON.stringify({ volumes }, null, 2)}\n`);
  else for (const line of tableLines(volumes)) process.stdout.write(`${line}\n`);
}

const HEADINGS = ['VOLUME', 'NAME', 'SIZE', 'OWN', 'HYDRATED', 'RATE', 'STATE'] as const;
/** Columns of numbers, set to the right. */
const FIRST_NUMBER = 2;
const LAST_NUMBER = 5;

function tableLines(volumes: readonly ListedVolume[]): readonly string[] {
  if (volumes.length === 0) return ['There are no volumes.'];
  const rows = [HEADINGS, ...volumes.map(cellsOf)];
  const widths = HEADINGS.map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  return rows.map((row) => {
    const cells = row.map((cell, column) => {
      const isNumber = column >= FIRST_NUMBER && column <= LAST_NUMBER;
      return isNumber ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0);
    });
    return cells.join('  ').trimEnd();
  });
}

function cellsOf({ id, name, sizeBytes, state, ownBytes, failure, hydration }: ListedVolume): readonly string[] {
  const reason = hydration?.reason ?? null;
  return [
    id,
    name ?? '-',
    formatBytes(sizeBytes),
    ownBytes === null ? '-' : formatBytes(ownBytes),
    hydration === null ? '-' : percentOf(hydration),
    hydration?.state === 'hydrating' ? `${formatBytes(hydration.bytesPerSecond)}/s` : '-',
    failure ?? (reason === null ? state : `${state}; hydration waits: ${reason}`),
  ];
}

/** 100 % only when it is all. */
function percentOf({ state, presentBytes, totalBytes }: Hydration): string {
  if (state === 'hydrated' || totalBytes === 0) return '100%';
  return `${Math.min(99, Math.floor((presentBytes * 100) / totalBytes))}%`;
}

function asPage(value: unknown): { readonly volumes: readonly ListedVolume[]; readonly next: number | null } {
  if (typeof value === 'object' && value !== null && 'volumes' in value && 'next' in value) {
    const { volumes, next } = value;
    if (Array.isArray(volumes) && volumes.every(isListed) && (next === null || typeof next === 'number')) {
      return { volumes, next };
    }
  }
  throw new CommandError('the server answers in another form; is it of another version?');
}

function isListed(value: unknown): value is ListedVolume {
  return (
    typeof value === 'object' &&
    value !== null &&
    'id' in value &&
    typeof value.id === 'string' &&
    'sizeBytes' in value &&
    typeof value.sizeBytes === 'number' &&
    'hydration' in value &&
    (value.hydration === null || typeof value.hydration === 'object')
  );
}
