import { defineFace } from '#api/handler.ts';
import { describeAccountAttributes } from './account-attributes.ts';
import { attachVolume, detachVolume } from './attachments.ts';
import {
  disableEbsEncryptionByDefault,
  enableEbsEncryptionByDefault,
  getEbsDefaultKmsKeyId,
  getEbsEncryptionByDefault,
  modifyEbsDefaultKmsKeyId,
  resetEbsDefaultKmsKeyId,
} from './encryption-defaults.ts';
import { mapFailure } from './errors.ts';
import {
  describeFastSnapshotRestores,
  disableFastSnapshotRestores,
  enableFastSnapshotRestores,
} from './fast-restores.ts';
import { describeAvailabilityZones, describeRegions } from './regions.ts';
import {
  describeSnapshotAttribute,
  disableSnapshotBlockPublicAccess,
  enableSnapshotBlockPublicAccess,
  getSnapshotBlockPublicAccessState,
  modifySnapshotAttribute,
  resetSnapshotAttribute,
} from './snapshot-attributes.ts';
import { copySnapshot } from './snapshot-copies.ts';
import { createSnapshots } from './snapshot-sets.ts';
import { createSnapshot, deleteSnapshot, describeSnapshots } from './snapshots.ts';
import {
  listSnapshotsInRecycleBin,
  listVolumesInRecycleBin,
  restoreSnapshotFromRecycleBin,
  restoreVolumeFromRecycleBin,
} from './recycle-bin.ts';
import { describeSnapshotTierStatus, modifySnapshotTier, restoreSnapshotTier } from './snapshot-tiers.ts';
import { describeLockedSnapshots, lockSnapshot, unlockSnapshot } from './snapshot-locks.ts';
import { createTags, deleteTags, describeTags } from './tags.ts';
import { copyVolumes } from './volume-copies.ts';
import { describeVolumesModifications, modifyVolume } from './volume-modifications.ts';
import {
  describeVolumeAttribute,
  describeVolumeStatus,
  enableVolumeIo,
  modifyVolumeAttribute,
} from './volume-status.ts';
import { createVolume, deleteVolume, describeVolumes } from './volumes.ts';

/** EC2: volumes, snapshots, their tags, and where they can be. */
export const ec2Face = defineFace({
  service: 'ec2',
  handlers: {
    AttachVolume: attachVolume,
    CopySnapshot: copySnapshot,
    CopyVolumes: copyVolumes,
    CreateSnapshot: createSnapshot,
    CreateSnapshots: createSnapshots,
    CreateTags: createTags,
    CreateVolume: createVolume,
    DeleteSnapshot: deleteSnapshot,
    DeleteTags: deleteTags,
    DeleteVolume: deleteVolume,
    DescribeAccountAttributes: describeAccountAttributes,
    DescribeAvailabilityZones: describeAvailabilityZones,
    DescribeFastSnapshotRestores: describeFastSnapshotRestores,
    DescribeLockedSnapshots: describeLockedSnapshots,
    DescribeRegions: describeRegions,
    DescribeSnapshotAttribute: describeSnapshotAttribute,
    DescribeSnapshotTierStatus: describeSnapshotTierStatus,
    DescribeSnapshots: describeSnapshots,
    DescribeTags: describeTags,
    DescribeVolumeAttribute: describeVolumeAttribute,
    DescribeVolumeStatus: describeVolumeStatus,
    DescribeVolumes: describeVolumes,
    DescribeVolumesModifications: describeVolumesModifications,
    DetachVolume: detachVolume,
    DisableEbsEncryptionByDefault: disableEbsEncryptionByDefault,
    DisableFastSnapshotRestores: disableFastSnapshotRestores,
    DisableSnapshotBlockPublicAccess: disableSnapshotBlockPublicAccess,
    EnableEbsEncryptionByDefault: enableEbsEncryptionByDefault,
    EnableFastSnapshotRestores: enableFastSnapshotRestores,
    EnableSnapshotBlockPublicAccess: enableSnapshotBlockPublicAccess,
    EnableVolumeIO: enableVolumeIo,
    GetEbsDefaultKmsKeyId: getEbsDefaultKmsKeyId,
    GetEbsEncryptionByDefault: getEbsEncryptionByDefault,
    GetSnapshotBlockPublicAccessState: getSnapshotBlockPublicAccessState,
    ListSnapshotsInRecycleBin: listSnapshotsInRecycleBin,
    ListVolumesInRecycleBin: listVolumesInRecycleBin,
    LockSnapshot: lockSnapshot,
    ModifyEbsDefaultKmsKeyId: modifyEbsDefaultKmsKeyId,
    ModifySnapshotAttribute: modifySnapshotAttribute,
    ModifySnapshotTier: modifySnapshotTier,
    ModifyVolume: modifyVolume,
    ModifyVolumeAttribute: modifyVolumeAttribute,
    ResetEbsDefaultKmsKeyId: resetEbsDefaultKmsKeyId,
    ResetSnapshotAttribute: resetSnapshotAttribute,
    RestoreSnapshotFromRecycleBin: restoreSnapshotFromRecycleBin,
    RestoreSnapshotTier: restoreSnapshotTier,
    RestoreVolumeFromRecycleBin: restoreVolumeFromRecycleBin,
    UnlockSnapshot: unlockSnapshot,
  },
  repeatable: ['Describe', 'Get', 'List'],
  mapFailure,
});
