import { systemClock } from '#base/clock.ts';
import type { ConfigOptions } from '#src/config.ts';

import { ServerAwayError } from './admin-client.ts';
import { CommandError } from './command-error.ts';
import { findResource, type ListedResource } from './listed-resource.ts';
import { firstZone, idIn, ServerApi, textAt } from './server-api.ts';

const GIB_BYTES = 1024 ** 3;
/** Lightsail's names have no more. */
const NAME_LENGTH_MAX = 255;

/** What was made, in the order in which a person asked for it. */
export interface Made {
  readonly kind: ListedResource['kind'];
  readonly id: string;
  readonly name: string | null;
  readonly region: string;
}

export interface SnapshotWish {
  /** Name or id of a disk, volume or instance. */
  readonly source: string;
  /** Null: made from the source's and the time. */
  readonly name: string | null;
  readonly description: string | null;
}

/**
 * Asks for a snapshot of a disk, or of an instance with all of its disks at one instant; answers when the instant has passed.
 * `made`: of an instance of EC2 one for each of its volumes. `snapshots`: the ids of all that is being stored now.
 */
export async function createSnapshot(
  options: ConfigOptions,
  wish: SnapshotWish,
): Promise<{ readonly made: readonly Made[]; readonly snapshots: readonly string[] }> {
  const source = await findResource(options, wish.source);
  if (source.kind === 'snapshot' || source.kind === 'instance-snapshot') {
    throw new CommandError(`${wish.source} is a snapshot already; "varve snapshot restore" makes a disk of it`);
  }
  const api = await ServerApi.find(options);
  api.checkOwn(source);
  const name = wish.name ?? nameAt(source, systemClock.nowMs());
  if (source.face === 'lightsail') {
    if (wish.description !== null) {
      throw new CommandError('--description: snapshots of Lightsail have a name and tags, and no description');
    }
    return await createInLightsail(options, { api, source, name });
  }
  const { region } = source;
  const common = {
    Description: wish.description ?? name,
    TagSpecifications: [{ ResourceType: 'snapshot', Tags: [{ Key: 'Name', Value: name }] }],
  };
  const call = async (operation: string, input: Parameters<ServerApi['call']>[1]) =>
    await api.call({ service: 'ec2', operation, region }, { ...common, ...input });
  const snapshots: string[] = [];
  if (source.kind === 'volume') {
    snapshots.push(textAt(await call('CreateSnapshot', { VolumeId: source.id }), 'SnapshotId'));
  } else {
    const reply = await call('CreateSnapshots', { InstanceSpecification: { InstanceId: source.id } });
    const all = Array.isArray(reply['Snapshots']) ? reply['Snapshots'] : [];
    snapshots.push(...all.map((_, at) => textAt(reply, 'Snapshots', at, 'SnapshotId')));
  }
  return { made: snapshots.map((id) => ({ kind: 'snapshot', id, name, region })), snapshots };
}

async function createInLightsail(
  options: ConfigOptions,
  { api, source, name }: { readonly api: ServerApi; readonly source: ListedResource; readonly name: string },
): Promise<{ readonly made: readonly Made[]; readonly snapshots: readonly string[] }> {
  const { region } = source;
  const sourceName = source.name ?? source.id;
  const lightsail = { service: 'lightsail', region } as const;
  if (source.kind === 'volume') {
    const input = { diskName: sourceName, diskSnapshotName: name };
    await api.call({ ...lightsail, operation: 'CreateDiskSnapshot' }, input);
    const reply = await api.call({ ...lightsail, operation: 'GetDiskSnapshot' }, { diskSnapshotName: name });
    const id = idIn(textAt(reply, 'diskSnapshot', 'supportCode'));
    return { made: [{ kind: 'snapshot', id, name, region }], snapshots: [id] };
  }
  const input = { instanceName: sourceName, instanceSnapshotName: name };
  await api.call({ ...lightsail, operation: 'CreateInstanceSnapshot' }, input);
  const reply = await api.call({ ...lightsail, operation: 'GetInstanceSnapshot' }, { instanceSnapshotName: name });
  const { id, parts } = await findResource(options, textAt(reply, 'instanceSnapshot', 'supportCode'));
  return { made: [{ kind: 'instance-snapshot', id, name, region }], snapshots: parts };
}

export interface RestoreWish {
  readonly snapshot: string;
  readonly name: string;
  /** Null: the snapshot's. */
  readonly sizeGib: number | null;
  /** Null: the region's first. */
  readonly zone: string | null;
  /** Of an instance; null: what the instance had. */
  readonly bundle: string | null;
}

/** Makes a disk of a snapshot, or an instance of an instance's; it can be used at once, whatever its size. */
export async function restoreSnapshot(options: ConfigOptions, wish: RestoreWish): Promise<Made> {
  const snapshot = await findResource(options, wish.snapshot);
  if (snapshot.kind === 'volume' || snapshot.kind === 'instance') {
    throw new CommandError(`${wish.snapshot} is no snapshot; "varve snapshot create" makes one of it`);
  }
  const api = await ServerApi.find(options);
  api.checkOwn(snapshot);
  if (snapshot.instanceSnapshot !== null) {
    throw new CommandError(
      `${wish.snapshot} is a part of the snapshot ${snapshot.instanceSnapshot} of an instance, which is restored as a whole. ` +
        'Its bytes alone: varve export, varve cp, varve mount',
    );
  }
  const { region, name } = snapshot;
  const availabilityZone = wish.zone ?? firstZone(region);
  const lightsail = { service: 'lightsail', region } as const;
  // Automatic ones are named by what they are of, and the day.
  const ofDay = snapshot.autoDate === null ? null : { restoreDate: snapshot.autoDate };
  const sourceName = snapshot.sourceName ?? '';
  if (snapshot.kind === 'instance-snapshot') {
    if (wish.sizeGib !== null) throw new CommandError("--size-in-gb: the size of an instance's disk is its bundle's");
    await api.call(
      { ...lightsail, operation: 'CreateInstancesFromSnapshot' },
      {
        ...{ instanceNames: [wish.name], availabilityZone, bundleId: wish.bundle ?? snapshot.bundle ?? '' },
        ...(ofDay === null
          ? { instanceSnapshotName: name ?? snapshot.id }
          : { ...ofDay, sourceInstanceName: sourceName }),
      },
    );
    const reply = await api.call({ ...lightsail, operation: 'GetInstance' }, { instanceName: wish.name });
    return { kind: 'instance', id: idIn(textAt(reply, 'instance', 'supportCode')), name: wish.name, region };
  }
  if (wish.bundle !== null) throw new CommandError('--bundle goes with the snapshot of an instance');
  const sizeGib = wish.sizeGib ?? Math.ceil((snapshot.sizeBytes ?? 0) / GIB_BYTES);
  if (snapshot.face === 'lightsail') {
    await api.call(
      { ...lightsail, operation: 'CreateDiskFromSnapshot' },
      {
        ...{ diskName: wish.name, availabilityZone, sizeInGb: sizeGib },
        ...(ofDay === null ? { diskSnapshotName: name ?? snapshot.id } : { ...ofDay, sourceDiskName: sourceName }),
      },
    );
    const reply = await api.call({ ...lightsail, operation: 'GetDisk' }, { diskName: wish.name });
    return { kind: 'volume', id: idIn(textAt(reply, 'disk', 'supportCode')), name: wish.name, region };
  }
  const reply = await api.call(
    { service: 'ec2', operation: 'CreateVolume', region },
    {
      ...{ SnapshotId: snapshot.id, AvailabilityZone: availabilityZone, Size: sizeGib, VolumeType: 'gp3' },
      ...(snapshot.outpost === null ? {} : { OutpostArn: snapshot.outpost }),
      TagSpecifications: [{ ResourceType: 'volume', Tags: [{ Key: 'Name', Value: wish.name }] }],
    },
  );
  return { kind: 'volume', id: textAt(reply, 'VolumeId'), name: wish.name, region };
}

/** Removes a snapshot, of whichever service. Answers whether it is in the recycle bin now. */
export async function deleteSnapshot(options: ConfigOptions, snapshot: ListedResource): Promise<boolean> {
  const { id, region, name } = snapshot;
  const api = await ServerApi.find(options);
  api.checkOwn(snapshot);
  if (snapshot.instanceSnapshot !== null) {
    throw new CommandError(
      `${id} is a part of the snapshot of an instance, which is deleted as a whole: varve snapshot delete ${snapshot.instanceSnapshot}`,
    );
  }
  const lightsail = { service: 'lightsail', region } as const;
  if (snapshot.face === 'lightsail') {
    if (snapshot.autoDate !== null) {
      const input = { resourceName: snapshot.sourceName ?? '', date: snapshot.autoDate };
      await api.call({ ...lightsail, operation: 'DeleteAutoSnapshot' }, input);
    } else if (snapshot.kind === 'instance-snapshot') {
      await api.call({ ...lightsail, operation: 'DeleteInstanceSnapshot' }, { instanceSnapshotName: name ?? id });
    } else {
      await api.call({ ...lightsail, operation: 'DeleteDiskSnapshot' }, { diskSnapshotName: name ?? id });
    }
    return false;
  }
  await api.call({ service: 'ec2', operation: 'DeleteSnapshot', region }, { SnapshotId: id });
  try {
    return (await findResource(options, id)).state === 'recoverable';
  } catch (error) {
    if (error instanceof ServerAwayError) throw error;
    return false; // It is gone.
  }
}

/** `disk-1-20261121-093000`. */
function nameAt(source: ListedResource, nowMs: number): string {
  const time = new Date(nowMs).toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-');
  return `${(source.name ?? source.id).slice(0, NAME_LENGTH_MAX - time.length - 1)}-${time}`;
}
