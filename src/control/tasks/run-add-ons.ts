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
import { type AddOns, AUTO_SNAPSHOT_COUNT_MAX, autoSnapshotDue } from '#domain/add-on.ts';
import { type InstanceId, parseInstanceId, parseVolumeId, type VolumeId } from '#domain/ids.ts';
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
  const date = autoSnapshot === null ? null : autoSnapshotDue(autoSnapshot, resource, ports.clock.nowMs());
  if (date === null) return false;
  // The token makes it one, also when this is interrupted before it is recorded.
  const request = { autoDate: date, tags: [], token: `auto ${resource} ${date}`, operation: null };
  let all: readonly AutoSnapshot[];
  if (found.type === 'Instance') {
    const name = `${found.name}-auto-${date}`;
    await createInstanceSnapshot(ports, scope, { ...request, instance: found.id, name });
    all = await autoSnapshotsOfMachine(ports, scope, found.id);
  } else {
    const description = `automatic, ${date}`;
    await createSnapshot(ports, scope, { ...request, face: 'lightsail', name: null, volume: found.id, description });
    all = await autoDiskSnapshotsOf(ports, scope, found.id);
  }
  await ports.meta.transact((tx) => recordAutoSnapshot(tx, scope, resource, date));
  for (const old of all.slice(AUTO_SNAPSHOT_COUNT_MAX)) await deleteAutoSnapshot(ports, scope, old);
  return true;
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
