import { GUEST_SHUT_DOWN, type Instance, INSTANCE_STATE_CODE, SYSTEM_DEVICE } from '#domain/instance.ts';
import { zonesOf } from '#domain/region.ts';
import type { InputOf, OutputOf } from '#wire/aws/operations.ts';
import type { FilterTable, FilterTexts } from './filters.ts';
import { metadataView } from './instance-metadata.ts';
import {
  DEFAULT_GROUP,
  groupIdOf,
  GUEST_ADDRESS,
  GUEST_MAC_ADDRESS,
  hasAddress,
  interfaceAttachmentIdOf,
  interfaceIdOf,
  privateNameOf,
  subnetIdOf,
  vpcIdOf,
} from './instance-network.ts';
import { tagViews } from './tag-views.ts';

export type ReservationView = OutputOf<'ec2', 'RunInstances'>;
export type InstanceView = NonNullable<ReservationView['Instances']>[number];
type StateView = NonNullable<InstanceView['State']>;
/** The model lists AWS's types; bundles are types of this server's own. */
type TypeName = InstanceView['InstanceType'];

/** What DescribeInstances shows. `address`: of this computer, where ports lead to machines without one of their own. */
export function instanceView(instance: Instance, address: string): InstanceView {
  const { options, stateReason } = instance;
  return {
    AmiLaunchIndex: options.launchIndex,
    Architecture: 'x86_64',
    BlockDeviceMappings: deviceViews(instance),
    BootMode: 'legacy-bios',
    ...(options.clientToken === null ? {} : { ClientToken: options.clientToken }),
    CpuOptions: { CoreCount: instance.cpuCount, ThreadsPerCore: 1 },
    CurrentInstanceBootMode: 'legacy-bios',
    EbsOptimized: options.ebsOptimized === true,
    EnaSupport: true,
    EnclaveOptions: { Enabled: false },
    HibernationOptions: { Configured: false },
    Hypervisor: 'xen', // EC2 says so of every type; there is no word for another.
    ImageId: instance.blueprint,
    InstanceId: instance.id,
    InstanceType: typeName(instance.bundle),
    ...(instance.keyPair === null ? {} : { KeyName: instance.keyPair }),
    LaunchTime: launchTime(instance),
    MaintenanceOptions: { AutoRecovery: 'default' },
    MetadataOptions: metadataView(instance),
    Monitoring: { State: 'disabled' },
    Placement: { AvailabilityZone: instance.zone, ...zoneIdView(instance), GroupName: '', Tenancy: 'default' },
    PlatformDetails: 'Linux/UNIX',
    ProductCodes: [],
    RootDeviceName: SYSTEM_DEVICE,
    RootDeviceType: 'ebs',
    State: stateView(instance.state),
    ...(stateReason !== null || isEnding(instance) ? { StateReason: reasonView(instance) } : {}),
    StateTransitionReason: transitionReason(instance),
    Tags: tagViews(instance.tags),
    UsageOperation: 'RunInstances',
    UsageOperationUpdateTime: new Date(instance.createdAtMs),
    VirtualizationType: 'hvm',
    ...networkView(instance, address),
  };
}

export function stateView(state: Instance['state']): StateView {
  return { Code: INSTANCE_STATE_CODE[state], Name: state };
}

export function typeName(id: string): TypeName {
  return id as TypeName;
}

export function deviceViews({ attachments }: Instance): NonNullable<InstanceView['BlockDeviceMappings']> {
  return attachments.map(({ device, attachedAtMs, deleteOnTermination, state, volume }) => ({
    DeviceName: device,
    Ebs: {
      AttachTime: new Date(attachedAtMs),
      DeleteOnTermination: deleteOnTermination,
      Status: state,
      VolumeId: volume,
    },
  }));
}

function zoneIdView({ region, zone }: Instance): { readonly AvailabilityZoneId?: string } {
  const id = zonesOf(region).find(({ name }) => name === zone)?.id;
  return id === undefined ? {} : { AvailabilityZoneId: id };
}

function launchTime({ launchedAtMs, createdAtMs }: Instance): Date {
  return new Date(launchedAtMs ?? createdAtMs);
}

function isEnding({ state }: Instance): boolean {
  return state !== 'pending' && state !== 'running';
}

function reasonView({ stateReason }: Instance): NonNullable<InstanceView['StateReason']> {
  if (stateReason === GUEST_SHUT_DOWN) {
    const code = 'Client.InstanceInitiatedShutdown';
    return { Code: code, Message: `${code}: Instance initiated shutdown` };
  }
  if (stateReason !== null) {
    return { Code: 'Server.InternalError', Message: `Server.InternalError: ${stateReason}` };
  }
  const code = 'Client.UserInitiatedShutdown';
  return { Code: code, Message: `${code}: User initiated shutdown` };
}

function transitionReason(instance: Instance): string {
  if (!isEnding(instance)) return '';
  return instance.stateReason === null ? 'User initiated' : (reasonView(instance).Message ?? '');
}

/** Its own, or the computer's; null: it is not reached now. */
function publicAddressOf({ state, address: own, staticIp }: Instance, address: string): string | null {
  return state === 'running' || staticIp !== null ? (own ?? address) : null;
}

function networkView(instance: Instance, address: string): InstanceView {
  // Of a terminated one AWS, too, tells no more where it was.
  if (!hasAddress(instance))
    return { NetworkInterfaces: [], SecurityGroups: [], PrivateDnsName: '', PublicDnsName: '' };
  const groups = [{ GroupId: groupIdOf(instance), GroupName: DEFAULT_GROUP }];
  const subnet = { SubnetId: subnetIdOf(instance, instance.zone), VpcId: vpcIdOf(instance) };
  const name = privateNameOf(instance);
  const reached = publicAddressOf(instance, address);
  const association =
    reached === null ? {} : { Association: { IpOwnerId: 'amazon', PublicDnsName: '', PublicIp: reached } };
  return {
    ...subnet,
    NetworkInterfaces: [
      {
        ...association,
        ...subnet,
        Attachment: {
          AttachmentId: interfaceAttachmentIdOf(instance),
          AttachTime: new Date(instance.createdAtMs),
          DeleteOnTermination: true,
          DeviceIndex: 0,
          NetworkCardIndex: 0,
          Status: 'attached',
        },
        Description: '',
        Groups: groups,
        InterfaceType: 'interface',
        Ipv6Addresses: [],
        MacAddress: GUEST_MAC_ADDRESS,
        NetworkInterfaceId: interfaceIdOf(instance),
        OwnerId: instance.account,
        PrivateDnsName: name,
        PrivateIpAddress: GUEST_ADDRESS,
        PrivateIpAddresses: [{ ...association, Primary: true, PrivateDnsName: name, PrivateIpAddress: GUEST_ADDRESS }],
        SourceDestCheck: true,
        Status: 'in-use',
      },
    ],
    PrivateDnsName: name,
    PrivateIpAddress: GUEST_ADDRESS,
    PublicDnsName: '',
    ...(reached === null ? {} : { PublicIpAddress: reached }),
    SecurityGroups: groups,
    SourceDestCheck: true,
  };
}

/** Machines in their order, those of one request together: as RunInstances and DescribeInstances show them. */
export function reservationViews(instances: readonly Instance[], address: string): readonly ReservationView[] {
  const byId = new Map<string, Instance[]>();
  for (const instance of instances) {
    const others = byId.get(instance.reservation);
    if (others === undefined) byId.set(instance.reservation, [instance]);
    else others.push(instance);
  }
  return [...byId].map(([id, machines]) => ({
    Groups: [],
    Instances: machines.map((machine) => instanceView(machine, address)),
    OwnerId: machines[0]?.account ?? '',
    ReservationId: id,
  }));
}

const NONE: readonly string[] = [];

/** The filters of EC2's DescribeInstances, but for those of what no instance here has. */
export function instanceFilters(address: string): FilterTable<Instance> {
  const up =
    (text: string): FilterTexts<Instance> =>
    (one) =>
      hasAddress(one) ? [text] : NONE;
  const of =
    (text: (one: Instance) => string): FilterTexts<Instance> =>
    (one) =>
      hasAddress(one) ? [text(one)] : NONE;
  const publicAddress: FilterTexts<Instance> = (one) => [publicAddressOf(one, address) ?? []].flat();
  const none: FilterTexts<Instance> = () => NONE;
  return {
    named: new Map<string, FilterTexts<Instance>>([
      ['architecture', () => ['x86_64']],
      ['availability-zone', ({ zone }) => [zone]],
      ['availability-zone-id', (one) => [zoneIdView(one).AvailabilityZoneId ?? []].flat()],
      [
        'block-device-mapping.attach-time',
        (one) => one.attachments.map((at) => new Date(at.attachedAtMs).toISOString()),
      ],
      [
        'block-device-mapping.delete-on-termination',
        (one) => one.attachments.map((at) => String(at.deleteOnTermination)),
      ],
      ['block-device-mapping.device-name', (one) => one.attachments.map(({ device }) => device)],
      ['block-device-mapping.status', (one) => one.attachments.map(({ state }) => state)],
      ['block-device-mapping.volume-id', (one) => one.attachments.map(({ volume }) => volume)],
      ['boot-mode', () => ['legacy-bios']],
      ['client-token', ({ options }) => (options.clientToken === null ? NONE : [options.clientToken])],
      ['current-instance-boot-mode', () => ['legacy-bios']],
      ['dns-name', none],
      ['ebs-optimized', ({ options }) => [String(options.ebsOptimized === true)]],
      ['ena-support', () => ['true']],
      ['enclave-options.enabled', () => ['false']],
      ['group-id', of(groupIdOf)],
      ['group-name', up(DEFAULT_GROUP)],
      ['hibernation-options.configured', () => ['false']],
      ['host-id', none],
      ['hypervisor', () => ['xen']],
      ['iam-instance-profile.arn', none],
      ['iam-instance-profile.id', none],
      ['iam-instance-profile.name', none],
      ['image-id', ({ blueprint }) => [blueprint]],
      ['instance-id', ({ id }) => [id]],
      ['instance-lifecycle', none],
      ['instance-state-code', ({ state }) => [String(INSTANCE_STATE_CODE[state])]],
      ['instance-state-name', ({ state }) => [state]],
      ['instance-type', ({ bundle }) => [bundle]],
      ['instance.group-id', of(groupIdOf)],
      ['instance.group-name', up(DEFAULT_GROUP)],
      ['ip-address', publicAddress],
      ['ipv6-address', none],
      ['kernel-id', none],
      ['key-name', ({ keyPair }) => (keyPair === null ? NONE : [keyPair])],
      ['launch-index', ({ options }) => [String(options.launchIndex)]],
      ['launch-time', (one) => [launchTime(one).toISOString()]],
      ['maintenance-options.auto-recovery', () => ['default']],
      ['metadata-options.http-endpoint', (one) => [metadataView(one).HttpEndpoint ?? []].flat()],
      ['metadata-options.http-protocol-ipv4', none],
      ['metadata-options.http-protocol-ipv6', (one) => [metadataView(one).HttpProtocolIpv6 ?? []].flat()],
      ['metadata-options.http-put-response-hop-limit', (one) => [String(metadataView(one).HttpPutResponseHopLimit)]],
      ['metadata-options.http-tokens', (one) => [metadataView(one).HttpTokens ?? []].flat()],
      ['metadata-options.instance-metadata-tags', (one) => [metadataView(one).InstanceMetadataTags ?? []].flat()],
      ['metadata-options.state', () => ['applied']],
      ['monitoring-state', () => ['disabled']],
      ['network-interface.addresses.private-ip-address', up(GUEST_ADDRESS)],
      ['network-interface.addresses.primary', up('true')],
      ['network-interface.association.public-ip', publicAddress],
      ['network-interface.attachment.attachment-id', of(interfaceAttachmentIdOf)],
      ['network-interface.attachment.device-index', up('0')],
      ['network-interface.attachment.instance-id', of(({ id }) => id)],
      ['network-interface.attachment.status', up('attached')],
      ['network-interface.availability-zone', of(({ zone }) => zone)],
      ['network-interface.group-id', of(groupIdOf)],
      ['network-interface.group-name', up(DEFAULT_GROUP)],
      ['network-interface.mac-address', up(GUEST_MAC_ADDRESS)],
      ['network-interface.network-interface-id', of(interfaceIdOf)],
      ['network-interface.owner-id', of(({ account }) => account)],
      ['network-interface.private-dns-name', of(privateNameOf)],
      ['network-interface.status', up('in-use')],
      ['network-interface.subnet-id', of((one) => subnetIdOf(one, one.zone))],
      ['network-interface.vpc-id', of(vpcIdOf)],
      ['outpost-arn', none],
      ['owner-id', ({ account }) => [account]],
      ['placement-group-name', none],
      ['placement-partition-number', none],
      ['platform', none],
      ['platform-details', () => ['Linux/UNIX']],
      ['private-dns-name', of(privateNameOf)],
      ['private-ip-address', up(GUEST_ADDRESS)],
      ['product-code', none],
      ['product-code.type', none],
      ['ramdisk-id', none],
      ['reason', (one) => [transitionReason(one)]],
      ['reservation-id', ({ reservation }) => [reservation]],
      ['root-device-name', () => [SYSTEM_DEVICE]],
      ['root-device-type', () => ['ebs']],
      ['source-dest-check', up('true')],
      ['spot-instance-request-id', none],
      ['state-reason-code', (one) => (isEnding(one) ? [reasonView(one).Code ?? ''] : NONE)],
      ['state-reason-message', (one) => (isEnding(one) ? [reasonView(one).Message ?? ''] : NONE)],
      ['subnet-id', of((one) => subnetIdOf(one, one.zone))],
      ['tag-key', ({ tags }) => Object.keys(tags)],
      ['tenancy', () => ['default']],
      ['tpm-support', none],
      ['usage-operation', () => ['RunInstances']],
      ['usage-operation-update-time', (one) => [new Date(one.createdAtMs).toISOString()]],
      ['virtualization-type', () => ['hvm']],
      ['vpc-id', of(vpcIdOf)],
    ]),
    tags: ({ tags }) => tags,
  };
}

/** What the request of RunInstances says of one of its volumes. */
export type DeviceRequest = NonNullable<InputOf<'ec2', 'RunInstances'>['BlockDeviceMappings']>[number];
