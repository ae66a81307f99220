import type { Handler } from '#api/handler.ts';
import { ATTACHMENT_COUNT_MAX } from '#control/machines/disks.ts';
import { slicePage } from '#control/pages.ts';
import { INSTANCE_TYPES, type InstanceType } from '#domain/instance-type.ts';
import type { InputOf, OutputOf } from '#wire/aws/operations.ts';
import { endDryRun } from './dry-run.ts';
import { instanceRefusal } from './errors.ts';
import { absentFilters, type FilterTable, type FilterTexts, parseFilters } from './filters.ts';
import { typeName } from './instance-views.ts';
import { nextToken, parsePage } from './paging.ts';

type TypeView = NonNullable<OutputOf<'ec2', 'DescribeInstanceTypes'>['InstanceTypes']>[number];

/** Every volume is as fast as it can be, whatever is asked. */
const EBS_OPTIMIZED = 'default';

/** What is not said of types here. */
const ABSENT: readonly string[] = [
  'ebs-info.attachment-limit-type',
  'ebs-info.ebs-optimized-info.baseline-bandwidth-in-mbps',
  'ebs-info.ebs-optimized-info.baseline-iops',
  'ebs-info.ebs-optimized-info.baseline-throughput-in-mbps',
  'ebs-info.ebs-optimized-info.maximum-bandwidth-in-mbps',
  'ebs-info.ebs-optimized-info.maximum-iops',
  'ebs-info.ebs-optimized-info.maximum-throughput-in-mbps',
  'instance-storage-info.disk.count',
  'instance-storage-info.disk.size-in-gb',
  'instance-storage-info.disk.type',
  'instance-storage-info.encryption-support',
  'instance-storage-info.nvme-support',
  'instance-storage-info.total-size-in-gb',
  'network-info.bandwidth-weightings',
  'network-info.efa-info.maximum-efa-interfaces',
  'network-info.encryption-in-transit-supported',
  'network-info.flexible-ena-queues-support',
  'network-info.maximum-network-cards',
  'network-info.network-performance',
  'nitro-tpm-info.supported-versions',
  'processor-info.supported-features',
  'processor-info.sustained-clock-speed-in-ghz',
  'reboot-migration-support',
  'vcpu-info.valid-cores',
  'vcpu-info.valid-threads-per-core',
];

const typeFilters: FilterTable<InstanceType> = {
  named: new Map<string, FilterTexts<InstanceType>>([
    ...absentFilters<InstanceType>(ABSENT),
    ['auto-recovery-supported', () => ['false']],
    ['bare-metal', () => ['false']],
    ['burstable-performance-supported', ({ isBurstable }) => [String(isBurstable)]],
    ['current-generation', ({ isCurrent }) => [String(isCurrent)]],
    ['dedicated-hosts-supported', () => ['false']],
    ['ebs-info.ebs-optimized-support', () => [EBS_OPTIMIZED]],
    ['ebs-info.maximum-ebs-attachments', () => [String(ATTACHMENT_COUNT_MAX)]],
    ['ebs-info.nvme-support', () => ['unsupported']],
    ['ebs-info.encryption-support', () => ['supported']],
    ['free-tier-eligible', () => ['false']],
    ['hibernation-supported', () => ['false']],
    ['hypervisor', () => ['nitro']],
    ['instance-storage-supported', () => ['false']],
    ['instance-type', ({ id }) => [id]],
    ['memory-info.size-in-mib', ({ memoryMib }) => [String(memoryMib)]],
    ['network-info.efa-supported', () => ['false']],
    ['network-info.ena-support', () => ['supported']],
    ['network-info.ipv4-addresses-per-interface', () => ['1']],
    ['network-info.ipv6-addresses-per-interface', () => ['0']],
    ['network-info.ipv6-supported', () => ['false']],
    ['network-info.maximum-network-interfaces', () => ['1']],
    ['nitro-enclaves-support', () => ['unsupported']],
    ['nitro-tpm-support', () => ['unsupported']],
    ['processor-info.supported-architecture', () => ['x86_64']],
    ['supported-boot-mode', () => ['legacy-bios']],
    ['supported-root-device-type', () => ['ebs']],
    ['supported-usage-class', () => ['on-demand']],
    ['supported-virtualization-type', () => ['hvm']],
    ['vcpu-info.default-cores', ({ cpuCount }) => [String(cpuCount)]],
    ['vcpu-info.default-threads-per-core', () => ['1']],
    ['vcpu-info.default-vcpus', ({ cpuCount }) => [String(cpuCount)]],
  ]),
  tags: null,
};

export const describeInstanceTypes: Handler<
  InputOf<'ec2', 'DescribeInstanceTypes'>,
  OutputOf<'ec2', 'DescribeInstanceTypes'>
> = async ({ ports, scope }, request) => {
  const page = parsePage(request);
  const match = parseFilters(request.Filters, typeFilters);
  const asked = request.InstanceTypes ?? [];
  const unknown = asked.filter((id) => !INSTANCE_TYPES.some((type) => type.id === id));
  if (unknown.length > 0) {
    const message = `The following supplied instance types do not exist: [${unknown.join(', ')}]`;
    throw instanceRefusal('InvalidInstanceType', message);
  }
  endDryRun(request);
  const types = INSTANCE_TYPES.filter(({ id }) => asked.length === 0 || asked.includes(id));
  const { records, next } = await slicePage(ports, scope, 'instance types', { ...page, match }, types);
  return { InstanceTypes: records.map(typeView), ...nextToken(next) };
};

function typeView({ id, cpuCount, memoryMib, isBurstable, isCurrent }: InstanceType): TypeView {
  return {
    AutoRecoverySupported: false,
    BareMetal: false,
    BurstablePerformanceSupported: isBurstable,
    CurrentGeneration: isCurrent,
    DedicatedHostsSupported: false,
    EbsInfo: {
      EbsOptimizedSupport: EBS_OPTIMIZED,
      EncryptionSupport: 'supported',
      MaximumEbsAttachments: ATTACHMENT_COUNT_MAX,
      NvmeSupport: 'unsupported',
    },
    FreeTierEligible: false,
    HibernationSupported: false,
    Hypervisor: 'nitro',
    InstanceStorageSupported: false,
    InstanceType: typeName(id),
    MemoryInfo: { SizeInMiB: memoryMib },
    NetworkInfo: {
      EfaSupported: false,
      EnaSupport: 'supported',
      Ipv4AddressesPerInterface: 1,
      Ipv6AddressesPerInterface: 0,
      Ipv6Supported: false,
      MaximumNetworkInterfaces: 1,
    },
    PlacementGroupInfo: { SupportedStrategies: [] },
    ProcessorInfo: { SupportedArchitectures: ['x86_64'] },
    SupportedBootModes: ['legacy-bios'],
    SupportedRootDeviceTypes: ['ebs'],
    SupportedUsageClasses: ['on-demand'],
    SupportedVirtualizationTypes: ['hvm'],
    VCpuInfo: { DefaultCores: cpuCount, DefaultThreadsPerCore: 1, DefaultVCpus: cpuCount },
  };
}
