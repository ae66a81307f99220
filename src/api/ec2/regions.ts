import type { Handler } from '#api/handler.ts';
import { findRegion, REGIONS, zonesOf, type Region, type Zone } from '#domain/region.ts';
import type { InputOf, OutputOf } from '#wire/aws/operations.ts';
import { endDryRun } from './dry-run.ts';
import { invalidValue } from './errors.ts';
import { parseFilters, type FilterTable } from './filters.ts';

// A server of one's own has every region open: what AWS makes an account opt in to, this one has opted in to.

type RegionView = NonNullable<OutputOf<'ec2', 'DescribeRegions'>['Regions']>[number];
type ZoneView = NonNullable<OutputOf<'ec2', 'DescribeAvailabilityZones'>['AvailabilityZones']>[number];

const regionFilters: FilterTable<RegionView> = {
  named: new Map([
    ['endpoint', (region) => texts(region.Endpoint)],
    ['opt-in-status', (region) => texts(region.OptInStatus)],
    ['region-name', (region) => texts(region.RegionName)],
  ]),
  tags: null,
};

const zoneFilters: FilterTable<ZoneView> = {
  named: new Map([
    ['group-long-name', (zone) => texts(zone.GroupLongName)],
    ['group-name', (zone) => texts(zone.GroupName)],
    ['message', (zone) => (zone.Messages ?? []).flatMap((message) => texts(message.Message))],
    ['opt-in-status', (zone) => texts(zone.OptInStatus)],
    ['parent-zone-id', (zone) => texts(zone.ParentZoneId)],
    ['parent-zone-name', (zone) => texts(zone.ParentZoneName)],
    ['region-name', (zone) => texts(zone.RegionName)],
    ['state', (zone) => texts(zone.State)],
    ['zone-id', (zone) => texts(zone.ZoneId)],
    ['zone-name', (zone) => texts(zone.ZoneName)],
    ['zone-type', (zone) => texts(zone.ZoneType)],
  ]),
  tags: null,
};

function texts(text: string | undefined): readonly string[] {
  return text === undefined ? [] : [text];
}

export const describeRegions: Handler<InputOf<'ec2', 'DescribeRegions'>, OutputOf<'ec2', 'DescribeRegions'>> = async (
  _context,
  request,
) => {
  const passes = parseFilters(request.Filters, regionFilters);
  const names = request.RegionNames ?? [];
  const unknown = names.filter((name) => findRegion(name) === null);
  if (unknown.length > 0) throw invalidValue(`Invalid region: [${unknown.join(', ')}]`);
  endDryRun(request);
  const asked = new Set<string>(names);
  const regions = REGIONS.filter((region) => asked.size === 0 || asked.has(region.name));
  return { Regions: regions.map(regionView).filter(passes) };
};

function regionView(region: Region): RegionView {
  return {
    OptInStatus: region.optIn === 'not-opted-in' ? 'opted-in' : region.optIn,
    RegionName: region.name,
    Endpoint: `ec2.${region.name}.amazonaws.com`,
  };
}

export const describeAvailabilityZones: Handler<
  InputOf<'ec2', 'DescribeAvailabilityZones'>,
  OutputOf<'ec2', 'DescribeAvailabilityZones'>
> = async (context, request) => {
  const passes = parseFilters(request.Filters, zoneFilters);
  const region = findRegion(context.scope.region);
  const zones = zonesOf(context.scope.region);
  const names = request.ZoneNames ?? [];
  const ids = request.ZoneIds ?? [];
  checkKnown(names, new Set(zones.map((zone) => zone.name)), 'Invalid availability zone');
  checkKnown(ids, new Set(zones.map((zone) => zone.id)), 'Invalid availability zone-id');
  endDryRun(request);
  const asked = (zone: Zone): boolean =>
    (names.length === 0 || names.includes(zone.name)) && (ids.length === 0 || ids.includes(zone.id));
  const views = region === null ? [] : zones.filter(asked).map((zone) => zoneView(zone, region));
  return { AvailabilityZones: views.filter(passes) };
};

function checkKnown(given: readonly string[], known: ReadonlySet<string>, message: string): void {
  const unknown = given.filter((text) => !known.has(text));
  if (unknown.length > 0) throw invalidValue(`${message}: [${unknown.join(', ')}]`);
}

function zoneView(zone: Zone, region: Region): ZoneView {
  return {
    OptInStatus: 'opt-in-not-required',
    Messages: [],
    RegionName: region.name,
    ZoneName: zone.name,
    ZoneId: zone.id,
    GroupName: `${region.name}-zg-1`,
    NetworkBorderGroup: region.name,
    ZoneType: 'availability-zone',
    GroupLongName: `${region.longName} 1`,
    State: 'available',
  };
}
