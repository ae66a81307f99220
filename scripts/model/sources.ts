/** Which packages the models are distilled from, and what each service looks like on the wire. */
import type { ProtocolName } from '#wire/aws/model.ts';
import type { ServiceName } from '#wire/aws/operations.ts';

export interface ServiceSource {
  readonly service: Exclude<ServiceName, 'rbin'>;
  readonly package: string;
  /** Base class of the package's errors; not an error of the wire. */
  readonly baseError: string;
  readonly protocol: ProtocolName;
  readonly apiVersion: string;
  readonly targetPrefix?: string;
  readonly xmlNamespace?: string;
  /** Null: all of them. */
  readonly operations: readonly string[] | null;
}

function words(text: string): string[] {
  return text.trim().split(/\s+/);
}

/** The operations that a snapshot cloud answers, needs around itself, or at least recognises; the others are listed by name only. */
const ec2Operations = words(`
  CreateVolume DescribeVolumes DeleteVolume AttachVolume DetachVolume
  CreateSnapshot DescribeSnapshots DeleteSnapshot
  CreateTags DeleteTags DescribeTags
  DescribeRegions DescribeAvailabilityZones DescribeAccountAttributes
  RunInstances DescribeInstances DescribeInstanceStatus StartInstances StopInstances RebootInstances TerminateInstances
  DescribeInstanceAttribute ModifyInstanceAttribute DescribeInstanceTypes DescribeInstanceCreditSpecifications
  DescribeImages RegisterImage DeregisterImage CreateImage
  CreateKeyPair ImportKeyPair DescribeKeyPairs DeleteKeyPair
  DescribeVpcs DescribeSubnets DescribeSecurityGroups DescribeNetworkInterfaces

  CopySnapshot CreateSnapshots CopyVolumes
  DescribeSnapshotAttribute ModifySnapshotAttribute ResetSnapshotAttribute
  DescribeVolumeAttribute ModifyVolumeAttribute DescribeVolumeStatus EnableVolumeIO
  ModifyVolume DescribeVolumesModifications
  ModifySnapshotTier RestoreSnapshotTier DescribeSnapshotTierStatus
  ListSnapshotsInRecycleBin RestoreSnapshotFromRecycleBin ListVolumesInRecycleBin RestoreVolumeFromRecycleBin
  ListImagesInRecycleBin RestoreImageFromRecycleBin
  LockSnapshot UnlockSnapshot DescribeLockedSnapshots
  EnableFastSnapshotRestores DisableFastSnapshotRestores DescribeFastSnapshotRestores
  EnableSnapshotBlockPublicAccess DisableSnapshotBlockPublicAccess GetSnapshotBlockPublicAccessState
  EnableEbsEncryptionByDefault DisableEbsEncryptionByDefault GetEbsEncryptionByDefault
  ModifyEbsDefaultKmsKeyId GetEbsDefaultKmsKeyId ResetEbsDefaultKmsKeyId
  ImportSnapshot DescribeImportSnapshotTasks CancelImportTask ImportImage DescribeImportImageTasks
  ExportImage DescribeExportImageTasks CancelExportTask
  CreateStoreImageTask DescribeStoreImageTasks CreateRestoreImageTask
  CopyImage DescribeImageAttribute ModifyImageAttribute ResetImageAttribute
  CreateReplaceRootVolumeTask DescribeReplaceRootVolumeTasks
  GetConsoleOutput GetConsoleScreenshot

  GetInstanceUefiData
  DescribeIdFormat ModifyIdFormat DescribeAggregateIdFormat DescribeIdentityIdFormat ModifyIdentityIdFormat
  DescribePrincipalIdFormat
  EnableImage DisableImage EnableImageDeprecation DisableImageDeprecation
  EnableImageDeregistrationProtection DisableImageDeregistrationProtection
  EnableImageBlockPublicAccess DisableImageBlockPublicAccess GetImageBlockPublicAccessState
  DescribeImageReferences DescribeInstanceTypeOfferings GetPasswordData
  EnableSerialConsoleAccess DisableSerialConsoleAccess GetSerialConsoleAccessStatus
  MonitorInstances UnmonitorInstances ModifyInstanceMetadataOptions
  CreateInstanceExportTask DescribeExportTasks ImportVolume ImportInstance DescribeConversionTasks CancelConversionTask
  AllocateAddress ReleaseAddress AssociateAddress DisassociateAddress DescribeAddresses
  CreateSecurityGroup DeleteSecurityGroup AuthorizeSecurityGroupIngress AuthorizeSecurityGroupEgress
  RevokeSecurityGroupIngress RevokeSecurityGroupEgress
  CreateVpc DeleteVpc DescribeVpcAttribute ModifyVpcAttribute CreateSubnet DeleteSubnet ModifySubnetAttribute
  DescribeInternetGateways DescribeRouteTables
  CreateLaunchTemplate DeleteLaunchTemplate DescribeLaunchTemplates DescribeLaunchTemplateVersions
  CreateLaunchTemplateVersion
`);

/** Who may do what: users, roles, groups of neither; what an installation without an AWS account around it can keep. */
const iamOperations = words(`
  GetUser CreateUser DeleteUser ListUsers UpdateUser
  CreateAccessKey DeleteAccessKey ListAccessKeys UpdateAccessKey GetAccessKeyLastUsed
  CreatePolicy GetPolicy DeletePolicy ListPolicies CreatePolicyVersion GetPolicyVersion ListPolicyVersions DeletePolicyVersion
  SetDefaultPolicyVersion ListEntitiesForPolicy TagPolicy UntagPolicy ListPolicyTags
  AttachUserPolicy DetachUserPolicy ListAttachedUserPolicies PutUserPolicy GetUserPolicy DeleteUserPolicy ListUserPolicies
  CreateRole GetRole DeleteRole ListRoles UpdateAssumeRolePolicy UpdateRole UpdateRoleDescription
  PutUserPermissionsBoundary DeleteUserPermissionsBoundary PutRolePermissionsBoundary DeleteRolePermissionsBoundary
  AttachRolePolicy DetachRolePolicy ListAttachedRolePolicies PutRolePolicy GetRolePolicy DeleteRolePolicy ListRolePolicies
  SimulatePrincipalPolicy GetAccountSummary ListAccountAliases
  TagUser UntagUser ListUserTags TagRole UntagRole ListRoleTags ListInstanceProfilesForRole ListGroupsForUser
`);

export const serviceSources: readonly ServiceSource[] = [
  {
    service: 'lightsail',
    package: '@aws-sdk/client-lightsail',
    baseError: 'LightsailServiceException',
    protocol: 'awsJson1_1',
    apiVersion: '2016-11-28',
    targetPrefix: 'Lightsail_20161128',
    operations: null,
  },
  {
    service: 'ec2',
    package: '@aws-sdk/client-ec2',
    baseError: 'EC2ServiceException',
    protocol: 'ec2Query',
    apiVersion: '2016-11-15',
    xmlNamespace: 'http://ec2.amazonaws.com/doc/2016-11-15/',
    operations: ec2Operations,
  },
  {
    service: 'ebs',
    package: '@aws-sdk/client-ebs',
    baseError: 'EBSServiceException',
    protocol: 'restJson1',
    apiVersion: '2019-11-02',
    operations: null,
  },
  {
    service: 'sts',
    package: '@aws-sdk/client-sts',
    baseError: 'STSServiceException',
    protocol: 'awsQuery',
    apiVersion: '2011-06-15',
    xmlNamespace: 'https://sts.amazonaws.com/doc/2011-06-15/',
    operations: null,
  },
  {
    service: 'kms',
    package: '@aws-sdk/client-kms',
    baseError: 'KMSServiceException',
    protocol: 'awsJson1_1',
    apiVersion: '2014-11-01',
    targetPrefix: 'TrentService',
    operations: null,
  },
  {
    service: 'iam',
    package: '@aws-sdk/client-iam',
    baseError: 'IAMServiceException',
    protocol: 'awsQuery',
    apiVersion: '2010-05-08',
    xmlNamespace: 'https://iam.amazonaws.com/doc/2010-05-08/',
    operations: iamOperations,
  },
  {
    service: 'dlm',
    package: '@aws-sdk/client-dlm',
    baseError: 'DLMServiceException',
    protocol: 'restJson1',
    apiVersion: '2018-01-12',
    operations: null,
  },
];
