/**
 * What the packages do not say and the API reference pages do: kinds of numbers ("Type: Long"), and the constraints of the
 * inputs of the operations that are built ("Length Constraints", "Pattern", "Valid Range"). Rules of tags are not here: they
 * belong to the use cases, which know the resource; nor are EC2's ranges, which EC2 applies as rules of the service.
 */
import type { Constraint } from '#wire/aws/model.ts';
import type { ServiceSource } from './sources.ts';

export interface Overlay {
  /** By `Structure.member`, or `List[]` for the items of a list. Numbers that are not named here are 32-bit integers. */
  readonly numbers: Readonly<Record<string, 'long' | 'float' | 'double'>>;
  /** By the same names. Patterns hold for the whole value. */
  readonly constraints: Readonly<Record<string, Constraint>>;
}

const resourceName: Constraint = { pattern: '\\w[\\w\\-]*\\w' };
const notBlank: Constraint = { pattern: '.*\\S.*' };
const lightsailArn: Constraint = {
  pattern: 'arn:(aws[^:]*):([a-zA-Z0-9-]+):([a-z0-9-]+):([0-9]+):([a-zA-Z]+)/([a-zA-Z0-9-]+)',
};

const policyId: Constraint = { max: 64, pattern: 'policy-[a-f0-9]+' };
const roleArn: Constraint = { max: 2048, pattern: 'arn:aws(-[a-z]{1,3}){0,2}:iam::\\d+:role/.*' };

const snapshotId: Constraint = { min: 1, max: 64, pattern: 'snap-[0-9a-f]+' };
const base64Token: Constraint = { max: 256, pattern: '[A-Za-z0-9+/=]+' };
const blockIndex: Constraint = { min: 0 };
const blocksPage: Constraint = { min: 100, max: 10_000 };
const checksum: Constraint = { max: 64, pattern: '[A-Za-z0-9+/=]+' };

export const overlays: Readonly<Record<ServiceSource['service'], Overlay>> = {
  lightsail: {
    numbers: {
      'Alarm.threshold': 'double',
      'BucketBundle.price': 'float',
      'Bundle.price': 'float',
      'Bundle.ramSizeInGb': 'float',
      'CacheSettings.defaultTTL': 'long',
      'CacheSettings.maximumTTL': 'long',
      'CacheSettings.minimumTTL': 'long',
      'ContainerServicePower.cpuCount': 'float',
      'ContainerServicePower.price': 'float',
      'ContainerServicePower.ramSizeInGb': 'float',
      'DistributionBundle.price': 'float',
      'EstimateByTime.unit': 'double',
      'EstimateByTime.usageCost': 'double',
      'InstanceHardware.ramSizeInGb': 'float',
      'MetricDatapoint.average': 'double',
      'MetricDatapoint.maximum': 'double',
      'MetricDatapoint.minimum': 'double',
      'MetricDatapoint.sampleCount': 'double',
      'MetricDatapoint.sum': 'double',
      'PutAlarmRequest.threshold': 'double',
      'RelationalDatabaseBundle.price': 'float',
      'RelationalDatabaseBundle.ramSizeInGb': 'float',
      'RelationalDatabaseHardware.ramSizeInGb': 'float',
    },
    constraints: {
      'CreateDiskFromSnapshotRequest.availabilityZone': notBlank,
      'CreateDiskFromSnapshotRequest.diskName': resourceName,
      'CreateDiskFromSnapshotRequest.diskSnapshotName': resourceName,
      'CreateDiskRequest.availabilityZone': notBlank,
      'CreateDiskRequest.diskName': resourceName,
      'CreateDiskSnapshotRequest.diskName': resourceName,
      'CreateDiskSnapshotRequest.diskSnapshotName': resourceName,
      'CreateDiskSnapshotRequest.instanceName': resourceName,
      'DeleteDiskRequest.diskName': resourceName,
      'DeleteDiskSnapshotRequest.diskSnapshotName': resourceName,
      'GetDiskRequest.diskName': resourceName,
      'GetDiskSnapshotRequest.diskSnapshotName': resourceName,
      'GetOperationRequest.operationId': notBlank,
      'GetOperationsForResourceRequest.resourceName': resourceName,
      'TagResourceRequest.resourceArn': lightsailArn,
      'TagResourceRequest.resourceName': resourceName,
      'UntagResourceRequest.resourceArn': lightsailArn,
      'UntagResourceRequest.resourceName': resourceName,
    },
  },
  ec2: {
    numbers: {
      'ClientData.UploadSize': 'double',
      'CopyImageRequest.SnapshotCopyCompletionDurationMinutes': 'long',
      'CreateReplaceRootVolumeTaskRequest.VolumeInitializationRate': 'long',
      'DiskImageDescription.Size': 'long',
      'DiskImageDetail.Bytes': 'long',
      'DiskImageVolumeDescription.Size': 'long',
      'DiskInfo.SizeInGB': 'long',
      'EbsCardInfo.BaselineThroughputInMBps': 'double',
      'EbsCardInfo.MaximumThroughputInMBps': 'double',
      'EbsOptimizedInfo.BaselineThroughputInMBps': 'double',
      'EbsOptimizedInfo.MaximumThroughputInMBps': 'double',
      'GpuDeviceInfo.GpuPartitionSize': 'double',
      'ImportInstanceVolumeDetailItem.BytesConverted': 'long',
      'ImportVolumeTaskDetails.BytesConverted': 'long',
      'InitializationStatusDetails.EstimatedTimeToCompleteInSeconds': 'long',
      'InitializationStatusDetails.Progress': 'long',
      'InstanceStorageInfo.TotalSizeInGB': 'long',
      'LaunchTemplate.DefaultVersionNumber': 'long',
      'LaunchTemplate.LatestVersionNumber': 'long',
      'LaunchTemplateVersion.VersionNumber': 'long',
      'MemoryGiBPerVCpu.Max': 'double',
      'MemoryGiBPerVCpu.Min': 'double',
      'MemoryGiBPerVCpuRequest.Max': 'double',
      'MemoryGiBPerVCpuRequest.Min': 'double',
      'MemoryInfo.SizeInMiB': 'long',
      'NetworkBandwidthGbps.Max': 'double',
      'NetworkBandwidthGbps.Min': 'double',
      'NetworkBandwidthGbpsRequest.Max': 'double',
      'NetworkBandwidthGbpsRequest.Min': 'double',
      'NetworkCardInfo.BaselineBandwidthInGbps': 'double',
      'NetworkCardInfo.PeakBandwidthInGbps': 'double',
      'ProcessorInfo.SustainedClockSpeedInGhz': 'double',
      'Snapshot.FullSnapshotSizeInBytes': 'long',
      'SnapshotDetail.DiskImageSize': 'double',
      'SnapshotTaskDetail.DiskImageSize': 'double',
      'TotalLocalStorageGB.Max': 'double',
      'TotalLocalStorageGB.Min': 'double',
      'TotalLocalStorageGBRequest.Max': 'double',
      'TotalLocalStorageGBRequest.Min': 'double',
      'VolumeDetail.Size': 'long',
      'VolumeModification.Progress': 'long',
    },
    constraints: {},
  },
  ebs: {
    numbers: {
      'ListChangedBlocksResponse.VolumeSize': 'long',
      'ListSnapshotBlocksResponse.VolumeSize': 'long',
      'StartSnapshotRequest.VolumeSize': 'long',
      'StartSnapshotResponse.VolumeSize': 'long',
    },
    constraints: {
      'CompleteSnapshotRequest.ChangedBlocksCount': { min: 0 },
      'CompleteSnapshotRequest.Checksum': checksum,
      'CompleteSnapshotRequest.SnapshotId': snapshotId,
      'GetSnapshotBlockRequest.BlockIndex': blockIndex,
      'GetSnapshotBlockRequest.BlockToken': base64Token,
      'GetSnapshotBlockRequest.SnapshotId': snapshotId,
      'ListChangedBlocksRequest.FirstSnapshotId': snapshotId,
      'ListChangedBlocksRequest.MaxResults': blocksPage,
      'ListChangedBlocksRequest.NextToken': base64Token,
      'ListChangedBlocksRequest.SecondSnapshotId': snapshotId,
      'ListChangedBlocksRequest.StartingBlockIndex': blockIndex,
      'ListSnapshotBlocksRequest.MaxResults': blocksPage,
      'ListSnapshotBlocksRequest.NextToken': base64Token,
      'ListSnapshotBlocksRequest.SnapshotId': snapshotId,
      'ListSnapshotBlocksRequest.StartingBlockIndex': blockIndex,
      'PutSnapshotBlockRequest.BlockIndex': blockIndex,
      'PutSnapshotBlockRequest.Checksum': checksum,
      'PutSnapshotBlockRequest.Progress': { min: 0, max: 100 },
      'PutSnapshotBlockRequest.SnapshotId': snapshotId,
      'StartSnapshotRequest.ClientToken': { max: 255, pattern: '\\S+' },
      'StartSnapshotRequest.Description': { max: 255, pattern: '[\\S\\s]+' },
      'StartSnapshotRequest.KmsKeyArn': { min: 1, max: 2048, pattern: 'arn:aws[a-z\\-]*:kms:.*:[0-9]{12}:key/.*' },
      'StartSnapshotRequest.ParentSnapshotId': snapshotId,
      'StartSnapshotRequest.Timeout': { min: 10, max: 4320 },
      'StartSnapshotRequest.VolumeSize': { min: 1 },
    },
  },
  sts: { numbers: {}, constraints: {} },
  kms: { numbers: {}, constraints: {} },
  iam: { numbers: {}, constraints: {} },
  dlm: {
    numbers: {},
    constraints: {
      'CreateLifecyclePolicyRequest.Description': { min: 0, max: 500, pattern: '[0-9A-Za-z _-]+' },
      'CreateLifecyclePolicyRequest.ExecutionRoleArn': roleArn,
      'CreateLifecyclePolicyRequest.Tags': { min: 1, max: 200 },
      'DeleteLifecyclePolicyRequest.PolicyId': policyId,
      'GetLifecyclePolicyRequest.PolicyId': policyId,
      'PolicyDetails.ResourceLocations': { min: 1, max: 1 },
      'PolicyDetails.ResourceTypes': { min: 1, max: 1 },
      'PolicyDetails.Schedules': { min: 1, max: 4 },
      'PolicyDetails.TargetTags': { min: 1, max: 50 },
      'Schedule.CrossRegionCopyRules': { max: 3 },
      'Schedule.Name': { max: 120, pattern: '[0-9A-Za-z _-]+' },
      'Schedule.ShareRules': { max: 1 },
      'Schedule.TagsToAdd': { max: 45 },
      'ShareRule.TargetAccounts': { min: 1 },
      'CreateRule.Times': { max: 1 },
      'UpdateLifecyclePolicyRequest.Description': { min: 0, max: 500, pattern: '[0-9A-Za-z _-]+' },
      'UpdateLifecyclePolicyRequest.ExecutionRoleArn': roleArn,
      'UpdateLifecyclePolicyRequest.PolicyId': policyId,
    },
  },
};
