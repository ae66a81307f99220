import { refuse } from '#domain/errors.ts';
import type { InstanceId, InstanceSnapshotId, ResourceId } from '#domain/ids.ts';
import { type InstanceSnapshot, stateOfParts } from '#domain/instance-snapshot.ts';
import { type Snapshot, visibleState } from '#domain/snapshot.ts';
import type { Scope } from '#domain/volume.ts';
import { isIn, type Ref } from '#control/lookup.ts';
import { endOperations } from '#control/operations.ts';
import { readPage } from '#control/pages.ts';
import type { ControlPorts } from '#control/ports.ts';
import { everyRow } from '#control/tasks/each-row.ts';
import type { DocumentKind } from '#meta/document-table.ts';
import type { ReadTx, Tx } from '#meta/meta-store.ts';
import { exportPartEnded } from './export-records.ts';

/** Listed by the machine. */
export const INSTANCE_SNAPSHOTS: DocumentKind<InstanceSnapshot> = {
  name: 'instance-snapshot',
  idOf: ({ id }) => id,
  ownerOf: ({ instance }) => instance,
};

export function isInstanceSnapshotId(id: ResourceId): id is InstanceSnapshotId {
  return id.startsWith('isnap-');
}

/** Automatic ones, too. Null when the client does not see it. */
export async function instanceSnapshotSeen(
  tx: ReadTx,
  scope: Scope,
  id: InstanceSnapshotId,
): Promise<InstanceSnapshot | null> {
  const found = await tx.documents.find(INSTANCE_SNAPSHOTS, scope, id);
  return found !== null && isIn(scope, found) && found.state !== 'cutting' ? found : null;
}

/** Refuses: not-found, also when the name is another kind of resource's. */
export async function instanceSnapshotOf(
  tx: ReadTx,
  scope: Scope,
  ref: Ref<InstanceSnapshotId>,
): Promise<InstanceSnapshot> {
  const holder = typeof ref === 'string' ? ref : await tx.names.find(scope, ref.name);
  const found = holder === null || !isInstanceSnapshotId(holder) ? null : await instanceSnapshotSeen(tx, scope, holder);
  const id = typeof ref === 'string' ? ref : ref.name;
  return found ?? refuse({ kind: 'not-found', resource: 'instance-snapshot', id });
}

/** An instance snapshot with what its parts say of it now. */
export interface InstanceSnapshotSeen {
  readonly record: InstanceSnapshot;
  /** Whole per cent of all its volumes. */
  readonly progressPercent: number;
}

/** Refuses: not-found. */
export async function findInstanceSnapshot(
  ports: ControlPorts,
  scope: Scope,
  ref: Ref<InstanceSnapshotId>,
): Promise<InstanceSnapshotSeen> {
  return await ports.meta.read(async (tx) => await withProgress(tx, await instanceSnapshotOf(tx, scope, ref)));
}

/** Those that somebody asked for, in the order of creation. Refuses: page-token-invalid. */
export async function listInstanceSnapshots(
  ports: ControlPorts,
  scope: Scope,
  request: { readonly after: string | null; readonly countMax: number },
): Promise<{ readonly snapshots: readonly InstanceSnapshotSeen[]; readonly next: string | null }> {
  const match = ({ state, autoDate }: InstanceSnapshot): boolean => state !== 'cutting' && autoDate === null;
  const page = await readPage<InstanceSnapshot>(ports, scope, 'instance-snapshots', { ...request, match }, (part) =>
    ports.meta.read((tx) => tx.documents.list(INSTANCE_SNAPSHOTS, scope, null, part)),
  );
  return { snapshots: await eachWithProgress(ports, page.records), next: page.next };
}

/** The automatic ones of a machine, the newest day first. */
export async function autoSnapshotsOf(
  ports: ControlPorts,
  scope: Scope,
  instance: InstanceId,
): Promise<readonly InstanceSnapshotSeen[]> {
  const found: InstanceSnapshot[] = [];
  const all = everyRow((page) => ports.meta.read((tx) => tx.documents.list(INSTANCE_SNAPSHOTS, scope, instance, page)));
  for await (const record of all) if (record.autoDate !== null && record.state !== 'cutting') found.push(record);
  // They come in the order in which they were made, whatever the clock said.
  return await eachWithProgress(ports, found.toReversed());
}

/** So many are answered at once. */
const COUNT_PER_PAGE = 500;

/** For whoever runs the server: of all accounts and regions, automatic ones, too, in the order of creation. `next`: where to go on; null at the end. */
export async function allInstanceSnapshots(
  ports: ControlPorts,
  after: number,
): Promise<{ readonly snapshots: readonly InstanceSnapshotSeen[]; readonly next: number | null }> {
  const rows = await ports.meta.read((tx) => tx.documents.all(INSTANCE_SNAPSHOTS, { after, countMax: COUNT_PER_PAGE }));
  const records = rows.map(({ record }) => record.record).filter(({ state }) => state !== 'cutting');
  const next = rows.length < COUNT_PER_PAGE ? null : (rows.at(-1)?.sequence ?? null);
  return { snapshots: await eachWithProgress(ports, records), next };
}

async function eachWithProgress(
  ports: ControlPorts,
  records: readonly InstanceSnapshot[],
): Promise<readonly InstanceSnapshotSeen[]> {
  return await ports.meta.read(async (tx) => {
    const seen: InstanceSnapshotSeen[] = [];
    for (const record of records) seen.push(await withProgress(tx, record));
    return seen;
  });
}

async function withProgress(tx: ReadTx, record: InstanceSnapshot): Promise<InstanceSnapshotSeen> {
  if (record.state === 'available') return { record, progressPercent: 100 };
  const parts = await partsOf(tx, record);
  const sizeGib = parts.reduce((sum, { volumeSizeGib }) => sum + volumeSizeGib, 0);
  const doneGib = parts.reduce((sum, part) => sum + (part.volumeSizeGib * part.progressPercent) / 100, 0);
  return { record, progressPercent: sizeGib === 0 ? 0 : Math.floor((100 * doneGib) / sizeGib) };
}

/** The snapshots of its volumes, its system volume's first; those that are gone are left out. */
export async function partsOf(tx: ReadTx, { parts }: InstanceSnapshot): Promise<readonly Snapshot[]> {
  const found: Snapshot[] = [];
  for (const { snapshot } of parts) {
    const record = await tx.snapshots.find(snapshot);
    if (record !== null) found.push(record);
  }
  return found;
}

/** To be called in the transaction in which a snapshot ends: the whole, or the export, that it belongs to may end with it. */
export async function partEnded(ports: ControlPorts, tx: Tx, part: Snapshot): Promise<void> {
  if (part.exportOf !== null) await exportPartEnded(ports, tx, part, part.exportOf);
  if (part.partOf === null) return;
  const whole = await tx.documents.find(INSTANCE_SNAPSHOTS, part, part.partOf);
  if (whole?.state !== 'pending') return;
  const parts = await partsOf(tx, whole);
  const state = stateOfParts(
    parts.map((one) => {
      const seen = visibleState(one) ?? 'error';
      return seen === 'recovering' ? 'completed' : seen;
    }),
  );
  if (state === 'pending') return;
  await tx.documents.update(INSTANCE_SNAPSHOTS, whole, { ...whole, state });
  if (state === 'available') {
    await endOperations(ports, tx, whole.id, { status: 'Succeeded' });
    return;
  }
  const errorDetails =
    parts.find(({ stateMessage }) => stateMessage !== null)?.stateMessage ?? 'a volume was not stored';
  await endOperations(ports, tx, whole.id, { status: 'Failed', errorCode: 'SnapshotFailed', errorDetails });
}
