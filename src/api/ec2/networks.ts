import type { CallContext, Handler } from '#api/handler.ts';
import { slicePage } from '#control/pages.ts';
import { listInstances } from '#control/machines/records.ts';
import type { Instance } from '#domain/instance.ts';
import { zonesOf } from '#domain/region.ts';
import type { InputOf, OutputOf } from '#wire/aws/operations.ts';
import { endDryRun } from './dry-run.ts';
import { instanceRefusal } from './errors.ts';
import { type FilterTable, type FilterTexts, parseFilters } from './filters.ts';
import {
  DEFAULT_GROUP,
  FREE_ADDRESS_COUNT,
  groupIdOf,
  GUEST_ADDRESS,
  GUEST_MAC_ADDRESS,
  GUEST_NETWORK,
  hasAddress,
  interfaceAttachmentIdOf,
  interfaceIdOf,
  privateNameOf,
  subnetIdOf,
  vpcIdOf,
} from './instance-network.ts';
import { publicAddressOf, zoneIdView } from './instance-views.ts';
import { nextToken, parsePage, UNPAGED_ITEMS_MAX } from './paging.ts';

type VpcView = NonNullable<OutputOf<'ec2', 'DescribeVpcs'>['Vpcs']>[number];
type SubnetView = NonNullable<OutputOf<'ec2', 'DescribeSubnets'>['Subnets']>[number];
type GroupView = NonNullable<OutputOf<'ec2', 'DescribeSecurityGroups'>['SecurityGroups']>[number];
type InterfaceView = NonNullable<OutputOf<'ec2', 'DescribeNetworkInterfaces'>['NetworkInterfaces']>[number];

/** These lists have no tags. */
function table<View>(named: readonly (readonly [string, FilterTexts<View>])[]): FilterTable<View> {
  return { named: new Map([...named, ['tag-key', () => []]]), tags: () => ({}) };
}

function text(value: string | boolean | number | undefined): readonly string[] {
  return value === undefined ? [] : [String(value)];
}

const vpcFilters = table<VpcView>([
  ['cidr', (vpc) => text(vpc.CidrBlock)],
  ['cidr-block-association.association-id', (vpc) => text(vpc.CidrBlockAssociationSet?.[0]?.AssociationId)],
  ['cidr-block-association.cidr-block', (vpc) => text(vpc.CidrBlock)],
  ['cidr-block-association.state', () => ['associated']],
  ['dhcp-options-id', (vpc) => text(vpc.DhcpOptionsId)],
  ['ipv6-cidr-block-association.association-id', () => []],
  ['ipv6-cidr-block-association.ipv6-cidr-block', () => []],
  ['ipv6-cidr-block-association.ipv6-pool', () => []],
  ['ipv6-cidr-block-association.state', () => []],
  ['is-default', () => ['true']],
  ['isDefault', () => ['true']],
  ['owner-id', (vpc) => text(vpc.OwnerId)],
  ['state', (vpc) => text(vpc.State)],
  ['vpc-id', (vpc) => text(vpc.VpcId)],
]);

export const describeVpcs: Handler<InputOf<'ec2', 'DescribeVpcs'>, OutputOf<'ec2', 'DescribeVpcs'>> = async (
  { ports, scope },
  request,
) => {
  const page = parsePage(request);
  const match = parseFilters(request.Filters, vpcFilters);
  const vpc: VpcView = {
    CidrBlock: GUEST_NETWORK,
    CidrBlockAssociationSet: [
      {
        AssociationId: vpcIdOf(scope).replace('vpc-', 'vpc-cidr-assoc-'),
        CidrBlock: GUEST_NETWORK,
        CidrBlockState: { State: 'associated' },
      },
    ],
    DhcpOptionsId: 'default',
    InstanceTenancy: 'default',
    IsDefault: true,
    OwnerId: scope.account,
    State: 'available',
    Tags: [],
    VpcId: vpcIdOf(scope),
  };
  const missing = request.VpcIds?.find((id) => id !== vpc.VpcId);
  if (missing !== undefined) throw vpcNotFound(missing);
  endDryRun(request);
  const { records, next } = await slicePage(ports, scope, 'vpcs', { ...page, match }, [vpc]);
  return { Vpcs: records, ...nextToken(next) };
};

const subnetFilters = table<SubnetView>([
  ['availability-zone', (subnet) => text(subnet.AvailabilityZone)],
  ['availabilityZone', (subnet) => text(subnet.AvailabilityZone)],
  ['availability-zone-id', (subnet) => text(subnet.AvailabilityZoneId)],
  ['availabilityZoneId', (subnet) => text(subnet.AvailabilityZoneId)],
  ['available-ip-address-count', (subnet) => text(subnet.AvailableIpAddressCount)],
  ['cidr', (subnet) => text(subnet.CidrBlock)],
  ['cidr-block', (subnet) => text(subnet.CidrBlock)],
  ['cidrBlock', (subnet) => text(subnet.CidrBlock)],
  ['customer-owned-ipv4-pool', () => []],
  ['default-for-az', () => ['true']],
  ['defaultForAz', () => ['true']],
  ['enable-dns64', () => ['false']],
  ['enable-lni-at-device-index', () => []],
  ['ipv6-cidr-block-association.association-id', () => []],
  ['ipv6-cidr-block-association.ipv6-cidr-block', () => []],
  ['ipv6-cidr-block-association.state', () => []],
  ['ipv6-native', () => ['false']],
  ['map-customer-owned-ip-on-launch', () => ['false']],
  ['map-public-ip-on-launch', () => ['true']],
  ['outpost-arn', () => []],
  ['private-dns-name-options-on-launch.enable-resource-name-dns-a-record', () => ['false']],
  ['private-dns-name-options-on-launch.enable-resource-name-dns-aaaa-record', () => ['false']],
  ['private-dns-name-options-on-launch.hostname-type', () => ['ip-name']],
  ['owner-id', (subnet) => text(subnet.OwnerId)],
  ['state', (subnet) => text(subnet.State)],
  ['subnet-arn', (subnet) => text(subnet.SubnetArn)],
  ['subnet-id', (subnet) => text(subnet.SubnetId)],
  ['vpc-id', (subnet) => text(subnet.VpcId)],
]);

export const describeSubnets: Handler<InputOf<'ec2', 'DescribeSubnets'>, OutputOf<'ec2', 'DescribeSubnets'>> = async (
  { ports, scope },
  request,
) => {
  const page = parsePage(request);
  const passes = parseFilters(request.Filters, subnetFilters);
  const subnets = zonesOf(scope.region).map((zone): SubnetView => {
    const id = subnetIdOf(scope, zone.name);
    return {
      AssignIpv6AddressOnCreation: false,
      AvailabilityZone: zone.name,
      AvailabilityZoneId: zone.id,
      AvailableIpAddressCount: FREE_ADDRESS_COUNT,
      CidrBlock: GUEST_NETWORK,
      DefaultForAz: true,
      EnableDns64: false,
      Ipv6CidrBlockAssociationSet: [],
      Ipv6Native: false,
      MapCustomerOwnedIpOnLaunch: false,
      MapPublicIpOnLaunch: true,
      OwnerId: scope.account,
      State: 'available',
      SubnetArn: `arn:aws:ec2:${scope.region}:${scope.account}:subnet/${id}`,
      SubnetId: id,
      Tags: [],
      VpcId: vpcIdOf(scope),
    };
  });
  const missing = request.SubnetIds?.find((id) => !subnets.some((subnet) => subnet.SubnetId === id));
  if (missing !== undefined) {
    throw instanceRefusal('InvalidSubnetID.NotFound', `The subnet ID '${missing}' does not exist`);
  }
  endDryRun(request);
  const { SubnetIds: asked = [] } = request;
  const match = (one: SubnetView): boolean => passes(one) && isAsked(asked, one.SubnetId);
  const { records, next } = await slicePage(ports, scope, 'subnets', { ...page, match }, subnets);
  return { Subnets: records, ...nextToken(next) };
};

type PermissionView = NonNullable<GroupView['IpPermissions']>[number];

/** Of the group's rules in one direction; what is missing in a rule is in none of them. */
function permissionFilters(
  prefix: string,
  permissionsOf: (group: GroupView) => readonly PermissionView[] | undefined,
): readonly (readonly [string, FilterTexts<GroupView>])[] {
  const of =
    (texts: (permission: PermissionView) => readonly string[]): FilterTexts<GroupView> =>
    (group) =>
      (permissionsOf(group) ?? []).flatMap(texts);
  return [
    [`${prefix}.cidr`, of(({ IpRanges = [] }) => IpRanges.flatMap(({ CidrIp }) => text(CidrIp)))],
    [`${prefix}.from-port`, of(({ FromPort }) => text(FromPort))],
    [`${prefix}.group-id`, () => []],
    [`${prefix}.group-name`, () => []],
    [`${prefix}.ipv6-cidr`, of(({ Ipv6Ranges = [] }) => Ipv6Ranges.flatMap(({ CidrIpv6 }) => text(CidrIpv6)))],
    [`${prefix}.prefix-list-id`, () => []],
    [`${prefix}.protocol`, of(({ IpProtocol }) => text(IpProtocol))],
    [`${prefix}.to-port`, of(({ ToPort }) => text(ToPort))],
    [`${prefix}.user-id`, () => []],
  ];
}

const groupFilters = table<GroupView>([
  ...permissionFilters('egress.ip-permission', ({ IpPermissionsEgress: all }) => all),
  ...permissionFilters('ip-permission', ({ IpPermissions: all }) => all),
  ['description', (group) => text(group.Description)],
  ['group-id', (group) => text(group.GroupId)],
  ['group-name', (group) => text(group.GroupName)],
  ['owner-id', (group) => text(group.OwnerId)],
  ['vpc-id', (group) => text(group.VpcId)],
]);

/** What it says is so: each machine reaches everything, and its port 22 is reached through a port of this computer. */
export const describeSecurityGroups: Handler<
  InputOf<'ec2', 'DescribeSecurityGroups'>,
  OutputOf<'ec2', 'DescribeSecurityGroups'>
> = async ({ ports, scope }, request) => {
  const page = parsePage(request);
  const match = parseFilters(request.Filters, groupFilters);
  const id = groupIdOf(scope);
  const anywhere = { IpRanges: [{ CidrIp: '0.0.0.0/0' }], Ipv6Ranges: [], PrefixListIds: [], UserIdGroupPairs: [] };
  const group: GroupView = {
    Description: 'default VPC security group',
    GroupId: id,
    GroupName: DEFAULT_GROUP,
    IpPermissions: [{ IpProtocol: 'tcp', FromPort: 22, ToPort: 22, ...anywhere }],
    IpPermissionsEgress: [{ IpProtocol: '-1', ...anywhere }],
    OwnerId: scope.account,
    SecurityGroupArn: `arn:aws:ec2:${scope.region}:${scope.account}:security-group/${id}`,
    Tags: [],
    VpcId: vpcIdOf(scope),
  };
  const missing =
    request.GroupIds?.find((other) => other !== id) ?? request.GroupNames?.find((name) => name !== DEFAULT_GROUP);
  if (missing !== undefined) throw groupNotFound(missing);
  endDryRun(request);
  const { records, next } = await slicePage(ports, scope, 'security groups', { ...page, match }, [group]);
  return { SecurityGroups: records, ...nextToken(next) };
};

export function vpcNotFound(id: string): Error {
  return instanceRefusal('InvalidVpcID.NotFound', `The vpc ID '${id}' does not exist`);
}

export function groupNotFound(group: string): Error {
  return instanceRefusal('InvalidGroup.NotFound', `The security group '${group}' does not exist`);
}

const interfaceFilters = table<InterfaceView>([
  ['addresses.association.owner-id', (one) => text(one.Association?.IpOwnerId)],
  ['addresses.association.public-ip', (one) => text(one.Association?.PublicIp)],
  ['addresses.primary', () => ['true']],
  ['addresses.private-ip-address', (one) => text(one.PrivateIpAddress)],
  ['association.allocation-id', () => []],
  ['association.association-id', () => []],
  ['association.ip-owner-id', (one) => text(one.Association?.IpOwnerId)],
  ['association.public-dns-name', () => []],
  ['association.public-ip', (one) => text(one.Association?.PublicIp)],
  ['attachment.attach-time', (one) => text(one.Attachment?.AttachTime?.toISOString())],
  ['attachment.delete-on-termination', () => ['true']],
  ['description', (one) => text(one.Description)],
  ['interface-type', () => ['interface']],
  ['ipv6-addresses.ipv6-address', () => []],
  ['operator.managed', () => ['false']],
  ['operator.principal', () => []],
  ['requester-id', () => []],
  ['requester-managed', () => ['false']],
  ['source-dest-check', () => ['true']],
  ['attachment.attachment-id', (one) => text(one.Attachment?.AttachmentId)],
  ['attachment.device-index', () => ['0']],
  ['attachment.instance-id', (one) => text(one.Attachment?.InstanceId)],
  ['attachment.instance-owner-id', (one) => text(one.OwnerId)],
  ['attachment.status', (one) => text(one.Attachment?.Status)],
  ['availability-zone', (one) => text(one.AvailabilityZone)],
  ['availability-zone-id', (one) => text(one.AvailabilityZoneId)],
  ['group-id', (one) => (one.Groups ?? []).flatMap(({ GroupId }) => text(GroupId))],
  ['group-name', () => [DEFAULT_GROUP]],
  ['mac-address', (one) => text(one.MacAddress)],
  ['network-interface-id', (one) => text(one.NetworkInterfaceId)],
  ['owner-id', (one) => text(one.OwnerId)],
  ['private-dns-name', (one) => text(one.PrivateDnsName)],
  ['private-ip-address', (one) => text(one.PrivateIpAddress)],
  ['status', (one) => text(one.Status)],
  ['subnet-id', (one) => text(one.SubnetId)],
  ['vpc-id', (one) => text(one.VpcId)],
]);

export const describeNetworkInterfaces: Handler<
  InputOf<'ec2', 'DescribeNetworkInterfaces'>,
  OutputOf<'ec2', 'DescribeNetworkInterfaces'>
> = async (context, request) => {
  const page = parsePage(request);
  const passes = parseFilters(request.Filters, interfaceFilters);
  const { address } = context.ports.machinePlace;
  const all = (await machinesOf(context)).map((machine) => interfaceView(machine, address));
  const asked = request.NetworkInterfaceIds ?? [];
  const missing = asked.find((id) => !all.some((one) => one.NetworkInterfaceId === id));
  if (missing !== undefined) {
    const message = `The networkInterface ID '${missing}' does not exist`;
    throw instanceRefusal('InvalidNetworkInterfaceID.NotFound', message);
  }
  endDryRun(request);
  const match = (one: InterfaceView): boolean => passes(one) && isAsked(asked, one.NetworkInterfaceId);
  const { ports, scope } = context;
  const { records, next } = await slicePage(ports, scope, 'network interfaces', { ...page, match }, all);
  return { NetworkInterfaces: records, ...nextToken(next) };
};

function isAsked(ids: readonly string[], id: string | undefined): boolean {
  return ids.length === 0 || (id !== undefined && ids.includes(id));
}

async function machinesOf({ ports, scope }: CallContext): Promise<readonly Instance[]> {
  const { instances } = await listInstances(ports, scope, {
    ids: null,
    face: 'ec2',
    after: null,
    countMax: UNPAGED_ITEMS_MAX,
    match: hasAddress,
  });
  return instances;
}

function interfaceView(instance: Instance, address: string): InterfaceView {
  const name = privateNameOf(instance);
  const reached = publicAddressOf(instance, address);
  const association =
    reached === null ? {} : { Association: { IpOwnerId: 'amazon', PublicDnsName: '', PublicIp: reached } };
  return {
    ...association,
    Attachment: {
      AttachmentId: interfaceAttachmentIdOf(instance),
      AttachTime: new Date(instance.createdAtMs),
      DeleteOnTermination: true,
      DeviceIndex: 0,
      InstanceId: instance.id,
      InstanceOwnerId: instance.account,
      NetworkCardIndex: 0,
      Status: 'attached',
    },
    AvailabilityZone: instance.zone,
    ...zoneIdView(instance),
    Description: '',
    Groups: [{ GroupId: groupIdOf(instance), GroupName: DEFAULT_GROUP }],
    InterfaceType: 'interface',
    Ipv6Addresses: [],
    MacAddress: GUEST_MAC_ADDRESS,
    NetworkInterfaceId: interfaceIdOf(instance),
    OwnerId: instance.account,
    PrivateDnsName: name,
    PrivateIpAddress: GUEST_ADDRESS,
    PrivateIpAddresses: [{ ...association, Primary: true, PrivateDnsName: name, PrivateIpAddress: GUEST_ADDRESS }],
    RequesterManaged: false,
    SourceDestCheck: true,
    Status: 'in-use',
    SubnetId: subnetIdOf(instance, instance.zone),
    TagSet: [],
    VpcId: vpcIdOf(instance),
  };
}
