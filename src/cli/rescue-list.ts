import type { FoundSnapshot } from '#rescue/manifests.ts';
import type { Manifest } from '#snapshot/manifest.ts';

import { CommandError } from './command-error.ts';
import { formatBytes } from './image-progress.ts';
import { nameOf, openRescue, warn, type StorePlace } from './rescue-open.ts';
import { type Column, printable, tableLines } from './table.ts';

const COLUMNS: readonly Column<Manifest>[] = [
  { heading: 'SNAPSHOT', cell: ({ label }) => label.snapshot },
  { heading: 'NAME', cell: ({ label }) => printable(nameOf(label) ?? '-') },
  { heading: 'DISK', cell: ({ label }) => printable(label.volumeName ?? label.volume) },
  { heading: 'ACCOUNT', cell: ({ label }) => label.account },
  { heading: 'REGION', cell: ({ label }) => label.region },
  { heading: 'STARTED', cell: ({ label }) => `${new Date(label.startedAtMs).toISOString().slice(0, 19)}Z` },
  { heading: 'SIZE', cell: ({ label }) => formatBytes(label.sizeBytes), isNumber: true },
  { heading: 'DATA', cell: ({ fullBytes }) => formatBytes(fullBytes), isNumber: true },
  { heading: 'DESCRIPTION', cell: ({ label }) => printable(label.description) },
];
/** Where one is encrypted. */
const KMS_KEY: Column<Manifest> = { heading: 'KMS KEY', cell: ({ label }) => label.encryption?.keyArn ?? '-' };

/** Prints the snapshots, the oldest first. Throws at the end when a manifest is damaged. */
export async function listSnapshots(place: StorePlace, options: { readonly json: boolean }): Promise<void> {
  await using opened = await openRescue(place);
  const found: FoundSnapshot[] = [];
  for await (const snapshot of opened.store.manifests.list()) found.push(snapshot);
  const whole = found.flatMap(({ manifest }) => (manifest === null ? [] : [manifest]));
  const inOrder = whole.toSorted((a, b) => a.label.startedAtMs - b.label.startedAtMs);
  process.stdout.write(options.json ? `${JSON.stringify(inOrder.map(asJson), null, 2)}\n` : asTable(inOrder));
  const damaged = found.flatMap((one) => (one.manifest === null ? [one] : []));
  for (const { snapshot, damage } of damaged) warn(`${snapshot}: ${damage}`);
  if (damaged.length > 0) throw new CommandError(`${damaged.length} of ${found.length} manifests cannot be read`);
}

function asJson({ label, root, fullBytes, completedAtMs }: Manifest): Readonly<Record<string, unknown>> {
  return {
    snapshot: label.snapshot,
    name: nameOf(label),
    volumeName: label.volumeName ?? null,
    volume: label.volume,
    account: label.account,
    region: label.region,
    startedAt: new Date(label.startedAtMs).toISOString(),
    completedAt: new Date(completedAtMs).toISOString(),
    sizeBytes: label.sizeBytes,
    fullBytes,
    chunkCount: root.presentCount,
    description: label.description,
    tags: label.tags,
    parent: label.parent,
    kmsKey: label.encryption?.keyArn ?? null,
    isUnderDataKey: root.dataKey !== undefined,
  };
}

function asTable(manifests: readonly Manifest[]): string {
  if (manifests.length === 0) return 'There are no completed snapshots in this store.\n';
  const isAnyEncrypted = manifests.some(({ label }) => label.encryption !== undefined);
  const columns = isAnyEncrypted ? [...COLUMNS, KMS_KEY] : COLUMNS;
  return `${tableLines(columns, manifests).join('\n')}\n`;
}
