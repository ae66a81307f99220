import type { Handler } from '#api/handler.ts';
import { slicePage } from '#control/pages.ts';
import { INSTANCE_TYPES } from '#domain/instance-type.ts';
import { zonesOf } from '#domain/region.ts';
import { findInstance } from '#control/machines/records.ts';
import type { InputOf, OutputOf } from '#wire/aws/operations.ts';
import { endDryRun } from './dry-run.ts';
import { instanceRefusal, invalidParameter } from './errors.ts';
import { type FilterTable, type FilterTexts, parseFilters } from './filters.ts';
import { parseIds, requireInstanceId } from './ids.ts';
import { vpcIdOf } from './instance-network.ts';
import { typeName } from './instance-views.ts';
import { vpcNotFound } from './networks.ts';
import { nextToken, parsePage } from './paging.ts';

/*
 * What EC2 has and this server has not: addresses, launch templates, gateways and so on. Clients that go through all kinds of
 * resources find none, and who names one is told that it does not exist. What makes one is not performed at all.
 */

type Code = Parameters<typeof instanceRefusal>[0];

/** What was named, and the refusal of one: its code, and its words. */
type Naming<Input> = readonly [(input: Input) => readonly string[] | undefined, Code, (id: string) => string];

type Request = { readonly DryRun?: boolean | undefined } | InputOf<'ec2', 'DescribeExportTasks'>;

function none<Input extends Request, Output>(
  answer: Output,
  ...namings: readonly Naming<Input>[]
): Handler<Input, Output> {
  return async (_context, input) => {
    for (const [idsOf, code, words] of namings) {
      const [id] = idsOf(input) ?? [];
      if (id !== undefined) throw instanceRefusal(code, words(id));
    }
    if ('DryRun' in input) endDryRun(input);
    return answer;
  };
}

const TEMPLATE = 'InvalidLaunchTemplateId.NotFound';
const TEMPLATE_NAME = 'InvalidLaunchTemplateName.NotFoundException';

function templateWords(id: string): string {
  return `The specified launch template, with template ID ${id}, does not exist.`;
}

function templateNameWords(name: string): string {
  return `The specified launch template, with template name ${name}, does not exist.`;
}

function one(id: string | undefined): readonly string[] {
  return id === undefined || id === '' ? [] : [id];
}

export const describeAddresses = none<InputOf<'ec2', 'DescribeAddresses'>, OutputOf<'ec2', 'DescribeAddresses'>>(
  { Addresses: [] },
  [({ PublicIps: ips }) => ips, 'InvalidAddress.NotFound', (ip) => `Address '${ip}' not found.`],
  [({ AllocationIds: ids }) => ids, 'InvalidAllocationID.NotFound', (id) => `The allocation ID '${id}' does not exist`],
);

export const describeLaunchTemplates = none<
  InputOf<'ec2', 'DescribeLaunchTemplates'>,
  OutputOf<'ec2', 'DescribeLaunchTemplates'>
>(
  { LaunchTemplates: [] },
  [({ LaunchTemplateIds: ids }) => ids, TEMPLATE, templateWords],
  [({ LaunchTemplateNames: names }) => names, TEMPLATE_NAME, templateNameWords],
);

export const describeLaunchTemplateVersions = none<
  InputOf<'ec2', 'DescribeLaunchTemplateVersions'>,
  OutputOf<'ec2', 'DescribeLaunchTemplateVersions'>
>(
  { LaunchTemplateVersions: [] },
  [({ LaunchTemplateId: id }) => one(id), TEMPLATE, templateWords],
  [({ LaunchTemplateName: name }) => one(name), TEMPLATE_NAME, templateNameWords],
);

export const describeConversionTasks = none<
  InputOf<'ec2', 'DescribeConversionTasks'>,
  OutputOf<'ec2', 'DescribeConversionTasks'>
>({ ConversionTasks: [] }, [
  ({ ConversionTaskIds: ids }) => ids,
  'InvalidConversionTaskId',
  (id) => `The conversion task ID '${id}' does not exist`,
]);

export const describeExportTasks = none<InputOf<'ec2', 'DescribeExportTasks'>, OutputOf<'ec2', 'DescribeExportTasks'>>(
  { ExportTasks: [] },
  [
    ({ ExportTaskIds: ids }) => ids,
    'InvalidExportTaskID.NotFound',
    (id) => `The export task ID '${id}' does not exist`,
  ],
);

export const describeInternetGateways = none<
  InputOf<'ec2', 'DescribeInternetGateways'>,
  OutputOf<'ec2', 'DescribeInternetGateways'>
>({ InternetGateways: [] }, [
  ({ InternetGatewayIds: ids }) => ids,
  'InvalidInternetGatewayID.NotFound',
  (id) => `The internetGateway ID '${id}' does not exist`,
]);

export const describeRouteTables = none<InputOf<'ec2', 'DescribeRouteTables'>, OutputOf<'ec2', 'DescribeRouteTables'>>(
  { RouteTables: [] },
  [({ RouteTableIds: ids }) => ids, 'InvalidRouteTableID.NotFound', (id) => `The routeTable ID '${id}' does not exist`],
);

export const getSerialConsoleAccessStatus = none<
  InputOf<'ec2', 'GetSerialConsoleAccessStatus'>,
  OutputOf<'ec2', 'GetSerialConsoleAccessStatus'>
>({ SerialConsoleAccessEnabled: false });

/** An image is its account's alone, and nothing makes it public. */
export const getImageBlockPublicAccessState = none<
  InputOf<'ec2', 'GetImageBlockPublicAccessState'>,
  OutputOf<'ec2', 'GetImageBlockPublicAccessState'>
>({ ImageBlockPublicAccessState: 'block-new-sharing' });

/** Instances run no Windows, so none has a password. */
export const getPasswordData: Handler<InputOf<'ec2', 'GetPasswordData'>, OutputOf<'ec2', 'GetPasswordData'>> = async (
  { ports, scope },
  request,
) => {
  const { id } = await findInstance(ports, scope, requireInstanceId(request.InstanceId));
  endDryRun(request);
  return { InstanceId: id, PasswordData: '', Timestamp: new Date(ports.clock.nowMs()) };
};

/** None is monitored in detail: that is so already. */
export const unmonitorInstances: Handler<
  InputOf<'ec2', 'UnmonitorInstances'>,
  OutputOf<'ec2', 'UnmonitorInstances'>
> = async ({ ports, scope }, request) => {
  const ids = parseIds(request.InstanceIds, (text) => requireInstanceId(text)) ?? [];
  for (const id of ids) await findInstance(ports, scope, id);
  endDryRun(request);
  return { InstanceMonitorings: ids.map((id) => ({ InstanceId: id, Monitoring: { State: 'disabled' } })) };
};

type VpcAttributes = OutputOf<'ec2', 'DescribeVpcAttribute'>;

/** QEMU's network answers for names, and gives none. */
const VPC_ATTRIBUTES: ReadonlyMap<string, VpcAttributes> = new Map<string, VpcAttributes>([
  ['enableDnsSupport', { EnableDnsSupport: { Value: true } }],
  ['enableDnsHostnames', { EnableDnsHostnames: { Value: false } }],
  ['enableNetworkAddressUsageMetrics', { EnableNetworkAddressUsageMetrics: { Value: false } }],
]);

export const describeVpcAttribute: Handler<InputOf<'ec2', 'DescribeVpcAttribute'>, VpcAttributes> = async (
  { scope },
  request,
) => {
  const { Attribute: name, VpcId: id } = request;
  const attribute = VPC_ATTRIBUTES.get(name);
  if (attribute === undefined) throw invalidParameter('attribute', name, 'Unknown attribute.');
  if (id !== vpcIdOf(scope)) throw vpcNotFound(id);
  endDryRun(request);
  return { VpcId: id, ...attribute };
};

type OfferingView = NonNullable<OutputOf<'ec2', 'DescribeInstanceTypeOfferings'>['InstanceTypeOfferings']>[number];

const offeringFilters: FilterTable<OfferingView> = {
  named: new Map<string, FilterTexts<OfferingView>>([
    ['instance-type', ({ InstanceType: type }) => (type === undefined ? [] : [type])],
    ['location', ({ Location: location }) => (location === undefined ? [] : [location])],
  ]),
  tags: null,
};

/** Every type is everywhere. */
export const describeInstanceTypeOfferings: Handler<
  InputOf<'ec2', 'DescribeInstanceTypeOfferings'>,
  OutputOf<'ec2', 'DescribeInstanceTypeOfferings'>
> = async ({ ports, scope }, request) => {
  const page = parsePage(request);
  const match = parseFilters(request.Filters, offeringFilters);
  const { LocationType: asked = 'region' } = request;
  const zones = zonesOf(scope.region);
  const places: ReadonlyMap<string, readonly string[]> = new Map<string, readonly string[]>([
    ['region', [scope.region]],
    ['availability-zone', zones.map(({ name }) => name)],
    ['availability-zone-id', zones.map(({ id }) => id)],
    ['outpost', []],
  ]);
  const locations = places.get(asked);
  if (locations === undefined) throw invalidParameter('locationType', asked, 'Unknown type of location.');
  endDryRun(request);
  const LocationType = asked as NonNullable<OfferingView['LocationType']>;
  const all = INSTANCE_TYPES.flatMap(({ id }) =>
    locations.map((Location): OfferingView => ({ InstanceType: typeName(id), LocationType, Location })),
  );
  const { records, next } = await slicePage(ports, scope, 'instance type offerings', { ...page, match }, all);
  return { InstanceTypeOfferings: records, ...nextToken(next) };
};

/** What has an id here: of 17 digits, all of them. */
const ID_KINDS = [
  'image',
  'instance',
  'network-interface',
  'network-interface-attachment',
  'reservation',
  'security-group',
  'snapshot',
  'subnet',
  'volume',
  'vpc',
];

type IdFormats = NonNullable<OutputOf<'ec2', 'DescribeIdFormat'>['Statuses']>;

function idFormats(asked: string | undefined): IdFormats {
  const kinds = asked === undefined ? ID_KINDS : ID_KINDS.filter((kind) => kind === asked);
  if (kinds.length === 0) throw invalidParameter('resource', asked ?? '', 'Unknown type of resource.');
  return kinds.map((Resource) => ({ Resource, UseLongIds: true }));
}

export const describeIdFormat: Handler<
  InputOf<'ec2', 'DescribeIdFormat'>,
  OutputOf<'ec2', 'DescribeIdFormat'>
> = async (_context, { Resource: asked }) => ({ Statuses: idFormats(asked) });

export const describeIdentityIdFormat: Handler<
  InputOf<'ec2', 'DescribeIdentityIdFormat'>,
  OutputOf<'ec2', 'DescribeIdentityIdFormat'>
> = async (_context, { Resource: asked }) => ({ Statuses: idFormats(asked) });

export const describeAggregateIdFormat: Handler<
  InputOf<'ec2', 'DescribeAggregateIdFormat'>,
  OutputOf<'ec2', 'DescribeAggregateIdFormat'>
> = async (_context, request) => {
  endDryRun(request);
  return { UseLongIdsAggregated: true, Statuses: idFormats(undefined) };
};

/** Nobody has said for himself how ids are to be. */
export const describePrincipalIdFormat = none<
  InputOf<'ec2', 'DescribePrincipalIdFormat'>,
  OutputOf<'ec2', 'DescribePrincipalIdFormat'>
>({ Principals: [] });
