import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { assert } from '#base/assert.ts';
import type { MasterKeySource } from '#chunk/master-key-source.ts';
import { isS3Region, parseS3Endpoint, parseS3Url, type S3Location } from '#chunk/s3-location.ts';
import { type LimitSettings, NO_LIMIT_SETTINGS } from '#control/limits.ts';
import { parseLimitSettings } from '#control/limit-settings.ts';
import { type AddressPool, parseAddressPool } from '#domain/address-pool.ts';
import type { RegionName } from '#domain/ids.ts';
import { findRegion } from '#domain/region.ts';
import type { NetworkMode } from '#machine/qemu-arguments.ts';

import { type OutpostSettings, parseOutpostSettings } from './outpost-settings.ts';

/** 4577 is free in IANA's registry of ports; LocalStack's 4566 and moto's 5000 can run beside it. */
export const PORT_DEFAULT = 4577;
export const DATA_DEFAULT = '.varve';
/** Of a bucket, where nobody says another. */
const S3_REGION_DEFAULT = 'us-east-1';
/** A tenth of what a disk gives, and 8 GiB in four minutes. */
const HYDRATION_MIB_DEFAULT = '32';
const HYDRATION_MIB_MAX = 10_000;
/** Of the loopback, all of which Linux has: nobody but programs of this computer reaches machines there. */
const MACHINE_ADDRESSES_DEFAULT = '127.10.0.0/16';
/** Where a client without a region of its own is sent. */
export const REGION_DEFAULT = 'us-east-1';

/** Everything that differs between two installations; frozen at start. Limits of the services are in control/limits.ts. */
export interface Config {
  /** Absolute path of the data directory. */
  readonly dataDirectory: string;
  readonly host: string;
  /** TCP port of the API; 0: any free one. */
  readonly port: number;
  readonly region: RegionName;
  /** Where NBD is served over TCP as well, with TLS; port 0: any free one. Null: unix sockets only. */
  readonly nbdTcp: { readonly host: string; readonly port: number } | null;
  /** The bucket that holds the objects; null: they are in the data directory. */
  readonly s3: S3Location | null;
  /** Whether the data files of new volumes are encrypted. */
  readonly encryptVolumes: boolean;
  /** Whether disks are served on after a stop of the server, for its next start. */
  readonly leaveHost: boolean;
  /** How fast a volume made from a snapshot is filled in the background, in MiB a second; 0: what is not read stays where it is. */
  readonly hydrationMib: number;
  /** What accounts may have, where it is not as by default. */
  readonly limits: LimitSettings;
  /** Sites with chunk stores of their own. */
  readonly outposts: readonly OutpostSettings[];
  /** Where the master key is; never the key itself. */
  readonly masterKey: MasterKeySource;
  /** What machines reach, and who reaches them. */
  readonly machineNetwork: NetworkMode;
  /** Addresses of this computer that machines have for themselves. */
  readonly machineAddresses: AddressPool;
  /** How often this computer's memory may be promised to machines. */
  readonly machineOvercommit: number;
  /** Paths of PEM files; with them the API speaks HTTPS. */
  readonly tls: { readonly certPath: string; readonly keyPath: string } | null;
}

export interface ConfigOptions {
  readonly data?: string | undefined;
  readonly host?: string | undefined;
  readonly port?: string | undefined;
  readonly region?: string | undefined;
  readonly nbdTcp?: string | undefined;
  readonly store?: string | undefined;
  readonly s3Endpoint?: string | undefined;
  readonly s3Region?: string | undefined;
  readonly encryptVolumes?: boolean | undefined;
  readonly leaveHost?: boolean | undefined;
  readonly hydrationRate?: string | undefined;
  readonly limits?: string | undefined;
  readonly outposts?: string | undefined;
  readonly masterKeyFile?: string | undefined;
  readonly masterKeyCommand?: string | undefined;
  readonly machineNetwork?: string | undefined;
  readonly machineAddresses?: string | undefined;
  readonly machineOvercommit?: string | undefined;
  readonly tlsCert?: string | undefined;
  readonly tlsKey?: string | undefined;
}

/** A value on the command line or in the environment that cannot be used; the message is for its writer. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/** Reads options (the command line), then the environment (VARVE_DATA, VARVE_PORT, …), then defaults. Throws ConfigError. */
export function readConfig(options: ConfigOptions, environment: Readonly<Record<string, string | undefined>>): Config {
  const dataDirectory = dataDirectoryOf(options, environment);
  const regionName = options.region ?? environment['VARVE_REGION'] ?? REGION_DEFAULT;
  const region = findRegion(regionName);
  if (region === null) throw new ConfigError(`--region: there is no region "${regionName}"`);
  const nbdTcp = options.nbdTcp ?? environment['VARVE_NBD_TCP'];
  const s3 = s3Of(options, environment);
  return Object.freeze({
    dataDirectory,
    host: options.host ?? environment['VARVE_HOST'] ?? '127.0.0.1',
    port: parsePort('--port', options.port ?? environment['VARVE_PORT'] ?? String(PORT_DEFAULT)),
    region: region.name,
    nbdTcp: nbdTcp === undefined || nbdTcp === '' ? null : parseAddress('--nbd-tcp', nbdTcp),
    s3,
    hydrationMib: rateOf(options.hydrationRate ?? environment['VARVE_HYDRATION_RATE'] ?? HYDRATION_MIB_DEFAULT),
    limits: limitsOf(options.limits ?? environment['VARVE_LIMITS'] ?? ''),
    outposts: outpostsOf(options.outposts ?? environment['VARVE_OUTPOSTS'] ?? '', dataDirectory, s3),
    encryptVolumes: options.encryptVolumes ?? isOn('VARVE_ENCRYPT_VOLUMES', environment),
    leaveHost: options.leaveHost ?? isOn('VARVE_LEAVE_HOST', environment),
    masterKey: masterKeyOf(options, environment),
    machineNetwork: machineNetworkOf(options.machineNetwork ?? environment['VARVE_MACHINE_NETWORK'] ?? 'isolated'),
    machineAddresses: machineAddressesOf(
      options.machineAddresses ?? environment['VARVE_MACHINE_ADDRESSES'] ?? MACHINE_ADDRESSES_DEFAULT,
    ),
    machineOvercommit: machineOvercommitOf(options.machineOvercommit ?? environment['VARVE_MACHINE_OVERCOMMIT'] ?? '1'),
    tls: tlsOf(options.tlsCert ?? environment['VARVE_TLS_CERT'], options.tlsKey ?? environment['VARVE_TLS_KEY']),
  });
}

/** A switch in the environment. What is neither on nor off is refused: nobody is to think that it is on when it is not. */
function isOn(name: string, environment: Readonly<Record<string, string | undefined>>): boolean {
  const value = environment[name] ?? '';
  if (['1', 'true', 'yes', 'on'].includes(value.toLowerCase())) return true;
  if (['', '0', 'false', 'no', 'off'].includes(value.toLowerCase())) return false;
  throw new ConfigError(`${name}: "${value}" is neither 1 nor 0`);
}

function s3Of(options: ConfigOptions, environment: Readonly<Record<string, string | undefined>>): S3Location | null {
  const store = options.store ?? environment['VARVE_STORE'];
  const endpointText = options.s3Endpoint ?? environment['VARVE_S3_ENDPOINT'];
  const region = options.s3Region ?? environment['VARVE_S3_REGION'] ?? S3_REGION_DEFAULT;
  if (store === undefined || store === '') {
    if (options.s3Endpoint === undefined && options.s3Region === undefined) return null;
    throw new ConfigError('--s3-endpoint and --s3-region go with --store s3://bucket/prefix');
  }
  const place = parseS3Url(store);
  if (place === null) {
    throw new ConfigError(
      `--store: "${store}" is not s3://bucket or s3://bucket/prefix (parts of A-Z a-z 0-9 . _ - that do not begin with a dot)`,
    );
  }
  const endpoint = endpointText === undefined || endpointText === '' ? null : parseS3Endpoint(endpointText);
  if (endpoint === null && endpointText !== undefined && endpointText !== '') {
    throw new ConfigError(`--s3-endpoint: "${endpointText}" is not http://host:port or https://host`);
  }
  if (!isS3Region(region)) throw new ConfigError(`--s3-region: "${region}" is not the name of a region`);
  return { ...place, region, endpoint };
}

/** One place: two keys would not both be right. */
function masterKeyOf(
  options: ConfigOptions,
  environment: Readonly<Record<string, string | undefined>>,
): MasterKeySource {
  const given = (text: string | undefined): string | null => (text === undefined || text === '' ? null : text);
  const file = given(options.masterKeyFile ?? environment['VARVE_MASTER_KEY_FILE']);
  const command = given(options.masterKeyCommand ?? environment['VARVE_MASTER_KEY_COMMAND']);
  const isInEnvironment = given(environment['VARVE_MASTER_KEY']) !== null;
  if ([file !== null, command !== null, isInEnvironment].filter(Boolean).length > 1) {
    throw new ConfigError('--master-key-file, --master-key-command and VARVE_MASTER_KEY exclude each other');
  }
  if (isInEnvironment) return { kind: 'environment' };
  if (command !== null) return { kind: 'command', where: command };
  return { kind: 'file', where: file === null ? null : resolve(file) };
}

function rateOf(text: string): number {
  const rate = /^[0-9]{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (!(rate <= HYDRATION_MIB_MAX)) {
    throw new ConfigError(`--hydration-rate: "${text}" is not a number of MiB a second (0 to ${HYDRATION_MIB_MAX})`);
  }
  return rate;
}

function limitsOf(text: string): LimitSettings {
  return text === '' ? NO_LIMIT_SETTINGS : readJson('--limits', text, parseLimitSettings);
}

function outpostsOf(text: string, dataDirectory: string, s3: S3Location | null): readonly OutpostSettings[] {
  const taken = { directory: join(dataDirectory, 'objects'), s3 };
  return text === '' ? [] : readJson('--outposts', text, (json) => parseOutpostSettings(json, taken));
}

/** A file, or its content: what begins with a brace or a bracket is no path that anybody uses. */
function readJson<T>(option: string, text: string, parse: (json: string) => T): T {
  const isInline = /^\s*[{[]/.test(text);
  try {
    return parse(isInline ? text : readFileSync(text, 'utf8'));
  } catch (error) {
    const where = isInline ? option : `${option}: ${text}`;
    throw new ConfigError(`${where}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

/**
 * A guest that is let out by QEMU's own network also reaches what listens on this computer alone, and the metadata of a cloud
 * that it runs in: so it is not, unless whoever runs the server says so.
 */
function machineNetworkOf(text: string): NetworkMode {
  if (text === 'isolated' || text === 'internet') return { mode: 'user', outbound: text === 'internet' };
  const bridge = /^bridge:([A-Za-z0-9._-]{1,15})$/.exec(text)?.[1];
  if (bridge !== undefined) return { mode: 'bridge', bridge };
  throw new ConfigError(`--machine-network: "${text}" is not isolated, internet or bridge:NAME`);
}

function machineAddressesOf(text: string): AddressPool {
  const pool = parseAddressPool(text);
  if (pool !== null) return pool;
  throw new ConfigError(`--machine-addresses: "${text}" is not a network of IPv4 like 127.10.0.0/24 (/16 to /30)`);
}

function machineOvercommitOf(text: string): number {
  const factor = /^\d{1,3}(?:\.\d{1,3})?$/.test(text) ? Number(text) : 0;
  if (factor > 0) return factor;
  throw new ConfigError(`--machine-overcommit: "${text}" is not a number like 1.5, over 0 and under 1000`);
}

function tlsOf(certPath: string | undefined, keyPath: string | undefined): Config['tls'] {
  if (certPath === undefined && keyPath === undefined) return null;
  if (certPath === undefined || keyPath === undefined) {
    throw new ConfigError('--tls-cert and --tls-key go together: HTTPS needs a certificate and its key');
  }
  return { certPath: resolve(certPath), keyPath: resolve(keyPath) };
}

/** The data directory alone, for commands that read what a server left there. */
export function dataDirectoryOf(
  options: ConfigOptions,
  environment: Readonly<Record<string, string | undefined>>,
): string {
  const path = options.data ?? environment['VARVE_DATA'] ?? DATA_DEFAULT;
  if (path === '' || path.includes('\0')) throw new ConfigError('--data: the path is empty or holds a zero byte');
  return resolve(path);
}

/** `PORT` (of 127.0.0.1), `HOST:PORT` or `[IPV6]:PORT`. */
function parseAddress(option: string, text: string): { readonly host: string; readonly port: number } {
  const parts = /^(?:(?:\[(?<v6>[0-9A-Fa-f:.%]+)\]|(?<name>[A-Za-z0-9._-]+)):)?(?<port>[^:]*)$/.exec(text)?.groups;
  if (parts === undefined) throw new ConfigError(`${option}: "${text}" is not PORT, HOST:PORT or [IPV6]:PORT`);
  return { host: parts['v6'] ?? parts['name'] ?? '127.0.0.1', port: parsePort(option, parts['port'] ?? '') };
}

function parsePort(option: string, text: string): number {
  const port = /^[0-9]{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (!(port >= 0 && port <= 65_535)) throw new ConfigError(`${option}: "${text}" is not a port (0 to 65535)`);
  assert(Number.isInteger(port), 'a port is a whole number');
  return port;
}
