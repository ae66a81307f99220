import type { ConfigOptions } from '#src/config.ts';

import { askAll } from './pages.ts';
import { type Column, printable, tableLines } from './table.ts';

/** One snapshot of an instance, as the server tells of it and --json shows it. */
export interface ListedInstanceSnapshot {
  readonly id: string;
  readonly name: string;
  readonly account: string;
  readonly region: string;
  readonly instance: string;
  readonly instanceName: string;
  readonly state: string;
  readonly progressPercent: number;
  readonly createdAtMs: number;
  readonly consistency: 'crash' | 'filesystem';
  /** Why it is no more than `crash`; null: nothing to say. */
  readonly consistencyNote: string | null;
  /** So long the guest's writes were held. */
  readonly heldMs: number;
  /** Of an automatic one: the day; null: somebody asked for it. */
  readonly autoDate: string | null;
  readonly copiedFrom: { readonly name: string; readonly region: string } | null;
  readonly parts: readonly { readonly snapshot: string; readonly device: string; readonly diskName: string | null }[];
}

export async function allInstanceSnapshots(options: ConfigOptions): Promise<readonly ListedInstanceSnapshot[]> {
  return await askAll(options, { name: 'instance-snapshots', isListed });
}

function isListed(value: unknown): value is ListedInstanceSnapshot {
  return (
    typeof value === 'object' &&
    value !== null &&
    'id' in value &&
    typeof value.id === 'string' &&
    'heldMs' in value &&
    typeof value.heldMs === 'number' &&
    'parts' in value &&
    Array.isArray(value.parts)
  );
}

/** Their table, after an empty line; nothing where there are none. */
export function* instanceSnapshotLines(all: boolean, snapshots: readonly ListedInstanceSnapshot[]): Generator<string> {
  if (snapshots.length === 0) return;
  const more: readonly Column<ListedInstanceSnapshot>[] = [
    { heading: 'ACCOUNT', cell: ({ account }) => account },
    { heading: 'REGION', cell: ({ region }) => region },
  ];
  const columns: readonly Column<ListedInstanceSnapshot>[] = [
    { heading: 'INSTANCE SNAPSHOT', cell: ({ id }) => id },
    { heading: 'NAME', cell: ({ name }) => printable(name) },
    { heading: 'INSTANCE', cell: ({ instanceName }) => printable(instanceName) },
    ...(all ? more : []),
    { heading: 'DISKS', isNumber: true, cell: ({ parts }) => String(parts.length) },
    { heading: 'CONSISTENCY', cell: ({ consistency }) => consistency },
    { heading: 'HELD', isNumber: true, cell: ({ heldMs }) => `${heldMs} ms` },
    { heading: 'MADE', cell: (one) => printable(madeBy(one)) },
    {
      heading: 'STATE',
      cell: ({ state, progressPercent }) => (state === 'pending' ? `pending ${progressPercent}%` : state),
    },
  ];
  yield '';
  yield* tableLines(columns, snapshots);
}

function madeBy({ autoDate, copiedFrom }: ListedInstanceSnapshot): string {
  if (autoDate !== null) return `automatic, ${autoDate}`;
  return copiedFrom === null ? '-' : `copy of ${copiedFrom.name}, ${copiedFrom.region}`;
}

export interface InstanceSnapshotCounts {
  readonly count: number;
  /** Of guests whose file systems were frozen, or that were off. */
  readonly filesystemCount: number;
  /** As after a power cut. */
  readonly crashCount: number;
  readonly automaticCount: number;
}

export function countsOf(snapshots: readonly ListedInstanceSnapshot[]): InstanceSnapshotCounts {
  const filesystemCount = snapshots.filter(({ consistency }) => consistency === 'filesystem').length;
  return {
    count: snapshots.length,
    filesystemCount,
    crashCount: snapshots.length - filesystemCount,
    automaticCount: snapshots.filter(({ autoDate }) => autoDate !== null).length,
  };
}

/** `2 of instances: 1 filesystem-consistent, 1 as after a power cut; 1 automatic`. */
export function instanceSnapshotWords(counts: InstanceSnapshotCounts): string {
  const { count, filesystemCount, crashCount, automaticCount } = counts;
  const automatic = automaticCount > 0 ? `; ${automaticCount} automatic` : '';
  return `${count} of instances: ${filesystemCount} filesystem-consistent, ${crashCount} as after a power cut${automatic}`;
}
