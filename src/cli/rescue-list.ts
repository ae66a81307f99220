import type { FoundSnapshot } from '#rescue/manifests.ts';
import type { Manifest } from '#snapshot/manifest.ts';

import { CommandError } from './command-error.ts';
import { formatBytes } from './image-progress.ts';
import { openRescue, warn, type StorePlace } from './rescue-open.ts';

const HEAD = ['SNAPSHOT', 'VOLUME', 'ACCOUNT', 'REGION', 'STARTED', 'SIZE', 'DATA', 'DESCRIPTION'];

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
  };
}

function asTable(manifests: readonly Manifest[]): string {
  if (manifests.length === 0) return 'There are no completed snapshots in this store.\n';
  const rows = manifests.map(({ label, fullBytes }) => [
    label.snapshot,
    label.volume,
    label.account,
    label.region,
    `${new Date(label.startedAtMs).toISOString().slice(0, 19)}Z`,
    formatBytes(label.sizeBytes),
    formatBytes(fullBytes),
    printable([label.tags['Name'] ?? '', label.description].filter((text) => text !== '').join(' – ')),
  ]);
  const widths = HEAD.map((head, column) => Math.max(head.length, ...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd();
  return `${[HEAD, ...rows].map(line).join('\n')}\n`;
}

/** What users wrote must not steer a terminal. */
function printable(text: string): string {
  return text.replace(/\p{Cc}|\p{Cf}/gu, '\uFFFD');
}
