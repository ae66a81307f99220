/**
 * Which operations answer in pages, as the AWS command line knows them.
 *
 * What the service answers in pages and the AWS command line does not ask for by itself (the blocks of `ebs`) is left out.
 */
import type { ServiceName } from '#wire/aws/operations.ts';

export interface Paginator {
  /** Member of the input that takes the token. */
  readonly inputToken: string;
  /** Member of the reply that holds the next token. */
  readonly outputToken: string;
  /** Lists that the pages share out; `--max-items` counts the first. */
  readonly resultKeys: readonly [string, ...string[]];
  /** Member of the input that takes `--page-size`; null: the operation has no such option. */
  readonly limitKey: string | null;
  /** Member of the reply that says whether there is more; null: the token alone does. */
  readonly moreResults: string | null;
}

/** Null: the operation answers at once. */
export function paginatorOf(service: ServiceName, operation: string): Paginator | null {
  const { tokens, results } = paged[service] ?? { tokens: nextToken, results: {} };
  const resultKeys = Object.hasOwn(results, operation) ? results[operation] : undefined;
  return resultKeys === undefined ? null : { ...tokens, resultKeys };
}

interface PagedService {
  readonly tokens: Omit<Paginator, 'resultKeys'>;
  /** Operation → its result keys. */
  readonly results: Readonly<Record<string, Paginator['resultKeys']>>;
}

const nextToken = {
  inputToken: 'NextToken',
  outputToken: 'NextToken',
  limitKey: 'MaxResults',
  moreResults: null,
} as const;

const paged: Readonly<Partial<Record<ServiceName, PagedService>>> = {
  lightsail: {
    tokens: { inputToken: 'pageToken', outputToken: 'nextPageToken', limitKey: null, moreResults: null },
    results: {
      GetActiveNames: ['activeNames'],
      GetBlueprints: ['blueprints'],
      GetBundles: ['bundles'],
      GetCloudFormationStackRecords: ['cloudFormationStackRecords'],
      GetDiskSnapshots: ['diskSnapshots'],
      GetDisks: ['disks'],
      GetDomains: ['domains'],
      GetExportSnapshotRecords: ['exportSnapshotRecords'],
      GetInstanceSnapshots: ['instanceSnapshots'],
      GetInstances: ['instances'],
      GetKeyPairs: ['keyPairs'],
      GetLoadBalancers: ['loadBalancers'],
      GetOperations: ['operations'],
      GetRelationalDatabaseBlueprints: ['blueprints'],
      GetRelationalDatabaseBundles: ['bundles'],
      GetRelationalDatabaseEvents: ['relationalDatabaseEvents'],
      GetRelationalDatabaseParameters: ['parameters'],
      GetRelationalDatabaseSnapshots: ['relationalDatabaseSnapshots'],
      GetRelationalDatabases: ['relationalDatabases'],
      GetStaticIps: ['staticIps'],
    },
  },
  ec2: {
    tokens: nextToken,
    results: {
      DescribeExportImageTasks: ['ExportImageTasks'],
      DescribeFastSnapshotRestores: ['FastSnapshotRestores'],
      DescribeImageReferences: ['ImageReferences'],
      DescribeImages: ['Images'],
      DescribeImportImageTasks: ['ImportImageTasks'],
      DescribeImportSnapshotTasks: ['ImportSnapshotTasks'],
      DescribeInstanceCreditSpecifications: ['InstanceCreditSpecifications'],
      DescribeInstanceStatus: ['InstanceStatuses'],
      DescribeInstanceTypeOfferings: ['InstanceTypeOfferings'],
      DescribeInstanceTypes: ['InstanceTypes'],
      DescribeInstances: ['Reservations'],
      DescribeInternetGateways: ['InternetGateways'],
      DescribeLaunchTemplateVersions: ['LaunchTemplateVersions'],
      DescribeLaunchTemplates: ['LaunchTemplates'],
      DescribeNetworkInterfaces: ['NetworkInterfaces'],
      DescribePrincipalIdFormat: ['Principals'],
      DescribeReplaceRootVolumeTasks: ['ReplaceRootVolumeTasks'],
      DescribeRouteTables: ['RouteTables'],
      DescribeSecurityGroups: ['SecurityGroups'],
      DescribeSnapshotTierStatus: ['SnapshotTierStatuses'],
      DescribeSnapshots: ['Snapshots'],
      DescribeStoreImageTasks: ['StoreImageTaskResults'],
      DescribeSubnets: ['Subnets'],
      DescribeTags: ['Tags'],
      DescribeVolumeStatus: ['VolumeStatuses'],
      DescribeVolumes: ['Volumes'],
      DescribeVolumesModifications: ['VolumesModifications'],
      DescribeVpcs: ['Vpcs'],
      ListImagesInRecycleBin: ['Images'],
      ListSnapshotsInRecycleBin: ['Snapshots'],
    },
  },
  kms: {
    tokens: { inputToken: 'Marker', outputToken: 'NextMarker', limitKey: 'Limit', moreResults: 'Truncated' },
    results: {
      DescribeCustomKeyStores: ['CustomKeyStores'],
      ListAliases: ['Aliases'],
      ListGrants: ['Grants'],
      ListKeyPolicies: ['PolicyNames'],
      ListKeyRotations: ['Rotations'],
      ListKeys: ['Keys'],
      ListResourceTags: ['Tags'],
      ListRetirableGrants: ['Grants'],
    },
  },
  iam: {
    tokens: { inputToken: 'Marker', outputToken: 'Marker', limitKey: 'MaxItems', moreResults: 'IsTruncated' },
    results: {
      ListAccessKeys: ['AccessKeyMetadata'],
      ListAccountAliases: ['AccountAliases'],
      ListAttachedRolePolicies: ['AttachedPolicies'],
      ListAttachedUserPolicies: ['AttachedPolicies'],
      ListEntitiesForPolicy: ['PolicyGroups', 'PolicyUsers', 'PolicyRoles'],
      ListGroupsForUser: ['Groups'],
      ListInstanceProfilesForRole: ['InstanceProfiles'],
      ListPolicies: ['Policies'],
      ListPolicyTags: ['Tags'],
      ListPolicyVersions: ['Versions'],
      ListRolePolicies: ['PolicyNames'],
      ListRoleTags: ['Tags'],
      ListRoles: ['Roles'],
      ListUserPolicies: ['PolicyNames'],
      ListUserTags: ['Tags'],
      ListUsers: ['Users'],
      SimulatePrincipalPolicy: ['EvaluationResults'],
    },
  },
  rbin: {
    tokens: nextToken,
    results: {
      ListRules: ['Rules'],
    },
  },
};
