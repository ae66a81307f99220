import { systemClock } from '#base/clock.ts';
import type { ConfigOptions } from '#src/config.ts';

import { CommandError } from './command-error.ts';
import { findResource, type ListedResource } from './listed-resource.ts';
import { ServerApi, textAt } from './server-api.ts';

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

/** Asks for a snapshot of a disk, or of an instance with all of its disks at one instant; answers when the instant has passed. */
export async function createSnapshot(
  options: ConfigOptions,
  wish: SnapshotWish,
): Promise<{ readonly made: Made; readonly snapshots: readonly string[] }> {
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
  const description = wish.description ?? name;
  const tags = [{ ResourceType: 'snapshot', Tags: [{ Key: 'Name', Value: name }] }];
  if (source.kind === 'volume') {
    const reply = await api.call(
      { service: 'ec2', operation: 'CreateSnapshot', region },
      { VolumeId: source.id, Description: description, TagSpecifications: tags },
    );
    const id = textAt(reply, 'SnapshotId');
    return { made: { kind: 'snapshot', id, name, region }, snapshots: [id] };
  }
  const reply = await api.call(
    { service: 'ec2', operation: 'CreateSnapshots', region },
    { InstanceSpecification: { InstanceId: source.id }, Description: description, TagSpecifications: tags },
  );
  const all = Array.isArray(reply['Snapshots']) ? reply['Snapshots'] : [];
  const snapshots = all.map((_, at) => textAt(reply, 'Snapshots', at, 'SnapshotId'));
  return { made: { kind: 'snapshot', id: snapshots.join(' '), name, region }, snapshots };
}

async function createInLightsail(
  options: ConfigOptions,
  { api, source, name }: { readonly api: ServerApi; readonly source: ListedResource; readonly name: string },
): Promise<{ readonly made: Made; readonly snapshots: readonly string[] }> {
  const { region } = source;
  const sourceName = source.name ?? source.id;
  const lightsail = { service: 'lightsail', region } as const;
  if (source.kind === 'volume') {
    const input = { diskName: sourceName, diskSnapshotName: name };
    await api.call({ ...lightsail, operation: 'CreateDiskSnapshot' }, input);
    const reply = await api.call({ ...lightsail, operation: 'GetDiskSnapshot' }, { diskSnapshotName: name });
    const id = textAt(reply, 'diskSnapshot', 'supportCode').split('/').at(-1) ?? name;
    return { made: { kind: 'snapshot', id, name, region }, snapshots: [id] };
  }
  const input = { instanceName: sourceName, instanceSnapshotName: name };
  await api.call({ ...lightsail, operation: 'CreateInstanceSnapshot' }, input);
  const made = await findResource(options, name);
  return { made: { kind: 'instance-snapshot', id: made.id, name, region }, snapshots: made.parts };
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
  const { region } = snapshot;
  const availabilityZone = wish.zone ?? `${region}a`;
  if (snapshot.kind === 'instance-snapshot') {
    if (wish.sizeGib !== null) throw new CommandError("--size-in-gb: the size of an instance's disk is its bundle's");
    await api.call(
      { service: 'lightsail', operation: 'CreateInstancesFromSnapshot', region },
      {
        ...{ instanceNames: [wish.name], availabilityZone, bundleId: wish.bundle ?? snapshot.bundle ?? '' },
        instanceSnapshotName: snapshot.name ?? snapshot.id,
      },
    );
    return { kind: 'instance', id: (await findResource(options, wish.name)).id, name: wish.name, region };
  }
  if (wish.bundle !== null) throw new CommandError('--bundle goes with the snapshot of an instance');
  const sizeGib = wish.sizeGib ?? Math.ceil((snapshot.sizeBytes ?? 0) / GIB_BYTES);
  if (snapshot.face === 'lightsail') {
    await api.call(
      { service: 'lightsail', operation: 'CreateDiskFromSnapshot', region },
      { diskName: wish.name, diskSnapshotName: snapshot.name ?? snapshot.id, availabilityZone, sizeInGb: sizeGib },
    );
    return { kind: 'volume', id: (await findResource(options, wish.name)).id, name: wish.name, region };
  }
  const reply = await api.call(
    { service: 'ec2', operation: 'CreateVolume', region },
    {
      ...{ SnapshotId: snapshot.id, AvailabilityZone: availabilityZone, Size: sizeGib, VolumeType: 'gp3' },
      TagSpecifications: [{ ResourceType: 'volume', Tags: [{ Key: 'Name', Value: wish.name }] }],
    },
  );
  return { kind: 'volume', id: textAt(reply, 'VolumeId'), name: wish.name, region };
}

/** Removes a snapshot, of whichever service. Answers what it was. */
export async function deleteSnapshot(options: ConfigOptions, nameOrId: string): Promise<ListedResource> {
  const snapshot = await findResource(options, nameOrId);
  if (snapshot.kind === 'volume' || snapshot.kind === 'instance') throw new CommandError(`${nameOrId} is no snapshot`);
  const api = await ServerApi.find(options);
  api.checkOwn(snapshot);
  const { region } = snapshot;
  if (snapshot.kind === 'instance-snapshot') {
    const input = { instanceSnapshotName: snapshot.name ?? snapshot.id };
    await api.call({ service: 'lightsail', operation: 'DeleteInstanceSnapshot', region }, input);
  } else if (snapshot.face === 'lightsail') {
    const input = { diskSnapshotName: snapshot.name ?? snapshot.id };
    await api.call({ service: 'lightsail', operation: 'DeleteDiskSnapshot', region }, input);
  } else {
    await api.call({ service: 'ec2', operation: 'DeleteSnapshot', region }, { SnapshotId: snapshot.id });
  }
  return snapshot;
}

/** `disk-1-20261121-093000`. */
function nameAt(source: ListedResource, nowMs: number): string {
  const time = new Date(nowMs).toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-');
  return `${(source.name ?? source.id).slice(0, NAME_LENGTH_MAX - time.length - 1)}-${time}`;
}
