import type { ConfigOptions } from '#src/config.ts';

import { formatBytes } from './image-progress.ts';
import { askAll } from './pages.ts';
import { type Column, printable, tableLines } from './table.ts';
import { Words } from './words.ts';

export const VOLUMES_USAGE = `usage: varve volumes [--data DIR] [--all] [--json]

Lists the volumes (and disks) of all accounts, as the running server has them:

  NAME       Lightsail's, or the tag Name
  SIZE       of the volume
  OWN        of the places in its data file that it uses
  ENCRYPTED  whether its data file is (serve --encrypt-volumes)
  HYDRATED   how much of what it was made from has come into its own files; the rest is
             read from the store when it is needed, and fetched in the background
  RATE       with which it comes, if it comes
  STATE      and why it waits

  --all    also the account, the region, the Outpost and the connected clients of each
  --json   bytes, and all that is known of each
`;

interface Hydration {
  readonly state: string;
  readonly reason: string | null;
  readonly presentBytes: number;
  readonly totalBytes: number;
  readonly bytesPerSecond: number;
}

/** One volume, as the server tells of it and --json shows it. */
export interface ListedVolume {
  readonly id: string;
  readonly name: string | null;
  /** The service that made it: `ec2` or `lightsail`. */
  readonly face: string;
  readonly account: string;
  readonly region: string;
  /** ARN of the Outpost that it is on; null: it is in the region. */
  readonly outpost: string | null;
  readonly sizeBytes: number;
  readonly state: string;
  /** The snapshot that it was made from. */
  readonly origin: string | null;
  /** The instance that has it. */
  readonly instance: string | null;
  readonly createdAtMs: number;
  readonly clientCount: number | null;
  readonly ownBytes: number | null;
  readonly encrypted: boolean | null;
  readonly failure: string | null;
  readonly hydration: Hydration | null;
}

export async function allVolumes(options: ConfigOptions): Promise<readonly ListedVolume[]> {
  return await askAll(options, { name: 'volumes', isListed });
}

/** `varve volumes`. Throws ConfigError for a wrong command line. */
export async function volumesCommand(words: readonly string[]): Promise<void> {
  const parsed = new Words('volumes', words, {
    data: { type: 'string' },
    all: { type: 'boolean' },
    json: { type: 'boolean' },
  });
  parsed.take();
  const volumes = await allVolumes({ data: parsed.text('data') });
  if (parsed.flag('json')) process.stdout.write(`${JSON.stringify({ volumes }, null, 2)}\n`);
  else if (volumes.length === 0) process.stdout.write('There are no volumes.\n');
  else for (const line of tableLines(columns(parsed.flag('all')), volumes)) process.stdout.write(`${line}\n`);
}

function columns(all: boolean): readonly Column<ListedVolume>[] {
  const more: readonly Column<ListedVolume>[] = [
    { heading: 'ACCOUNT', cell: ({ account }) => account },
    { heading: 'REGION', cell: ({ region }) => region },
    { heading: 'OUTPOST', cell: ({ outpost }) => outpost?.split('/')[1] ?? '-' },
    { heading: 'CLIENTS', cell: ({ clientCount }) => String(clientCount ?? '-'), isNumber: true },
  ];
  return [
    { heading: 'VOLUME', cell: ({ id }) => id },
    { heading: 'NAME', cell: ({ name }) => printable(name ?? '-') },
    ...(all ? more : []),
    { heading: 'SIZE', cell: ({ sizeBytes }) => formatBytes(sizeBytes), isNumber: true },
    { heading: 'OWN', cell: ({ ownBytes }) => (ownBytes === null ? '-' : formatBytes(ownBytes)), isNumber: true },
    { heading: 'ENCRYPTED', cell: ({ encrypted }) => (encrypted === null ? '-' : encrypted ? 'yes' : 'no') },
    {
      heading: 'HYDRATED',
      cell: ({ hydration }) => (hydration === null ? '-' : percentOf(hydration)),
      isNumber: true,
    },
    {
      heading: 'RATE',
      cell: ({ hydration }) => (hydration?.state === 'hydrating' ? `${formatBytes(hydration.bytesPerSecond)}/s` : '-'),
      isNumber: true,
    },
    { heading: 'STATE', cell: stateOf },
  ];
}

function stateOf({ state, failure, hydration }: ListedVolume): string {
  const reason = hydration?.reason ?? null;
  return failure ?? (reason === null ? state : `${state}; hydration waits: ${reason}`);
}

/** 100 % only when it is all. */
function percentOf({ state, presentBytes, totalBytes }: Hydration): string {
  if (state === 'hydrated' || totalBytes === 0) return '100%';
  return `${Math.min(99, Math.floor((presentBytes * 100) / totalBytes))}%`;
}

function isListed(value: unknown): value is ListedVolume {
  return (
    typeof value === 'object' &&
    value !== null &&
    'id' in value &&
    typeof value.id === 'string' &&
    'account' in value &&
    typeof value.account === 'string' &&
    'sizeBytes' in value &&
    typeof value.sizeBytes === 'number' &&
    'encrypted' in value &&
    (value.encrypted === null || typeof value.encrypted === 'boolean') &&
    'hydration' in value &&
    (value.hydration === null || typeof value.hydration === 'object')
  );
}
