import { createHash } from 'node:crypto';
import type { Blueprint } from './blueprint.ts';
import type { ImageId, InstanceId, RegionName, SnapshotId, VolumeId } from './ids.ts';
import type { Tag } from './tags.ts';
import type { Scope, Tags, VolumeType } from './volume.ts';

/** A volume that every machine made from an image gets. */
export interface ImageDevice {
  /** `/dev/xvdf`; of the system volume whatever its image calls it. */
  readonly device: string;
  /** Null: an empty one. */
  readonly snapshot: SnapshotId | null;
  readonly sizeGib: number;
  readonly type: VolumeType;
  readonly iops: number | null;
  readonly throughputMibps: number | null;
  readonly deleteOnTermination: boolean;
}

/** What is cut for an image when its machine is shut down. */
export interface ImageCut {
  /** In the order of the image's devices. */
  readonly volumes: readonly VolumeId[];
  readonly snapshotTags: readonly Tag[];
}

/** What machines are made from in EC2: registered snapshots. While one is, no snapshot of it can be deleted. */
export interface Image extends Scope {
  readonly id: ImageId;
  /** Unique in an account and region. */
  readonly name: string;
  readonly description: string;
  readonly createdAtMs: number;
  /** Its system volume is the first. */
  readonly devices: readonly ImageDevice[];
  /** What it was made of by CreateImage; null: snapshots were registered. */
  readonly sourceInstance: InstanceId | null;
  /** Who logs in by ssh. */
  readonly userName: string;
  readonly enaSupport: boolean;
  /** Its machine is shut down first, and then cut (CreateImage with a reboot): until that is done its devices have no snapshots. Missing: it is done. */
  readonly cutWanted?: ImageCut;
  /** Why its snapshots were never made; missing: they were, or may be. */
  readonly failure?: string;
  /** The blueprint that it is; null: somebody registered it. */
  readonly blueprint: string | null;
  readonly tags: Tags;
}

/** `pending` until every snapshot is made and complete; `failed` when one never will be. */
export type ImageState = 'pending' | 'available' | 'failed';

/** Who logs in to machines of images of which nothing is known. */
export const IMAGE_USER_NAME = 'admin';

/**
 * The id under which a blueprint is an image of a region: always the same while it has the same content, since an image never
 * changes.
 */
export function imageIdOf({ id, snapshot }: Pick<Blueprint, 'id' | 'snapshot'>, region: RegionName): ImageId {
  const digest = createHash('sha256').update(`image\n${region}\n${id}\n${snapshot}`).digest('hex');
  return `ami-0${digest.slice(0, 16)}` as ImageId;
}

/** EC2's rule, in words. */
export const IMAGE_NAME_RULE = "3 to 128 letters, digits, spaces and ( ) [ ] . / - ' @ _";

const NAME = /^[A-Za-z0-9()[\] ./\-'@_]{3,128}$/;

export function isImageName(text: string): boolean {
  return NAME.test(text);
}
