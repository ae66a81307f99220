import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadModel } from '#wire/aws/model.ts';
import type { ServiceName } from '#wire/aws/operations.ts';
import { dlmFace } from './dlm/face.ts';
import { ebsFace } from './ebs/face.ts';
import { ec2Face } from './ec2/face.ts';
import type { Face } from './handler.ts';
import { iamFace } from './iam/face.ts';
import { kmsFace } from './kms/face.ts';
import { lightsailFace } from './lightsail/face.ts';
import { rbinFace } from './rbin/face.ts';
import { stsFace } from './sts/face.ts';

// What users of snapshots expect of each service, by name: an operation that is lost from a face is missed here.

const words = (text: string): readonly string[] => text.trim().split(/\s+/);

/** Without those that exchange images with a bucket. */
const EXPECTED: Readonly<Record<string, readonly string[]>> = {
  ec2: words(`
    CreateVolume DescribeVolumes DeleteVolume CreateSnapshot DescribeSnapshots DeleteSnapshot
    CreateTags DeleteTags DescribeTags DescribeRegions DescribeAvailabilityZones DescribeAccountAttributes
    CopySnapshot CreateSnapshots CopyVolumes
    DescribeSnapshotAttribute ModifySnapshotAttribute ResetSnapshotAttribute
    DescribeVolumeAttribute ModifyVolumeAttribute DescribeVolumeStatus EnableVolumeIO
    ModifyVolume DescribeVolumesModifications
    ModifySnapshotTier RestoreSnapshotTier DescribeSnapshotTierStatus
    ListSnapshotsInRecycleBin RestoreSnapshotFromRecycleBin ListVolumesInRecycleBin RestoreVolumeFromRecycleBin
    LockSnapshot UnlockSnapshot DescribeLockedSnapshots
    EnableFastSnapshotRestores DisableFastSnapshotRestores DescribeFastSnapshotRestores
    EnableSnapshotBlockPublicAccess DisableSnapshotBlockPublicAccess GetSnapshotBlockPublicAccessState
    EnableEbsEncryptionByDefault DisableEbsEncryptionByDefault GetEbsEncryptionByDefault
    ModifyEbsDefaultKmsKeyId GetEbsDefaultKmsKeyId ResetEbsDefaultKmsKeyId
    AttachVolume DetachVolume
    RunInstances DescribeInstances DescribeInstanceStatus StartInstances StopInstances RebootInstances
    TerminateInstances DescribeInstanceAttribute ModifyInstanceAttribute DescribeInstanceTypes
    DescribeInstanceCreditSpecifications GetConsoleOutput
    DescribeImages RegisterImage DeregisterImage CreateImage
    CreateKeyPair ImportKeyPair DescribeKeyPairs DeleteKeyPair
    DescribeVpcs DescribeSubnets DescribeSecurityGroups DescribeNetworkInterfaces
  `),
  lightsail: words(`
    GetRegions GetBundles GetBlueprints GetActiveNames
    CreateInstances CreateInstancesFromSnapshot GetInstance GetInstances GetInstanceState StartInstance StopInstance
    RebootInstance DeleteInstance GetInstanceAccessDetails
    CreateKeyPair ImportKeyPair GetKeyPair GetKeyPairs DeleteKeyPair DownloadDefaultKeyPair
    CreateDisk CreateDiskFromSnapshot GetDisk GetDisks AttachDisk DetachDisk DeleteDisk
    CreateDiskSnapshot GetDiskSnapshot GetDiskSnapshots DeleteDiskSnapshot
    CreateInstanceSnapshot GetInstanceSnapshot GetInstanceSnapshots DeleteInstanceSnapshot
    EnableAddOn DisableAddOn GetAutoSnapshots DeleteAutoSnapshot
    GetOperation GetOperations GetOperationsForResource TagResource UntagResource
    CopySnapshot ExportSnapshot GetExportSnapshotRecords CreateCloudFormationStack GetCloudFormationStackRecords
    SetIpAddressType UpdateInstanceMetadataOptions
    AllocateStaticIp AttachStaticIp DetachStaticIp ReleaseStaticIp GetStaticIp GetStaticIps
    OpenInstancePublicPorts CloseInstancePublicPorts PutInstancePublicPorts GetInstancePortStates DeleteKnownHostKeys
    GetInstanceMetricData PutAlarm GetAlarms DeleteAlarm TestAlarm
    CreateContactMethod GetContactMethods DeleteContactMethod SendContactMethodVerification
  `),
  ebs: words(`
    ListSnapshotBlocks ListChangedBlocks GetSnapshotBlock PutSnapshotBlock StartSnapshot CompleteSnapshot
  `),
  rbin: words(`
    CreateRule DeleteRule GetRule ListRules LockRule UnlockRule UpdateRule TagResource UntagResource ListTagsForResource
  `),
  dlm: words(`
    CreateLifecyclePolicy DeleteLifecyclePolicy GetLifecyclePolicies GetLifecyclePolicy UpdateLifecyclePolicy
    TagResource UntagResource ListTagsForResource
  `),
  kms: words(`
    CreateKey DescribeKey ListKeys CreateAlias ListAliases DeleteAlias UpdateAlias EnableKey DisableKey
    ScheduleKeyDeletion CancelKeyDeletion GenerateDataKey GenerateDataKeyWithoutPlaintext Encrypt Decrypt ReEncrypt
    GetKeyPolicy PutKeyPolicy GetKeyRotationStatus ListResourceTags TagResource UntagResource
    CreateGrant ListGrants RevokeGrant RetireGrant ListRetirableGrants
    EnableKeyRotation DisableKeyRotation RotateKeyOnDemand ListKeyRotations ListKeyPolicies UpdateKeyDescription
    GenerateRandom GetParametersForImport ImportKeyMaterial DeleteImportedKeyMaterial
  `),
  sts: words('GetCallerIdentity AssumeRole GetSessionToken DecodeAuthorizationMessage GetAccessKeyInfo'),
  iam: words(`
    CreateUser GetUser ListUsers UpdateUser DeleteUser TagUser UntagUser ListUserTags ListGroupsForUser
    CreateAccessKey ListAccessKeys UpdateAccessKey DeleteAccessKey GetAccessKeyLastUsed
    AttachUserPolicy DetachUserPolicy ListAttachedUserPolicies
    PutUserPolicy GetUserPolicy DeleteUserPolicy ListUserPolicies
    PutUserPermissionsBoundary DeleteUserPermissionsBoundary
    CreateRole GetRole ListRoles UpdateRole UpdateRoleDescription DeleteRole UpdateAssumeRolePolicy
    TagRole UntagRole ListRoleTags ListInstanceProfilesForRole
    AttachRolePolicy DetachRolePolicy ListAttachedRolePolicies
    PutRolePolicy GetRolePolicy DeleteRolePolicy ListRolePolicies
    PutRolePermissionsBoundary DeleteRolePermissionsBoundary
    CreatePolicy GetPolicy ListPolicies DeletePolicy TagPolicy UntagPolicy ListPolicyTags ListEntitiesForPolicy
    CreatePolicyVersion GetPolicyVersion ListPolicyVersions DeletePolicyVersion SetDefaultPolicyVersion
    SimulatePrincipalPolicy GetAccountSummary ListAccountAliases
  `),
};

const FACES: readonly Face[] = [ec2Face, lightsailFace, ebsFace, rbinFace, dlmFace, kmsFace, stsFace, iamFace];

for (const { service, handlers } of FACES) {
  test(`${service} performs every operation that users of snapshots expect`, () => {
    const expected = EXPECTED[service] ?? [];
    assert.ok(expected.length > 0);
    const missing = expected.filter((operation) => !handlers.has(operation));
    assert.deepEqual(missing, []);
  });

  test(`${service} performs only operations that its model decodes`, () => {
    const { operations } = loadModel(service satisfies ServiceName);
    assert.deepEqual(
      [...handlers.keys()].filter((operation) => !operations.has(operation)),
      [],
    );
  });
}

test('lightsail answers every operation of its model: what it has not is said in its own words', () => {
  const missing = [...loadModel('lightsail').operations.keys()].filter((name) => !lightsailFace.handlers.has(name));
  assert.deepEqual(missing, []);
});
