import { type RegionName, regionName } from './ids.ts';

/** As EC2's DescribeRegions says for an account that has opted in to nothing. */
export type OptInStatus = 'opt-in-not-required' | 'not-opted-in';

export interface Zone {
  /** `us-east-1a`. */
  readonly name: string;
  /** `use1-az1`: the same place for every account. */
  readonly id: string;
}

export interface Region {
  readonly name: RegionName;
  /** `US East (N. Virginia)`. */
  readonly longName: string;
  readonly optIn: OptInStatus;
  readonly zones: readonly Zone[];
  /** Null where Lightsail does not exist. */
  readonly lightsail: LightsailRegion | null;
}

export interface LightsailRegion {
  readonly displayName: string;
  readonly description: string;
  readonly continentCode: string;
}

type Row = readonly [
  name: string,
  longName: string,
  zoneIdPrefix: string,
  /** Letter of the zone's name and number of its id: `a1` is …a and …-az1. */
  zones: string,
  optIn: OptInStatus,
  lightsail: readonly [displayName: string, recommendedFor: string, continentCode: string] | null,
];

const OPEN = 'opt-in-not-required';
const OPT_IN = 'not-opted-in';

/** The commercial partition (EC2 user guide, "Regions and Zones"; Lightsail API reference, "Region"). */
const ROWS: readonly Row[] = [
  ['af-south-1', 'Africa (Cape Town)', 'afs1', 'a1 b2 c3', OPT_IN, null],
  [
    'ap-east-1',
    'Asia Pacific (Hong Kong)',
    'ape1',
    'a1 b2 c3',
    OPT_IN,
    ['Hong Kong', 'Hong Kong and southern China', 'AS'],
  ],
  ['ap-east-2', 'Asia Pacific (Taipei)', 'ape2', 'a1 b2 c3', OPT_IN, null],
  ['ap-northeast-1', 'Asia Pacific (Tokyo)', 'apne1', 'a4 c1 d2', OPEN, ['Tokyo', 'Japan', 'AS']],
  ['ap-northeast-2', 'Asia Pacific (Seoul)', 'apne2', 'a1 b2 c3 d4', OPEN, ['Seoul', 'South Korea', 'AS']],
  ['ap-northeast-3', 'Asia Pacific (Osaka)', 'apne3', 'a3 b1 c2', OPEN, null],
  ['ap-south-1', 'Asia Pacific (Mumbai)', 'aps1', 'a1 b3 c2', OPEN, ['Mumbai', 'India', 'AS']],
  ['ap-south-2', 'Asia Pacific (Hyderabad)', 'aps2', 'a1 b2 c3', OPT_IN, null],
  ['ap-southeast-1', 'Asia Pacific (Singapore)', 'apse1', 'a1 b2 c3', OPEN, ['Singapore', 'Southeast Asia', 'AS']],
  ['ap-southeast-2', 'Asia Pacific (Sydney)', 'apse2', 'a1 b3 c2', OPEN, ['Sydney', 'Australia and New Zealand', 'OC']],
  ['ap-southeast-3', 'Asia Pacific (Jakarta)', 'apse3', 'a1 b2 c3', OPT_IN, ['Jakarta', 'Indonesia', 'AS']],
  ['ap-southeast-4', 'Asia Pacific (Melbourne)', 'apse4', 'a1 b2 c3', OPT_IN, null],
  ['ap-southeast-5', 'Asia Pacific (Malaysia)', 'apse5', 'a1 b2 c3', OPT_IN, ['Malaysia', 'Malaysia', 'AS']],
  ['ap-southeast-6', 'Asia Pacific (New Zealand)', 'apse6', 'a1 b2 c3', OPT_IN, null],
  ['ap-southeast-7', 'Asia Pacific (Thailand)', 'apse7', 'a1 b2 c3', OPT_IN, null],
  ['ca-central-1', 'Canada (Central)', 'cac1', 'a1 b2 d4', OPEN, ['Montreal', 'eastern Canada', 'NA']],
  ['ca-west-1', 'Canada West (Calgary)', 'caw1', 'a1 b2 c3', OPT_IN, null],
  ['eu-central-1', 'Europe (Frankfurt)', 'euc1', 'a2 b3 c1', OPEN, ['Frankfurt', 'central Europe', 'EU']],
  ['eu-central-2', 'Europe (Zurich)', 'euc2', 'a1 b2 c3', OPT_IN, null],
  ['eu-north-1', 'Europe (Stockholm)', 'eun1', 'a1 b2 c3', OPEN, ['Stockholm', 'northern Europe', 'EU']],
  ['eu-south-1', 'Europe (Milan)', 'eus1', 'a1 b2 c3', OPT_IN, null],
  ['eu-south-2', 'Europe (Spain)', 'eus2', 'a1 b2 c3', OPT_IN, ['Spain', 'southern Europe', 'EU']],
  ['eu-west-1', 'Europe (Ireland)', 'euw1', 'a3 b1 c2', OPEN, ['Ireland', 'Europe', 'EU']],
  ['eu-west-2', 'Europe (London)', 'euw2', 'a2 b3 c1', OPEN, ['London', 'the United Kingdom', 'EU']],
  ['eu-west-3', 'Europe (Paris)', 'euw3', 'a1 b2 c3', OPEN, ['Paris', 'France', 'EU']],
  ['il-central-1', 'Israel (Tel Aviv)', 'ilc1', 'a1 b2 c3', OPT_IN, null],
  ['me-central-1', 'Middle East (UAE)', 'mec1', 'a1 b2 c3', OPT_IN, null],
  ['me-south-1', 'Middle East (Bahrain)', 'mes1', 'a1 b2 c3', OPT_IN, null],
  ['mx-central-1', 'Mexico (Central)', 'mxc1', 'a1 b2 c3', OPT_IN, null],
  ['sa-east-1', 'South America (Sao Paulo)', 'sae1', 'a1 b2 c3', OPEN, ['São Paulo', 'South America', 'SA']],
  [
    'us-east-1',
    'US East (N. Virginia)',
    'use1',
    'a1 b2 c4 d6 e3 f5',
    OPEN,
    ['Virginia', 'the eastern United States', 'NA'],
  ],
  [
    'us-east-2',
    'US East (Ohio)',
    'use2',
    'a1 b2 c3',
    OPEN,
    ['Ohio', 'the eastern United States and eastern Canada', 'NA'],
  ],
  ['us-west-1', 'US West (N. California)', 'usw1', 'a3 c1', OPEN, ['N. California', 'the western United States', 'NA']],
  [
    'us-west-2',
    'US West (Oregon)',
    'usw2',
    'a2 b1 c3 d4',
    OPEN,
    ['Oregon', 'the northwestern United States, Alaska, and western Canada', 'NA'],
  ],
];

export const REGIONS: readonly Region[] = ROWS.map(([name, longName, zoneIdPrefix, zones, optIn, lightsail]) => ({
  name: regionName(name),
  longName,
  optIn,
  zones: zones.split(' ').map((zone) => ({ name: `${name}${zone[0]}`, id: `${zoneIdPrefix}-az${zone.slice(1)}` })),
  lightsail:
    lightsail === null
      ? null
      : {
          displayName: lightsail[0],
          description: `This region is recommended to serve users in ${lightsail[1]}`,
          continentCode: lightsail[2],
        },
}));

const BY_NAME: ReadonlyMap<string, Region> = new Map(REGIONS.map((region) => [region.name, region]));

/** The region of that name (case matters), or null. */
export function findRegion(name: string): Region | null {
  return BY_NAME.get(name) ?? null;
}

/** Its zones in the order of their names; none for a region that does not exist. */
export function zonesOf(region: RegionName): readonly Zone[] {
  return BY_NAME.get(region)?.zones ?? [];
}

/** A zone of the region by its name (case matters: `US-EAST-2A` is none), or null. */
export function findZone(region: RegionName, name: string): Zone | null {
  return zonesOf(region).find((zone) => zone.name === name) ?? null;
}
