import type { Fact } from '#control/identity/facts.ts';
import type { ImageDevice } from '#domain/image.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import { isRootName } from '#api/ec2/root-volume.ts';
import { type Input, type Key, recordOf, recordsOf, textOf } from './demand.ts';

// RunInstances makes volumes: those of the image, as the request changes them, and those that the request adds. Policies are
// asked about each, so that one that is not encrypted is not launched among others that are.

/** What policies can ask of each volume of one instance; at least one. `facts`: the image, and its snapshots. */
export function launchedVolumes(input: Input, facts: readonly Fact[]): readonly (readonly Key[])[] {
  const image = facts.find((fact) => fact.kind === 'image')?.image;
  const [root, ...others] = image?.devices ?? [];
  const mappings = recordsOf(input['BlockDeviceMappings']).filter((one) => textOf(one['VirtualName']) === null);
  const snapshots = facts.flatMap((fact) =>
    fact.kind === 'snapshots' ? fact.snapshots : fact.kind === 'snapshot' ? [fact.snapshot] : [],
  );
  const named = (device: ImageDevice): Input => mappings.find((one) => isFor(one, device, device === root)) ?? {};
  const devices = root === undefined ? [] : [root, ...others];
  const ofImage = devices
    .map((device) => [device, named(device)] as const)
    .filter(([, mapping]) => mapping['NoDevice'] === undefined)
    .map(([device, mapping]) => keysOf(recordOf(mapping['Ebs']), device, snapshots));
  const added = mappings
    .filter((one) => one['NoDevice'] === undefined && !devices.some((device) => isFor(one, device, device === root)))
    .map((one) => keysOf(recordOf(one['Ebs']), null, snapshots));
  const all = [...ofImage, ...added];
  return all.length === 0 ? [keysOf({}, null, snapshots)] : all;
}

function isFor(mapping: Input, { device }: ImageDevice, isRoot: boolean): boolean {
  const name = textOf(mapping['DeviceName']);
  return name !== null && (isRoot ? isRootName(name, device) : name === device);
}

function keysOf(ebs: Input, device: ImageDevice | null, snapshots: readonly Snapshot[]): readonly Key[] {
  const origin = textOf(ebs['SnapshotId']) ?? device?.snapshot ?? null;
  const snapshot = snapshots.find(({ id }) => id === origin);
  const size = numberOf(ebs['VolumeSize']) ?? device?.sizeGib ?? snapshot?.volumeSizeGib ?? null;
  const isEncrypted = ebs['Encrypted'] === true || (snapshot?.encryption ?? null) !== null;
  return [
    ['ec2:volumetype', [textOf(ebs['VolumeType']) ?? device?.type ?? 'gp2']],
    ['ec2:encrypted', [String(isEncrypted)]],
    ...optional('ec2:volumesize', size),
    ...optional('ec2:volumeiops', numberOf(ebs['Iops']) ?? device?.iops ?? null),
    ...optional('ec2:volumethroughput', numberOf(ebs['Throughput']) ?? device?.throughputMibps ?? null),
    ...optional('ec2:kmskeyid', textOf(ebs['KmsKeyId'])),
    ...optional('ec2:parentsnapshot', snapshot === undefined ? null : snapshotArn(snapshot)),
  ];
}

function snapshotArn({ region, id }: Snapshot): string {
  return `arn:aws:ec2:${region}::snapshot/${id}`;
}

function numberOf(value: unknown): number | null {
  return typeof value === 'number' ? value : null;
}

function optional(key: string, value: string | number | null): readonly Key[] {
  return value === null ? [] : [[key, [String(value)]]];
}
