import { refuse } from '#domain/errors.ts';
import {
  type InstanceId,
  type InstanceSnapshotId,
  parseInstanceId,
  parseVolumeId,
  type SnapshotId,
  type VolumeId,
} from '#domain/ids.ts';
import type { Scope } from '#domain/volume.ts';
import { visibleState } from '#domain/snapshot.ts';
import type { ControlPorts } from '#control/ports.ts';
import { deleteSnapshot } from '#control/snapshots.ts';
import { everyRow } from '#control/tasks/each-row.ts';
import type { AddOnResource } from './add-ons.ts';
import { autoSnapshotsOf } from './instance-snapshot-records.ts';
import { deleteInstanceSnapshot } from './instance-snapshots.ts';

/** A snapshot of a machine or a disk that nobody asked for by name. */
export type AutoSnapshot = Dated &
  ({ readonly type: 'Instance'; readonly id: InstanceSnapshotId } | { readonly type: 'Disk'; readonly id: SnapshotId });

interface Dated {
  /** The day in UTC for which it was made. */
  readonly date: string;
  readonly createdAtMs: number;
  readonly state: 'pending' | 'available' | 'error';
  /** Of a machine: its disks beside the system volume. */
  readonly disks: readonly { readonly device: string; readonly sizeGib: number }[];
}

/** Of a machine or a disk, the newest first. */
export async function autoSnapshots(ports: ControlPorts, resource: AddOnResource): Promise<readonly AutoSnapshot[]> {
  const { type, record } = resource;
  return type === 'Instance'
    ? await autoSnapshotsOfMachine(ports, record, record.id)
    : await autoDiskSnapshotsOf(ports, record, record.id);
}

/** The newest first. */
export async function autoSnapshotsOfMachine(
  ports: ControlPorts,
  scope: Scope,
  instance: InstanceId,
): Promise<readonly AutoSnapshot[]> {
  const found = await autoSnapshotsOf(ports, scope, instance);
  return found.map(({ record: { id, autoDate, createdAtMs, state, parts } }) => ({
    type: 'Instance',
    id,
    date: autoDate ?? '',
    createdAtMs,
    state: state === 'cutting' ? 'pending' : state,
    disks: parts.slice(1).map(({ device, sizeGib }) => ({ device, sizeGib })),
  }));
}

/** The newest first. */
export async function autoDiskSnapshotsOf(
  ports: ControlPorts,
  scope: Scope,
  volume: VolumeId,
): Promise<readonly AutoSnapshot[]> {
  const filter = { scope, face: 'lightsail', search: { kind: 'volume', volume } } as const;
  const found: AutoSnapshot[] = [];
  for await (const record of everyRow((page) => ports.meta.read((tx) => tx.snapshots.list(filter, page)))) {
    const { id, autoDate: date, startedAtMs: createdAtMs } = record;
    if (date === null) continue;
    const seen = visibleState(record);
    const state = seen === 'completed' ? 'available' : seen === 'error' ? 'error' : 'pending';
    found.push({ type: 'Disk', id, date, createdAtMs, state, disks: [] });
  }
  return found.toReversed(); // They come in the order in which they were made, whatever the clock said.
}

/** Which of them, of a resource of that type, a request means by a day, or as the latest that can be restored. Refuses: not-found. */
export function chooseAutoSnapshot(
  all: readonly AutoSnapshot[],
  selector: { readonly date: string } | 'latest',
  type: AutoSnapshot['type'],
): AutoSnapshot {
  const found =
    selector === 'latest'
      ? all.find(({ state }) => state === 'available')
      : all.find(({ date }) => date === selector.date);
  const id = selector === 'latest' ? 'the latest automatic snapshot' : selector.date;
  return found ?? refuse({ kind: 'not-found', resource: type === 'Disk' ? 'snapshot' : 'instance-snapshot', id });
}

export async function deleteAutoSnapshot(ports: ControlPorts, scope: Scope, snapshot: AutoSnapshot): Promise<void> {
  const request = { token: null, operation: null };
  if (snapshot.type === 'Instance') {
    await deleteInstanceSnapshot(ports, scope, snapshot.id, request);
  } else {
    await deleteSnapshot(ports, scope, snapshot.id, request);
  }
}

/** They go with the machine or disk that they are of. */
export async function deleteAutoSnapshotsOf(
  ports: ControlPorts,
  scope: Scope,
  resource: InstanceId | VolumeId,
): Promise<void> {
  const instance = parseInstanceId(resource);
  const volume = parseVolumeId(resource);
  if (instance !== null) {
    for (const one of await autoSnapshotsOfMachine(ports, scope, instance)) await deleteAutoSnapshot(ports, scope, one);
  }
  if (volume !== null) {
    for (const one of await autoDiskSnapshotsOf(ports, scope, volume)) await deleteAutoSnapshot(ports, scope, one);
  }
}
