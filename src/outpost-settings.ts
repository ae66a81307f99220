import { createHash } from 'node:crypto';
import { join, resolve, sep } from 'node:path';

import { isS3Region, parseS3Endpoint, parseS3Url, type S3Location } from '#chunk/s3-location.ts';
import { type AccountId, parseAccountId, type RegionName } from '#domain/ids.ts';
import { type OutpostId, parseOutpostId } from '#domain/outpost.ts';
import { findRegion, findZone } from '#domain/region.ts';

/** An Outpost as the file of `--outposts` says. */
export interface OutpostSettings {
  readonly id: OutpostId;
  readonly name: string;
  readonly region: RegionName;
  readonly zone: string;
  /** The only account that may use it; null: all may. */
  readonly account: AccountId | null;
  /** An absolute path, where its objects are; null: they are in a bucket. */
  readonly directory: string | null;
  readonly s3: S3Location | null;
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const MEMBERS: readonly string[] = ['name', 'region', 'zone', 'account', 'store', 's3Endpoint', 's3Region'];
const S3_REGION_DEFAULT = 'us-east-1';

/**
 * Reads JSON: a list of Outposts, each with a name, a region, a zone and a store. `taken`: where the region's objects are.
 * Throws Error with a sentence for whoever wrote it.
 */
export function parseOutpostSettings(
  text: string,
  taken: { readonly directory: string; readonly s3: S3Location | null },
): readonly OutpostSettings[] {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new Error('it is not JSON', { cause: error });
  }
  if (!Array.isArray(json)) throw new Error('it is not a list of Outposts');
  const outposts = json.map(parseOutpost);
  const places = [{ name: 'the region', ...taken }, ...outposts];
  for (const [at, one] of places.entries()) {
    for (const other of places.slice(at + 1)) {
      if (overlap(one, other)) throw new Error(`the stores of ${one.name} and ${other.name} are one in the other`);
    }
  }
  const ids = new Set(outposts.map(({ id }) => id));
  if (ids.size < outposts.length) throw new Error('two Outposts of a region have one name');
  return outposts;
}

function parseOutpost(value: unknown): OutpostSettings {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('an Outpost is an object');
  const members = value as Readonly<Record<string, unknown>>;
  const text = (member: string): string | null => {
    const found = members[member] ?? null;
    if (found === null || typeof found === 'string') return found;
    throw new Error(`${member} is a text`);
  };
  const name = text('name') ?? '';
  if (!NAME.test(name)) throw new Error(`"${name}" is no name of an Outpost: letters, digits and . _ -, at most 64`);
  const wrong = (what: string): Error => new Error(`${name}: ${what}`);
  const unknown = Object.keys(members).find((member) => !MEMBERS.includes(member));
  if (unknown !== undefined) throw wrong(`there is no "${unknown}"; there are ${MEMBERS.join(', ')}`);
  const region = findRegion(text('region') ?? '')?.name;
  if (region === undefined) throw wrong(`there is no region "${text('region') ?? ''}"`);
  const zone = text('zone') ?? '';
  if (findZone(region, zone) === null) throw wrong(`there is no zone "${zone}" in ${region}`);
  const accountText = text('account');
  const account = accountText === null ? null : parseAccountId(accountText);
  if (account === null && accountText !== null)
    throw wrong(`"${accountText}" is not an account, which has twelve digits`);
  const store = text('store') ?? '';
  if (store === '' || store.includes('\0')) throw wrong('its store is a directory, or s3://bucket/prefix');
  const s3 = store.startsWith('s3:') ? parseBucket(store, text('s3Endpoint'), text('s3Region'), wrong) : null;
  const directory = s3 === null ? resolve(store) : null;
  return { id: outpostId(region, name), name, region, zone, account, directory, s3 };
}

function parseBucket(
  store: string,
  endpointText: string | null,
  regionText: string | null,
  wrong: (what: string) => Error,
): S3Location {
  const place = parseS3Url(store);
  if (place === null) throw wrong(`"${store}" is not s3://bucket or s3://bucket/prefix`);
  const endpoint = endpointText === null ? null : parseS3Endpoint(endpointText);
  if (endpoint === null && endpointText !== null)
    throw wrong(`"${endpointText}" is not http://host:port or https://host`);
  const region = regionText ?? S3_REGION_DEFAULT;
  if (!isS3Region(region)) throw wrong(`"${region}" is not the name of a region of S3`);
  return { ...place, region, endpoint };
}

/** Of its region and name alone, so that it is the same whatever else is said of it. */
function outpostId(region: RegionName, name: string): OutpostId {
  const digits = createHash('sha256').update(`${region}/${name}`).digest('hex').slice(0, 16);
  const id = parseOutpostId(`op-0${digits}`);
  if (id === null) throw new Error(`${name}: its id is no id`);
  return id;
}

type Place = Pick<OutpostSettings, 'directory' | 's3'>;

/** Each store lists all that is below it, and deletes what it does not need. */
function overlap(one: Place, other: Place): boolean {
  if (one.s3 !== null && other.s3 !== null) {
    const [a, b] = [one.s3, other.s3];
    if (a.bucket !== b.bucket || serverOf(a) !== serverOf(b)) return false;
    return a.prefix.startsWith(b.prefix) || b.prefix.startsWith(a.prefix);
  }
  if (one.s3 !== null || other.s3 !== null || one.directory === null || other.directory === null) return false;
  return areNested(one.directory, other.directory);
}

/** Amazon has one bucket of a name, by whichever endpoint it is asked for. */
function serverOf({ endpoint }: S3Location): string {
  return endpoint === null || new URL(endpoint).hostname.endsWith('.amazonaws.com') ? 'amazon' : endpoint;
}

/** Whether one of two directories is the other, or in it. Both absolute. */
export function areNested(one: string, other: string): boolean {
  const [a, b] = [join(one, sep), join(other, sep)];
  return a.startsWith(b) || b.startsWith(a);
}
