import type { ImageSeen } from '#control/machines/images.ts';
import type { Scope } from '#domain/volume.ts';
import type { OutputOf } from '#wire/aws/operations.ts';
import { absentFilters, type FilterTable, type FilterTexts } from './filters.ts';
import { tagViews } from './tag-views.ts';

export type ImageView = NonNullable<OutputOf<'ec2', 'DescribeImages'>['Images']>[number];

/** Who EC2's clients look for when they want an image that nobody of theirs made: here a blueprint of the server. */
export const BLUEPRINT_OWNER = 'amazon';

const FAILED = 'A snapshot of the image cannot be used.';

export function imageView({ image, state, isEncrypted }: ImageSeen): ImageView {
  const isBlueprint = image.blueprint !== null;
  return {
    Architecture: 'x86_64',
    BlockDeviceMappings: image.devices.map((device, at) => ({
      DeviceName: device.device,
      Ebs: {
        DeleteOnTermination: device.deleteOnTermination,
        Encrypted: isEncrypted[at] === true,
        ...(device.iops === null ? {} : { Iops: device.iops }),
        ...(device.snapshot === null ? {} : { SnapshotId: device.snapshot }),
        ...(device.throughputMibps === null ? {} : { Throughput: device.throughputMibps }),
        VolumeSize: device.sizeGib,
        VolumeType: device.type,
      },
    })),
    BootMode: 'legacy-bios',
    CreationDate: new Date(image.createdAtMs).toISOString(),
    Description: image.description,
    EnaSupport: image.enaSupport,
    Hypervisor: 'xen', // EC2 says so of every image; there is no word for another.
    ImageId: image.id,
    ImageLocation: `${isBlueprint ? BLUEPRINT_OWNER : image.account}/${image.name}`,
    ...(isBlueprint ? { ImageOwnerAlias: BLUEPRINT_OWNER } : {}),
    ImageType: 'machine',
    Name: image.name,
    OwnerId: image.account,
    PlatformDetails: 'Linux/UNIX',
    Public: isBlueprint,
    RootDeviceName: rootOf(image.devices),
    RootDeviceType: 'ebs',
    ...(image.sourceInstance === null ? {} : { SourceInstanceId: image.sourceInstance }),
    State: state,
    ...(state === 'failed' ? { StateReason: { Code: 'Client.InternalError', Message: image.failure ?? FAILED } } : {}),
    Tags: tagViews(image.tags),
    UsageOperation: 'RunInstances',
    VirtualizationType: 'hvm',
  };
}

function rootOf(devices: ImageSeen['image']['devices']): string {
  return devices[0]?.device ?? '';
}

/** Whether `Owner` says this image's: an account, `self`, or an alias. */
export function isOwnedBy({ image }: ImageSeen, scope: Scope, owner: string): boolean {
  const isBlueprint = image.blueprint !== null;
  if (owner === 'self') return !isBlueprint && image.account === scope.account;
  return isBlueprint ? owner === BLUEPRINT_OWNER || owner === image.account : owner === image.account;
}

const NONE: readonly string[] = [];

function ofDevices(
  texts: (device: ImageSeen['image']['devices'][number]) => readonly string[],
): FilterTexts<ImageSeen> {
  return ({ image }) => image.devices.flatMap(texts);
}

const ABSENT: readonly string[] = [
  'image-watermark.source-image-creation-time',
  'image-watermark.source-image-id',
  'image-watermark.source-image-region',
  'image-watermark.watermark-creation-time',
  'image-watermark.watermark-key',
  'instance-type-specification.supported-instance-type',
  'instance-type-specification.unsupported-instance-type',
  'kernel-id',
  'platform',
  'product-code',
  'product-code.type',
  'public-ssm-parameter-name',
  'ramdisk-id',
  'scan-result.critical-fix-available-since',
  'scan-result.finding-scan-date',
  'scan-result.high-fix-available-since',
  'scan-result.highest-finding-severity-label',
  'scan-result.informational-fix-available-since',
  'scan-result.low-fix-available-since',
  'scan-result.medium-fix-available-since',
  'source-image-id',
  'source-image-region',
  'sriov-net-support',
];

export const imageFilters: FilterTable<ImageSeen> = {
  named: new Map<string, FilterTexts<ImageSeen>>([
    ...absentFilters<ImageSeen>(ABSENT),
    ['architecture', () => ['x86_64']],
    ['block-device-mapping.delete-on-termination', ofDevices((one) => [String(one.deleteOnTermination)])],
    ['block-device-mapping.device-name', ofDevices(({ device }) => [device])],
    ['block-device-mapping.encrypted', ({ isEncrypted }) => isEncrypted.map(String)],
    ['block-device-mapping.snapshot-id', ofDevices(({ snapshot }) => (snapshot === null ? NONE : [snapshot]))],
    ['block-device-mapping.volume-size', ofDevices(({ sizeGib }) => [String(sizeGib)])],
    ['block-device-mapping.volume-type', ofDevices(({ type }) => [type])],
    ['boot-mode', () => ['legacy-bios']],
    ['creation-date', ({ image }) => [new Date(image.createdAtMs).toISOString()]],
    ['description', ({ image }) => [image.description]],
    ['ena-support', ({ image }) => [String(image.enaSupport)]],
    ['free-tier-eligible', () => ['false']],
    ['hypervisor', () => ['xen']],
    ['image-allowed', () => ['true']],
    ['image-id', ({ image }) => [image.id]],
    ['image-type', () => ['machine']],
    ['is-public', ({ image }) => [String(image.blueprint !== null)]],
    [
      'manifest-location',
      ({ image }) => [`${image.blueprint === null ? image.account : BLUEPRINT_OWNER}/${image.name}`],
    ],
    ['name', ({ image }) => [image.name]],
    ['owner-alias', ({ image }) => (image.blueprint === null ? NONE : [BLUEPRINT_OWNER])],
    ['owner-id', ({ image }) => [image.account]],
    ['root-device-name', ({ image }) => [rootOf(image.devices)]],
    ['root-device-type', () => ['ebs']],
    ['source-instance-id', ({ image }) => (image.sourceInstance === null ? NONE : [image.sourceInstance])],
    ['state', ({ state }) => [state]],
    ['state-reason-code', ({ state }) => (state === 'failed' ? ['Client.InternalError'] : NONE)],
    ['state-reason-message', ({ state }) => (state === 'failed' ? [FAILED] : NONE)],
    ['tag-key', ({ image }) => Object.keys(image.tags)],
    ['virtualization-type', () => ['hvm']],
  ]),
  tags: ({ image }) => image.tags,
};
