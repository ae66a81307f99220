/** Names of what the local server has, where an option names something that exists. */
import { systemClock } from '#base/clock.ts';
import type { Document, DocumentRecord, InputRecord } from '#client/command.ts';
import type { ServiceName } from '#wire/aws/operations.ts';

import type { ResourceKind } from './complete.ts';

/** How to list what an option names. */
interface Listing {
  readonly operation: string;
  /** Members of the reply on the way to the names; lists are walked through. */
  readonly path: readonly string[];
  readonly input?: InputRecord;
}

const DISKS: Listing = { operation: 'GetDisks', path: ['disks', 'name'] };
const DISK_SNAPSHOTS: Listing = { operation: 'GetDiskSnapshots', path: ['diskSnapshots', 'name'] };
const INSTANCES: Listing = { operation: 'GetInstances', path: ['instances', 'name'] };
const INSTANCE_SNAPSHOTS: Listing = { operation: 'GetInstanceSnapshots', path: ['instanceSnapshots', 'name'] };
const VOLUMES: Listing = { operation: 'DescribeVolumes', path: ['Volumes', 'VolumeId'] };
const SNAPSHOTS: Listing = {
  operation: 'DescribeSnapshots',
  path: ['Snapshots', 'SnapshotId'],
  input: { OwnerIds: ['self'] },
};
const EC2_INSTANCES: Listing = { operation: 'DescribeInstances', path: ['Reservations', 'Instances', 'InstanceId'] };

const LISTINGS: Readonly<Partial<Record<ServiceName, Readonly<Record<string, Listing>>>>> = {
  lightsail: {
    '--disk-name': DISKS,
    '--disk-snapshot-name': DISK_SNAPSHOTS,
    '--instance-name': INSTANCES,
    '--instance-snapshot-name': INSTANCE_SNAPSHOTS,
    '--source-resource-name': INSTANCES,
    '--source-snapshot-name': DISK_SNAPSHOTS,
  },
  ec2: {
    '--volume-id': VOLUMES,
    '--volume-ids': VOLUMES,
    '--snapshot-id': SNAPSHOTS,
    '--snapshot-ids': SNAPSHOTS,
    '--source-snapshot-id': SNAPSHOTS,
    '--instance-id': EC2_INSTANCES,
    '--instance-ids': EC2_INSTANCES,
  },
  ebs: {
    '--snapshot-id': SNAPSHOTS,
    '--first-snapshot-id': SNAPSHOTS,
    '--second-snapshot-id': SNAPSHOTS,
    '--parent-snapshot-id': SNAPSHOTS,
  },
};

/** Options that name what is yet to be made. */
const NEW_NAMES = new Set([
  'CreateDisk --disk-name',
  'CreateDiskFromSnapshot --disk-name',
  'CreateDiskSnapshot --disk-snapshot-name',
  'CreateInstanceSnapshot --instance-snapshot-name',
]);

/** Who presses the key waits no longer than this for names. */
const ANSWER_MS_MAX = 1_500;

/** Empty where no server runs, and where it does not answer soon. */
export async function resourceNames(
  service: ServiceName,
  operation: string,
  option: string,
): Promise<readonly string[]> {
  const listing = LISTINGS[service]?.[option];
  if (listing === undefined || NEW_NAMES.has(`${operation} ${option}`)) return [];
  return await soon(listed(service === 'ebs' ? 'ec2' : service, listing));
}

/** Names of what there is of these kinds in all accounts and regions; of instances those of the first account. */
export async function kindNames(kinds: readonly ResourceKind[]): Promise<readonly string[]> {
  const names = await Promise.all(kinds.map(async (kind) => await soon(NAMES_OF[kind]())));
  return [...new Set(names.flat())];
}

const NAMES_OF: Readonly<Record<ResourceKind, () => Promise<readonly string[]>>> = {
  disk: async () => (await (await import('./volumes.ts')).allVolumes({})).map(typedName),
  snapshot: async () => (await (await import('./snapshots.ts')).allSnapshots({})).map(typedName),
  'instance-snapshot': async () =>
    (await (await import('./instance-snapshots.ts')).allInstanceSnapshots({})).map(typedName),
  instance: async () =>
    (await Promise.all([soon(listed('lightsail', INSTANCES)), soon(listed('ec2', EC2_INSTANCES))])).flat(),
};

/** Its name, or the id of what has none, or one that a shell would split. */
function typedName({ id, name }: { readonly id: string; readonly name: string | null }): string {
  return name !== null && /^[\w.@+-]+$/.test(name) ? name : id;
}

/** Somebody is typing: what cannot be known now is not completed. */
async function soon(names: Promise<readonly string[]>): Promise<readonly string[]> {
  const late = systemClock.sleep(ANSWER_MS_MAX).then((): readonly string[] => []);
  return await Promise.race([names, late]).catch((): readonly string[] => []);
}

async function listed(service: ServiceName, { operation, path, input = {} }: Listing): Promise<readonly string[]> {
  const { ServerApi } = await import('./server-api.ts');
  const api = await ServerApi.find({});
  const reply = await api.call({ service, operation, region: process.env['AWS_REGION'] ?? api.region }, input);
  return namesAt(reply, path);
}

function namesAt(document: Document | undefined, path: readonly string[]): readonly string[] {
  if (Array.isArray(document)) return document.flatMap((item: Document) => namesAt(item, path));
  const [name, ...rest] = path;
  if (name === undefined) return typeof document === 'string' ? [document] : [];
  if (typeof document !== 'object' || document === null || !Object.hasOwn(document, name)) return [];
  return namesAt((document as DocumentRecord)[name], rest);
}
