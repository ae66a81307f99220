import { defineFace } from '#api/handler.ts';
import {
  describeAddresses,
  describeAggregateIdFormat,
  describeConversionTasks,
  describeExportTasks,
  describeIdFormat,
  describeIdentityIdFormat,
  describeInstanceTypeOfferings,
  describeInternetGateways,
  describeLaunchTemplateVersions,
  describeLaunchTemplates,
  describePrincipalIdFormat,
  describeRouteTables,
  describeVpcAttribute,
  getImageBlockPublicAccessState,
  getPasswordData,
  getSerialConsoleAccessStatus,
  unmonitorInstances,
} from './absent.ts';
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
import { createImage, deregisterImage, describeImages, registerImage } from './images.ts';
import { describeInstanceAttribute, modifyInstanceAttribute } from './instance-attributes.ts';
import { runInstances } from './instance-creation.ts';
import { modifyInstanceMetadataOptions } from './instance-metadata.ts';
import { rebootInstances, startInstances, stopInstances, terminateInstances } from './instance-power.ts';
import { describeInstanceTypes } from './instance-types.ts';
import {
  describeInstanceCreditSpecifications,
  describeInstances,
  describeInstanceStatus,
  getConsoleOutput,
} from './instances.ts';
import { createKeyPair, deleteKeyPair, describeKeyPairs, importKeyPair } from './key-pairs.ts';
import { describeNetworkInterfaces, describeSecurityGroups, describeSubnets, describeVpcs } from './networks.ts';
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
    CreateImage: createImage,
    CreateKeyPair: createKeyPair,
    CreateSnapshot: createSnapshot,
    CreateSnapshots: createSnapshots,
    CreateTags: createTags,
    CreateVolume: createVolume,
    DeleteKeyPair: deleteKeyPair,
    DeleteSnapshot: deleteSnapshot,
    DeleteTags: deleteTags,
    DeleteVolume: deleteVolume,
    DeregisterImage: deregisterImage,
    DescribeAccountAttributes: describeAccountAttributes,
    DescribeAddresses: describeAddresses,
    DescribeAggregateIdFormat: describeAggregateIdFormat,
    DescribeAvailabilityZones: describeAvailabilityZones,
    DescribeConversionTasks: describeConversionTasks,
    DescribeExportTasks: describeExportTasks,
    DescribeFastSnapshotRestores: describeFastSnapshotRestores,
    DescribeIdFormat: describeIdFormat,
    DescribeIdentityIdFormat: describeIdentityIdFormat,
    DescribeImages: describeImages,
    DescribeInstanceAttribute: describeInstanceAttribute,
    DescribeInstanceCreditSpecifications: describeInstanceCreditSpecifications,
    DescribeInstanceStatus: describeInstanceStatus,
    DescribeInstanceTypeOfferings: describeInstanceTypeOfferings,
    DescribeInstanceTypes: describeInstanceTypes,
    DescribeInstances: describeInstances,
    DescribeInternetGateways: describeInternetGateways,
    DescribeKeyPairs: describeKeyPairs,
    DescribeLaunchTemplateVersions: describeLaunchTemplateVersions,
    DescribeLaunchTemplates: describeLaunchTemplates,
    DescribeLockedSnapshots: describeLockedSnapshots,
    DescribeNetworkInterfaces: describeNetworkInterfaces,
    DescribePrincipalIdFormat: describePrincipalIdFormat,
    DescribeRegions: describeRegions,
    DescribeRouteTables: describeRouteTables,
    DescribeSecurityGroups: describeSecurityGroups,
    DescribeSnapshotAttribute: describeSnapshotAttribute,
    DescribeSnapshotTierStatus: describeSnapshotTierStatus,
    DescribeSnapshots: describeSnapshots,
    DescribeSubnets: describeSubnets,
    DescribeTags: describeTags,
    DescribeVolumeAttribute: describeVolumeAttribute,
    DescribeVolumeStatus: describeVolumeStatus,
    DescribeVolumes: describeVolumes,
    DescribeVolumesModifications: describeVolumesModifications,
    DescribeVpcAttribute: describeVpcAttribute,
    DescribeVpcs: describeVpcs,
    DetachVolume: detachVolume,
    DisableEbsEncryptionByDefault: disableEbsEncryptionByDefault,
    DisableFastSnapshotRestores: disableFastSnapshotRestores,
    DisableSnapshotBlockPublicAccess: disableSnapshotBlockPublicAccess,
    EnableEbsEncryptionByDefault: enableEbsEncryptionByDefault,
    EnableFastSnapshotRestores: enableFastSnapshotRestores,
    EnableSnapshotBlockPublicAccess: enableSnapshotBlockPublicAccess,
    EnableVolumeIO: enableVolumeIo,
    GetConsoleOutput: getConsoleOutput,
    GetEbsDefaultKmsKeyId: getEbsDefaultKmsKeyId,
    GetEbsEncryptionByDefault: getEbsEncryptionByDefault,
    GetImageBlockPublicAccessState: getImageBlockPublicAccessState,
    GetPasswordData: getPasswordData,
    GetSerialConsoleAccessStatus: getSerialConsoleAccessStatus,
    GetSnapshotBlockPublicAccessState: getSnapshotBlockPublicAccessState,
    ImportKeyPair: importKeyPair,
    ListSnapshotsInRecycleBin: listSnapshotsInRecycleBin,
    ListVolumesInRecycleBin: listVolumesInRecycleBin,
    LockSnapshot: lockSnapshot,
    ModifyEbsDefaultKmsKeyId: modifyEbsDefaultKmsKeyId,
    ModifyInstanceAttribute: modifyInstanceAttribute,
    ModifyInstanceMetadataOptions: modifyInstanceMetadataOptions,
    ModifySnapshotAttribute: modifySnapshotAttribute,
    ModifySnapshotTier: modifySnapshotTier,
    ModifyVolume: modifyVolume,
    ModifyVolumeAttribute: modifyVolumeAttribute,
    RebootInstances: rebootInstances,
    RegisterImage: registerImage,
    ResetEbsDefaultKmsKeyId: resetEbsDefaultKmsKeyId,
    ResetSnapshotAttribute: resetSnapshotAttribute,
    RestoreSnapshotFromRecycleBin: restoreSnapshotFromRecycleBin,
    RestoreSnapshotTier: restoreSnapshotTier,
    RestoreVolumeFromRecycleBin: restoreVolumeFromRecycleBin,
    RunInstances: runInstances,
    StartInstances: startInstances,
    StopInstances: stopInstances,
    TerminateInstances: terminateInstances,
    UnlockSnapshot: unlockSnapshot,
    UnmonitorInstances: unmonitorInstances,
  },
  repeatable: ['Describe', 'Get', 'List'],
  mapFailure,
});
