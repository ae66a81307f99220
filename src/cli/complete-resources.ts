/** Names of what the local server has, where an option names something that exists. */
import { systemClock } from '#base/clock.ts';
import type { Document, DocumentRecord, InputRecord } from '#client/command.ts';
import type { ServiceName } from '#wire/aws/operations.ts';

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
  try {
    const late = systemClock.sleep(ANSWER_MS_MAX).then((): readonly string[] => []);
    return await Promise.race([listed(service === 'ebs' ? 'ec2' : service, listing), late]);
  } catch {
    // Somebody is typing: what cannot be known now is not completed.
    return [];
  }
}

async function listed(service: ServiceName, { operation, path, input = {} }: Listing): Promise<readonly string[]> {
  const [{ ServerApi }, { dataDirectoryOf }, { readServerFile }] = await Promise.all([
    import('./server-api.ts'),
    import('#src/config.ts'),
    import('./server-file.ts'),
  ]);
  const server = await readServerFile(dataDirectoryOf({}, process.env));
  if (server === null) return [];
  const api = await ServerApi.find({});
  const reply = await api.call({ service, operation, region: process.env['AWS_REGION'] ?? server.region }, input);
  return namesAt(reply, path);
}

function namesAt(document: Document | undefined, path: readonly string[]): readonly string[] {
  if (Array.isArray(document)) return document.flatMap((item: Document) => namesAt(item, path));
  const [name, ...rest] = path;
  if (name === undefined) return typeof document === 'string' ? [document] : [];
  if (typeof document !== 'object' || document === null || !Object.hasOwn(document, name)) return [];
  return namesAt((document as DocumentRecord)[name], rest);
}
