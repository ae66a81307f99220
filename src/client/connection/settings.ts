/** What options, environment and files of settings say together, and what of it has no answer yet. */
import type { GlobalOptions, LocalServer, OutputFormat, Surroundings } from '#client/command.ts';
import type { ServiceName } from '#wire/aws/operations.ts';
import type { Credentials } from '#wire/aws/sigv4-sign.ts';
import { expandedPath, type Configuration } from './configuration.ts';
import { awsEndpoint, configuredEndpoint, type Endpoint } from './endpoints.ts';
import { bareFailure, failure } from '#client/failure.ts';

export type RetryMode = 'legacy' | 'standard' | 'adaptive';

export interface Settings {
  readonly region: string;
  /** Without a slash at its end. */
  readonly endpoint: string;
  readonly signingRegion: string;
  /** Null: none were found, or none are wanted. */
  readonly credentials: Credentials | null;
  /** Whether requests are signed. */
  readonly signRequest: boolean;
  /** The format of output: of the option, else of environment or files, else json. */
  readonly output: OutputFormat;
  readonly timestamps: 'wire' | 'iso8601';
  /** Requests of one call at most, the first among them. */
  readonly attemptsMax: number;
  readonly retryMode: RetryMode;
  readonly verifySsl: boolean;
  /** Path of a PEM file whose authorities are trusted, and no others. */
  readonly caBundle: string | null;
  readonly connectTimeoutMs: number;
  readonly readTimeoutMs: number;
}

/** How to come by credentials when they are wanted; null: there are none. */
export interface CredentialSource {
  /** Those that environment or files name. */
  readonly named: () => Promise<Credentials | null>;
  /** Those that the machine has by itself. */
  readonly ofMachine: () => Promise<Credentials | null>;
}

export interface SettingSources {
  readonly globals: GlobalOptions;
  readonly configuration: Configuration;
  readonly surroundings: Surroundings;
}

/** Throws ClientError: no region, a setting that makes no sense. That there are no credentials is said by the first call. */
export async function resolveSettings(
  service: ServiceName,
  sources: SettingSources,
  credentialsOf: CredentialSource,
): Promise<Settings> {
  const { globals, configuration } = sources;
  const fixed = {
    output: outputOf(globals, configuration),
    timestamps: timestampsOf(configuration),
    ...retriesOf(configuration),
    ...connectionSettings(sources),
  };
  return { ...fixed, ...(await placeOf(service, sources, credentialsOf)) };
}

/** How connections are made. */
export function connectionSettings({ globals, configuration, surroundings }: SettingSources): ConnectionSettings {
  return {
    verifySsl: globals.verifySsl,
    caBundle: caBundleOf(globals, configuration, surroundings),
    connectTimeoutMs: 1000 * (globals.cliConnectTimeout ?? 60),
    readTimeoutMs: 1000 * (globals.cliReadTimeout ?? 60),
  };
}

export type ConnectionSettings = Pick<Settings, 'verifySsl' | 'caBundle' | 'connectTimeoutMs' | 'readTimeoutMs'>;

/** For a call on the way to credentials: `--endpoint-url` is not meant for it. Throws ClientError: no region. */
export function serviceSettings(
  service: ServiceName,
  credentials: Credentials | null,
  sources: SettingSources,
): Settings {
  const { globals, configuration } = sources;
  const region = regionOf(globals, configuration);
  if (region === null) throw noRegion();
  const configured = configuredEndpoint(service, configuration);
  if (configured !== null && !isEndpoint(configured)) throw failure(`Invalid endpoint: ${configured}`);
  const { url, signingRegion } =
    configured === null ? awsEndpoint(service, region) : { url: configured.replace(/\/+$/, ''), signingRegion: region };
  return {
    region,
    endpoint: url,
    signingRegion,
    credentials,
    signRequest: credentials !== null,
    output: 'json',
    timestamps: 'wire',
    ...retriesOf(configuration),
    ...connectionSettings(sources),
  };
}

interface Place {
  readonly region: string;
  readonly endpoint: string;
  readonly signingRegion: string;
  readonly credentials: Credentials | null;
  readonly signRequest: boolean;
}

/**
 * Where to, and as whom. The server that runs here is meant where neither an endpoint nor credentials are named, and where
 * its own endpoint is named without credentials. Whoever has credentials of AWS and names no endpoint reaches AWS.
 */
async function placeOf(
  service: ServiceName,
  { globals, configuration, surroundings }: SettingSources,
  credentialsOf: CredentialSource,
): Promise<Place> {
  const named = globals.endpointUrl ?? configuredEndpoint(service, configuration);
  if (named !== null && !isEndpoint(named)) throw failure(`Invalid endpoint: ${named}`);
  const own = globals.signRequest ? await credentialsOf.named() : null;
  const local = own === null ? await localServerFor(named, surroundings) : null;
  const url = named ?? local?.endpoint ?? null;
  const region = regionOf(globals, configuration) ?? local?.region ?? null;
  if (region === null && !(url === null && globalServices.has(service))) {
    throw noRegion();
  }
  const { url: endpoint, signingRegion }: Endpoint =
    url === null
      ? awsEndpoint(service, region ?? 'aws-global')
      : { url: url.replace(/\/+$/, ''), signingRegion: region ?? 'us-east-1' };
  const known = own ?? credentialsOfLocal(local);
  const credentials = globals.signRequest ? (known ?? (await credentialsOf.ofMachine())) : null;
  return { region: region ?? signingRegion, endpoint, signingRegion, credentials, signRequest: globals.signRequest };
}

function isEndpoint(text: string): boolean {
  return /^https?:\/\/[^/?#]/i.test(text) && URL.canParse(text);
}

function noRegion(): Error {
  return bareFailure('You must specify a region. You can also configure your region by running "aws configure".');
}

async function localServerFor(named: string | null, surroundings: Surroundings): Promise<LocalServer | null> {
  const local = await surroundings.localServer();
  if (local === null || named === null) return local;
  return URL.canParse(named) && new URL(named).origin === new URL(local.endpoint).origin ? local : null;
}

function credentialsOfLocal(local: LocalServer | null): Credentials | null {
  return local === null ? null : { accessKeyId: local.accessKeyId, secretAccessKey: local.secretAccessKey };
}

/** AWS_REGION comes last: version 1 of the AWS command line does not know it, so it may not win over what that one knows. */
function regionOf(globals: GlobalOptions, { environment, profile }: Configuration): string | null {
  const region =
    globals.region ?? environment('AWS_DEFAULT_REGION') ?? profile.get('region') ?? environment('AWS_REGION');
  if (region === null || region === '') return null;
  if (!/^(?![0-9]+$)(?!-)[a-zA-Z0-9-]{1,63}(?<!-)$/.test(region)) {
    throw failure(`Provided region_name '${region}' doesn't match a supported format.`);
  }
  return region;
}

/** Services that AWS has in one place for all regions. */
const globalServices: ReadonlySet<ServiceName> = new Set(['iam', 'sts']);

const formats: ReadonlySet<string> = new Set<OutputFormat>(['json', 'text', 'table', 'yaml']);

function outputOf(globals: GlobalOptions, { environment, profile }: Configuration): OutputFormat {
  const format = globals.output ?? environment('AWS_DEFAULT_OUTPUT') ?? profile.get('output') ?? 'json';
  if (!formats.has(format)) throw failure(`Unknown output type: ${format}`);
  return format as OutputFormat;
}

function timestampsOf({ profile }: Configuration): Settings['timestamps'] {
  const format = profile.get('cli_timestamp_format') ?? 'wire';
  if (format === 'iso8601') return 'iso8601';
  if (format === 'wire' || format === 'none') return 'wire';
  throw failure(`Unknown cli_timestamp_format value: ${format}, valid values are "none", "wire" or "iso8601"`);
}

function retriesOf({ environment, profile }: Configuration): Pick<Settings, 'attemptsMax' | 'retryMode'> {
  const mode = environment('AWS_RETRY_MODE') ?? profile.get('retry_mode') ?? 'legacy';
  if (mode !== 'legacy' && mode !== 'standard' && mode !== 'adaptive') {
    throw failure(`Invalid value provided to "mode": "${mode}" must be one of: ('legacy', 'standard', 'adaptive')`);
  }
  const given = environment('AWS_MAX_ATTEMPTS') ?? profile.get('max_attempts') ?? null;
  if (given === null) return { retryMode: mode, attemptsMax: mode === 'legacy' ? 5 : 3 };
  const count = Number(given);
  if (!/^\s*[+-]?\d+\s*$/.test(given)) throw failure(`invalid literal for int() with base 10: '${given}'`);
  if (count < 1) {
    throw failure(`Value provided to "max_attempts": ${count} must be an integer greater than or equal to 1`);
  }
  return { retryMode: mode, attemptsMax: count };
}

function caBundleOf(
  globals: GlobalOptions,
  { environment, profile }: Configuration,
  surroundings: Surroundings,
): string | null {
  const path = globals.caBundle ?? environment('AWS_CA_BUNDLE') ?? profile.get('ca_bundle') ?? null;
  // REQUESTS_CA_BUNDLE is what Python's programs share.
  const chosen = path ?? environment('REQUESTS_CA_BUNDLE');
  return chosen === null || chosen === '' ? null : expandedPath(chosen, surroundings);
}
