import { GUEST_SHUT_DOWN, type Instance, INSTANCE_STATE_CODE, stateShown } from '#domain/instance.ts';
import { zonesOf } from '#domain/region.ts';
import type { InputOf, OutputOf } from '#wire/aws/operations.ts';
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
import { rootNameOf } from './root-volume.ts';
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
    RootDeviceName: rootNameOf(instance),
    RootDeviceType: 'ebs',
    State: stateView(stateShown(instance)),
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
  return attachments.map(({ device, shownAs = device, attachedAtMs, deleteOnTermination, state, volume }) => ({
    DeviceName: shownAs,
    Ebs: {
      AttachTime: new Date(attachedAtMs),
      DeleteOnTermination: deleteOnTermination,
      Status: state,
      VolumeId: volume,
    },
  }));
}

export function zoneIdView({ region, zone }: Instance): { readonly AvailabilityZoneId?: string } {
  const id = zonesOf(region).find(({ name }) => name === zone)?.id;
  return id === undefined ? {} : { AvailabilityZoneId: id };
}

export function launchTime({ launchedAtMs, createdAtMs }: Instance): Date {
  return new Date(launchedAtMs ?? createdAtMs);
}

export function isEnding(instance: Instance): boolean {
  const state = stateShown(instance);
  return state !== 'pending' && state !== 'running';
}

export function reasonView({ stateReason }: Instance): NonNullable<InstanceView['StateReason']> {
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

export function transitionReason(instance: Instance): string {
  if (!isEnding(instance)) return '';
  return instance.stateReason === null ? 'User initiated' : (reasonView(instance).Message ?? '');
}

/** Its own, or the computer's; null: it is not reached now. */
export function publicAddressOf(instance: Instance, address: string): string | null {
  const { address: own, staticIp } = instance;
  return stateShown(instance) === 'running' || staticIp !== null ? (own ?? address) : null;
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

/** What the request of RunInstances says of one of its volumes. */
export type DeviceRequest = NonNullable<InputOf<'ec2', 'RunInstances'>['BlockDeviceMappings']>[number];
