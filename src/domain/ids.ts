import type { Random } from '#base/random.ts';

declare const brand: unique symbol;
type Branded<B extends string> = string & { readonly [brand]: B };

/** `vol-` and 8 or 17 hexadecimal digits. */
export type VolumeId = Branded<'VolumeId'>;
/** `snap-` and 8 or 17 hexadecimal digits. */
export type SnapshotId = Branded<'SnapshotId'>;
/** `i-` and 8 or 17 hexadecimal digits. */
export type InstanceId = Branded<'InstanceId'>;
/** `isnap-` and 17 hexadecimal digits. */
export type InstanceSnapshotId = Branded<'InstanceSnapshotId'>;
/** `key-` and 17 hexadecimal digits. */
export type KeyPairId = Branded<'KeyPairId'>;
/** `ami-` and 8 or 17 hexadecimal digits. */
export type ImageId = Branded<'ImageId'>;
/** `ip-` and 17 hexadecimal digits. */
export type StaticIpId = Branded<'StaticIpId'>;
/** `alarm-` and 17 hexadecimal digits. */
export type AlarmId = Branded<'AlarmId'>;
/** `contact-` and 17 hexadecimal digits. */
export type ContactMethodId = Branded<'ContactMethodId'>;
/** `export-` and 17 hexadecimal digits. */
export type ExportRecordId = Branded<'ExportRecordId'>;
/** `r-` and 17 hexadecimal digits: machines that one request made. */
export type ReservationId = Branded<'ReservationId'>;
/** What has an id of its own, a place in the names of Lightsail, and operations. */
export type ResourceId =
  | VolumeId
  | SnapshotId
  | InstanceId
  | InstanceSnapshotId
  | KeyPairId
  | ImageId
  | StaticIpId
  | AlarmId
  | ContactMethodId
  | ExportRecordId;
/** Unique in an account and region. */
export type KeyPairName = Branded<'KeyPairName'>;
/** Twelve decimal digits, leading zeros kept. */
export type AccountId = Branded<'AccountId'>;
/** `us-east-1` and the like. */
export type RegionName = Branded<'RegionName'>;
/** Names one cut for idempotence: a cut asked for twice under one id happens once. Equal to the snapshot's id where one snapshot is made. */
export type CutId = Branded<'CutId'>;
/**
 * What content descends from: the id of the first volume of a line. A volume begins a lineage unless it is restored from a
 * snapshot; a snapshot has its volume's; what is restored from it has the snapshot's. It is a value and no walk over
 * parents, so it stays true when snapshots in the middle are deleted.
 */
export type Lineage = Branded<'Lineage'>;
/** Counts the writers of a volume, from 1; a higher one fences every lower. */
export type Generation = number;
/** Counts a volume's cuts: epoch 1 is what is written before the first cut. Epoch 0 is content that came with the origin. */
export type Epoch = number;

const VOLUME_ID = /^vol-(?:[0-9a-f]{8}|[0-9a-f]{17})$/;
const SNAPSHOT_ID = /^snap-(?:[0-9a-f]{8}|[0-9a-f]{17})$/;
const INSTANCE_ID = /^i-(?:[0-9a-f]{8}|[0-9a-f]{17})$/;
const IMAGE_ID = /^ami-(?:[0-9a-f]{8}|[0-9a-f]{17})$/;
const KEY_PAIR_ID = /^key-[0-9a-f]{17}$/;
const ACCOUNT_ID = /^[0-9]{12}$/;

export function parseVolumeId(text: string): VolumeId | null {
  return VOLUME_ID.test(text) ? (text as VolumeId) : null;
}

export function parseSnapshotId(text: string): SnapshotId | null {
  return SNAPSHOT_ID.test(text) ? (text as SnapshotId) : null;
}

export function parseInstanceId(text: string): InstanceId | null {
  return INSTANCE_ID.test(text) ? (text as InstanceId) : null;
}

export function parseImageId(text: string): ImageId | null {
  return IMAGE_ID.test(text) ? (text as ImageId) : null;
}

export function parseKeyPairId(text: string): KeyPairId | null {
  return KEY_PAIR_ID.test(text) ? (text as KeyPairId) : null;
}

export function parseAccountId(text: string): AccountId | null {
  return ACCOUNT_ID.test(text) ? (text as AccountId) : null;
}

/** A new id with 17 digits (68 bits). AWS's long ids begin with 0; ours do too. */
export function newVolumeId(random: Random): VolumeId {
  return `vol-0${random.bytes(8).toString('hex')}` as VolumeId;
}

export function newSnapshotId(random: Random): SnapshotId {
  return `snap-0${random.bytes(8).toString('hex')}` as SnapshotId;
}

export function newInstanceId(random: Random): InstanceId {
  return `i-0${random.bytes(8).toString('hex')}` as InstanceId;
}

export function newInstanceSnapshotId(random: Random): InstanceSnapshotId {
  return `isnap-0${random.bytes(8).toString('hex')}` as InstanceSnapshotId;
}

export function newKeyPairId(random: Random): KeyPairId {
  return `key-0${random.bytes(8).toString('hex')}` as KeyPairId;
}

export function newImageId(random: Random): ImageId {
  return `ami-0${random.bytes(8).toString('hex')}` as ImageId;
}

export function newStaticIpId(random: Random): StaticIpId {
  return `ip-0${random.bytes(8).toString('hex')}` as StaticIpId;
}

export function newAlarmId(random: Random): AlarmId {
  return `alarm-0${random.bytes(8).toString('hex')}` as AlarmId;
}

export function newContactMethodId(random: Random): ContactMethodId {
  return `contact-0${random.bytes(8).toString('hex')}` as ContactMethodId;
}

export function newExportRecordId(random: Random): ExportRecordId {
  return `export-0${random.bytes(8).toString('hex')}` as ExportRecordId;
}

export function newReservationId(random: Random): ReservationId {
  return `r-0${random.bytes(8).toString('hex')}` as ReservationId;
}

/** A new account id. Never begins with 0, so that it survives tools that take it for a number. */
export function newAccountId(random: Random): AccountId {
  const first = 1 + (random.bytes(1).readUInt8() % 9);
  const rest = (random.bytes(8).readBigUInt64BE() % 100_000_000_000n).toString().padStart(11, '0');
  return `${first}${rest}` as AccountId;
}

/** `text` as a region; whether there is such a region is region.ts's business. */
export function regionName(text: string): RegionName {
  return text as RegionName;
}

/** A new cut that several snapshots have in common. */
export function newCutId(random: Random): CutId {
  return `cut-${random.bytes(16).toString('hex')}` as CutId;
}

/** What EC2 shows, and the records say, as the volume of a copied snapshot: AWS's placeholder, and no volume's id. */
export const COPIED_VOLUME_ID = 'vol-ffffffff' as VolumeId;

/** A cut of one snapshot alone carries the snapshot's id. */
export function cutIdOf(snapshot: SnapshotId): CutId {
  return snapshot as string as CutId;
}
