import { MASTER_KEY_DEFAULT, type MasterKeySource } from '#chunk/master-key-source.ts';
import type { S3Location } from '#chunk/s3-location.ts';
import type { OutpostId } from '#domain/outpost.ts';

import { type Decode, count, DecodeError, list, nullable, outpostId, record, text } from './host-decode.ts';
import { HYDRATION_DEFAULT, type HydrationSettings } from './hydrations.ts';

/** An address to listen on. */
export interface NbdTcp {
  readonly host: string;
  readonly port: number;
}

/** How a volume host is set up beside its data directory. A living host with other settings takes them up where it can (LiveSettings), and is replaced otherwise. */
export interface HostSettings {
  /** Where exports are served over TCP as well, with TLS and a credential for each; port 0: any free one. Null: unix sockets only. */
  readonly nbdTcp: NbdTcp | null;
  /** The bucket that holds the objects; without it they are in the data directory. */
  readonly s3?: S3Location | null;
  /** Whether the data files of new volumes are encrypted. */
  readonly encryptVolumes?: boolean;
  /** How restored volumes are filled in the background. */
  readonly hydration?: HydrationSettings;
  /** Where the master key is; never the key itself. */
  readonly masterKey?: MasterKeySource;
  /** Sites with stores of their own. */
  readonly outposts?: readonly OutpostStore[];
}

/** An Outpost, and where its objects are. */
export interface OutpostStore {
  readonly id: OutpostId;
  /** An absolute path; null: they are in a bucket. */
  readonly directory: string | null;
  readonly s3: S3Location | null;
}

/** What a living host takes up without a restart: nothing of it disturbs a client. */
export type LiveSettings = Pick<Required<HostSettings>, 'nbdTcp' | 'encryptVolumes' | 'hydration'>;

const SETTINGS = [
  'nbdTcp',
  's3',
  'encryptVolumes',
  'hydration',
  'masterKey',
  'outposts',
] as const satisfies readonly (keyof HostSettings)[];

const location: Decode<S3Location> = record<S3Location>({
  bucket: text,
  prefix: text,
  region: text,
  endpoint: nullable(text),
});
const outposts = list(record<OutpostStore>({ id: outpostId, directory: nullable(text), s3: nullable(location) }));
const settings: Decode<Required<HostSettings>> = record<Required<HostSettings>>({
  nbdTcp: nullable(record<NbdTcp>({ host: text, port: count })),
  s3: (value, path) => nullable(location)(value ?? null, path),
  encryptVolumes: (value) => value === true,
  hydration: record<HydrationSettings>({ bytesPerSecond: count }),
  masterKey: (value, path) => (value === undefined ? MASTER_KEY_DEFAULT : masterKeySource(value, path)),
  outposts: (value, path) => (value === undefined ? [] : outposts(value, path)),
});

function masterKeySource(value: unknown, path: string): MasterKeySource {
  const { kind, where } = record<{ readonly kind: string; readonly where: string | null }>({
    kind: text,
    where: nullable(text),
  })(value, path);
  if (kind === 'file') return { kind, where };
  if (kind === 'environment') return { kind };
  if (kind === 'command' && where !== null) return { kind, where };
  throw new DecodeError(`${path} is not a place of a master key`);
}

/** Left out where it is as ever: hosts of earlier versions are adopted. */
function masterKeyText(source: MasterKeySource): { readonly masterKey?: unknown } {
  if (source.kind === 'file' && source.where === null) return {};
  return { masterKey: { kind: source.kind, where: source.kind === 'environment' ? null : source.where } };
}

/** One text for one value, to compare and to pass on a command line. */
export function encodeSettings(value: HostSettings): string {
  const { s3 = null, encryptVolumes = false, hydration: rate = HYDRATION_DEFAULT } = value;
  const hydration = { bytesPerSecond: rate.bytesPerSecond };
  const nbdTcp = value.nbdTcp === null ? null : { host: value.nbdTcp.host, port: value.nbdTcp.port };
  const masterKey = masterKeyText(value.masterKey ?? MASTER_KEY_DEFAULT);
  const outpostStores = outpostsText(value.outposts ?? []);
  return JSON.stringify({ nbdTcp, s3: placeOf(s3), encryptVolumes, hydration, ...masterKey, ...outpostStores });
}

/** With its members in one order. */
function placeOf(s3: S3Location | null): S3Location | null {
  if (s3 === null) return null;
  const { bucket, prefix, region, endpoint } = s3;
  return { bucket, prefix, region, endpoint };
}

/** Left out where there is none, as for the master key; in the order of their ids. */
function outpostsText(stores: readonly OutpostStore[]): { readonly outposts?: unknown } {
  if (stores.length === 0) return {};
  const sorted = stores.toSorted((a, b) => (a.id < b.id ? -1 : 1));
  return { outposts: sorted.map(({ id, directory, s3 }) => ({ id, directory, s3: placeOf(s3) })) };
}

/** In what two hosts can differ: a setting, or the program itself. */
export type HostDifference = keyof HostSettings | 'program';

/** Which settings differ between two encoded texts; `program` where one of them is of a form that this program does not know. */
export function differingSettings(living: string, wanted: string): readonly HostDifference[] {
  if (living === wanted) return [];
  try {
    const [one, other] = [decodeSettings(living), decodeSettings(wanted)];
    return SETTINGS.filter((name) => encodeSettings({ ...one, [name]: other[name] }) !== encodeSettings(one));
  } catch {
    return ['program'];
  }
}

/** Whether a living host takes this up as it runs. Where it listens on TCP already, clients may be connected there. */
export function isLive(difference: HostDifference, living: string): boolean {
  if (difference === 'nbdTcp') return decodeSettings(living).nbdTcp === null;
  return difference === 'encryptVolumes' || difference === 'hydration';
}

/** Throws DecodeError or SyntaxError. */
export function decodeSettings(text: string): Required<HostSettings> {
  return settings(JSON.parse(text), 'settings');
}
