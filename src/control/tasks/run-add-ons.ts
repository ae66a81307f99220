import { ADD_ONS, recordAutoSnapshot } from '#control/machines/add-ons.ts';
import {
  autoDiskSnapshotsOf,
  deleteAutoSnapshotsOf,
  type AutoSnapshot,
  autoSnapshotsOfMachine,
  deleteAutoSnapshot,
} from '#control/machines/auto-snapshots.ts';
import { createInstanceSnapshot } from '#control/machines/instance-snapshots.ts';
import { INSTANCE_SNAPSHOTS } from '#control/machines/instance-snapshot-records.ts';
import { INSTANCES } from '#control/machines/records.ts';
import { volumeSeen } from '#control/lookup.ts';
import type { ControlPorts } from '#control/ports.ts';
import { createSnapshot } from '#control/snapshots.ts';
import { type AddOns, autoSnapshotDue, autoSnapshotsDoomed } from '#domain/add-on.ts';
import { DomainError } from '#domain/errors.ts';
import { type InstanceId, parseInstanceId, parseVolumeId, type VolumeId } from '#domain/ids.ts';
import { NAME_LENGTH_MAX } from '#domain/name.ts';
import type { Scope } from '#domain/volume.ts';
import { eachRow } from './each-row.ts';
import { Tally, type Task } from './task.ts';

/**
 * Automatic snapshots of machines and disks: makes the one that is due, deletes what is more than the last seven, and what
 * belongs to something that is gone.
 */
export function runAddOns(ports: ControlPorts): Task {
  return {
    name: 'run-add-ons',
    periodMs: 60_000,
    startDelayMs: 5000,
    wakeDelayMs: 0,
    async activate(signal) {
      const tally = new Tally();
      const attempt = async (resource: string, work: () => Promise<boolean>): Promise<void> => {
        try {
          if (await work()) tally.done();
        } catch (error) {
          signal.throwIfAborted();
          ports.log.warn('add-on.run', { resource, error });
          tally.failed();
        }
      };
      const rows = eachRow((page) => ports.meta.read((tx) => tx.documents.all(ADD_ONS, page)), signal);
      for await (const { record, account, region } of rows) {
        await attempt(record.resource, () => runOne(ports, { account, region }, record));
      }
      const snapshots = eachRow((page) => ports.meta.read((tx) => tx.documents.all(INSTANCE_SNAPSHOTS, page)), signal);
      for await (const { record } of snapshots) {
        if (record.autoDate !== null) await attempt(record.id, () => forgetOrphans(ports, record, record.instance));
      }
      return tally.report();
    },
  };
}

async function runOne(ports: ControlPorts, scope: Scope, addOns: AddOns): Promise<boolean> {
  const { resource, autoSnapshot } = addOns;
  const found = await find(ports, scope, resource);
  if (found === null) {
    await deleteAutoSnapshotsOf(ports, scope, resource);
    await ports.meta.transact((tx) => tx.documents.remove(ADD_ONS, scope, resource));
    return true;
  }
  const date = autoSnapshot === null ? null : autoSnapshotDue(autoSnapshot, resource, ports.time.estimateMs());
  if (date === null) return false;
  try {
    await createOne(ports, scope, found, date);
  } catch (error) {
    // It was made for this day, and deleted since; or there is nothing any more of which it could be.
    if (!(error instanceof DomainError && error.failure.kind === 'not-found')) throw error;
  }
  await ports.meta.transact((tx) => recordAutoSnapshot(tx, scope, resource, date));
  const all: readonly AutoSnapshot[] =
    found.type === 'Instance'
      ? await autoSnapshotsOfMachine(ports, scope, found.id)
      : await autoDiskSnapshotsOf(ports, scope, found.id);
  for (const old of autoSnapshotsDoomed(all)) await deleteAutoSnapshot(ports, scope, old);
  return true;
}

async function createOne(ports: ControlPorts, scope: Scope, found: Found, date: string): Promise<void> {
  // The token makes it one, also when this is interrupted before it is recorded.
  const request = { autoDate: date, tags: [], token: `auto ${found.id} ${date}`, operation: null };
  if (found.type === 'Instance') {
    const end = `-auto-${date}`;
    // It is no more than shown, so it need not be whole.
    const name = `${found.name.slice(0, NAME_LENGTH_MAX - end.length)}${end}`;
    await createInstanceSnapshot(ports, scope, { ...request, instance: found.id, name });
  } else {
    const description = `automatic, ${date}`;
    await createSnapshot(ports, scope, { ...request, face: 'lightsail', name: null, volume: found.id, description });
  }
}

type Found =
  | { readonly type: 'Instance'; readonly id: InstanceId; readonly name: string }
  | { readonly type: 'Disk'; readonly id: VolumeId };

async function find(ports: ControlPorts, scope: Scope, resource: InstanceId | VolumeId): Promise<Found | null> {
  const instance = parseInstanceId(resource);
  const volume = parseVolumeId(resource);
  return await ports.meta.read(async (tx): Promise<Found | null> => {
    if (instance !== null) {
      const record = await tx.documents.find(INSTANCES, scope, instance);
      return record === null ? null : { type: 'Instance', id: instance, name: record.name ?? record.id };
    }
    return volume === null || (await volumeSeen(tx, scope, volume)) === null ? null : { type: 'Disk', id: volume };
  });
}

/** Automatic snapshots go with their machine. */
async function forgetOrphans(ports: ControlPorts, scope: Scope, instance: InstanceId): Promise<boolean> {
  if ((await find(ports, scope, instance)) !== null) return false;
  await deleteAutoSnapshotsOf(ports, scope, instance);
  return true;
}
