import { zonesOf } from '#domain/region.ts';
import type { VolumeId } from '#domain/ids.ts';
import type { Volume, VolumeAttachment } from '#domain/volume.ts';
import type { OutputOf } from '#wire/aws/operations.ts';
import type { FilterTable, FilterTexts } from './filters.ts';
import { shownDevice } from './root-volume.ts';
import { tagViews } from './tag-views.ts';

export type VolumeView = NonNullable<OutputOf<'ec2', 'DescribeVolumes'>['Volumes']>[number];

type AttachmentView = OutputOf<'ec2', 'AttachVolume'>;

/** What CreateVolume answers: the state at its start, whatever has become of it by now, and no attachments. */
export function createdVolumeView(volume: Volume): VolumeView {
  return { ...commonView(volume), State: 'creating' };
}

/** What DescribeVolumes shows. */
export function volumeView(volume: Volume): VolumeView {
  return { ...commonView(volume), State: stateOf(volume), Attachments: attachmentViews(volume) };
}

function attachmentViews(volume: Volume): readonly AttachmentView[] {
  return volume.attachment === null ? [] : [attachmentView(volume.id, volume.attachment)];
}

/** What AttachVolume and DetachVolume answer, too. */
export function attachmentView(volume: VolumeId, attachment: VolumeAttachment): AttachmentView {
  const { attachedAtMs, deleteOnTermination, instance, state } = attachment;
  return {
    AttachTime: new Date(attachedAtMs),
    DeleteOnTermination: deleteOnTermination,
    Device: shownDevice(attachment),
    InstanceId: instance,
    State: state,
    VolumeId: volume,
  };
}

/** One in the recycle bin is shown by what lists the bin alone, as what it was. */
export function stateOf({ state, attachment }: Volume): Exclude<Volume['state'], 'recoverable'> | 'in-use' {
  if (state === 'available' && attachment !== null) return 'in-use';
  return state === 'recoverable' ? 'available' : state;
}

function commonView(volume: Volume): VolumeView {
  const zoneId = zoneIdOf(volume);
  return {
    AvailabilityZone: volume.zone,
    ...(zoneId === null ? {} : { AvailabilityZoneId: zoneId }),
    CreateTime: new Date(volume.createdAtMs),
    Encrypted: volume.encryption !== null,
    ...(volume.fastRestored ? { FastRestored: true } : {}),
    ...(volume.encryption === null ? {} : { KmsKeyId: volume.encryption.keyArn, SseType: 'sse-kms' }),
    ...(volume.iops === null ? {} : { Iops: volume.iops }),
    MultiAttachEnabled: volume.multiAttach,
    ...(volume.outpost === null ? {} : { OutpostArn: volume.outpost }),
    Size: volume.sizeGib,
    // Present and empty for a volume that came from nothing.
    SnapshotId: volume.origin ?? '',
    ...(volume.sourceVolume === null ? {} : { SourceVolumeId: volume.sourceVolume }),
    Tags: tagViews(volume.tags),
    ...(volume.throughputMibps === null ? {} : { Throughput: volume.throughputMibps }),
    VolumeId: volume.id,
    ...(volume.initializationRateMibps === null ? {} : { VolumeInitializationRate: volume.initializationRateMibps }),
    VolumeType: volume.type,
  };
}

/** The id of its zone; null: the region has no such zone. */
export function zoneIdOf(volume: Volume): string | null {
  return zonesOf(volume.region).find((zone) => zone.name === volume.zone)?.id ?? null;
}

function ofAttachment(text: (attachment: VolumeAttachment) => string): FilterTexts<Volume> {
  return ({ attachment }) => (attachment === null ? NONE : [text(attachment)]);
}

/** No volume here is run by another service. */
const NONE: readonly string[] = [];
const FALSE: readonly string[] = ['false'];

/** Every filter of EC2's DescribeVolumes, and `outpost-arn`, which it has for other resources. */
export const volumeFilters: FilterTable<Volume> = {
  named: new Map<string, FilterTexts<Volume>>([
    ['attachment.attach-time', ofAttachment(({ attachedAtMs }) => new Date(attachedAtMs).toISOString())],
    ['attachment.delete-on-termination', ofAttachment(({ deleteOnTermination }) => String(deleteOnTermination))],
    ['attachment.device', ofAttachment(shownDevice)],
    ['attachment.instance-id', ofAttachment(({ instance }) => instance)],
    ['attachment.status', ofAttachment(({ state }) => state)],
    ['availability-zone', (volume) => [volume.zone]],
    ['availability-zone-id', (volume) => [zoneIdOf(volume) ?? '']],
    ['create-time', (volume) => [new Date(volume.createdAtMs).toISOString()]],
    ['encrypted', (volume) => [String(volume.encryption !== null)]],
    ['fast-restored', ({ fastRestored }) => [String(fastRestored)]],
    ['multi-attach-enabled', (volume) => [String(volume.multiAttach)]],
    ['outpost-arn', ({ outpost }) => (outpost === null ? NONE : [outpost])],
    ['operator.managed', () => FALSE],
    ['operator.principal', () => NONE],
    ['size', (volume) => [String(volume.sizeGib)]],
    ['snapshot-id', (volume) => [volume.origin ?? '']],
    ['source-volume-id', (volume) => (volume.sourceVolume === null ? [] : [volume.sourceVolume])],
    ['status', (volume) => [stateOf(volume)]],
    ['tag-key', (volume) => Object.keys(volume.tags)],
    ['volume-id', (volume) => [volume.id]],
    ['volume-type', (volume) => [volume.type]],
  ]),
  tags: (volume) => volume.tags,
};
