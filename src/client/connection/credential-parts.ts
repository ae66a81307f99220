/** The sources of credentials that have to be asked: STS for a role, a program, a container's and an instance's metadata. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import type { Clock } from '#base/clock.ts';
import type { Random } from '#base/random.ts';
import type { DocumentRecord, GlobalOptions, InputRecord, Surroundings } from '#client/command.ts';
import type { Credentials } from '#wire/aws/sigv4-sign.ts';
import { Caller } from './caller.ts';
import { expandedPath, type Configuration } from './configuration.ts';
import type { CredentialParts, RoleRequest } from './credentials.ts';
import type { DebugLog } from './debug-log.ts';
import { isRecord, jsonOfBody } from './decode-reply.ts';
import { failure, osErrorText } from '#client/failure.ts';
import { serviceSettings } from './settings.ts';
import { shellWords } from './shell-words.ts';
import { Transport, TransportError, type TransportOptions } from './transport.ts';

export interface CredentialSurroundings {
  readonly configuration: Configuration;
  readonly globals: GlobalOptions;
  readonly surroundings: Surroundings;
  readonly transportOptions: TransportOptions;
  readonly clock: Clock;
  readonly random: Random;
  readonly debug: DebugLog;
}

export function credentialParts(around: CredentialSurroundings): CredentialParts {
  return {
    assumeRole: (request) => assumeRole(request, around),
    runProcess: (command) => runProcess(command, around),
    container: () => containerCredentials(around),
    instanceMetadata: () => instanceCredentials(around),
  };
}

async function assumeRole(request: RoleRequest, around: CredentialSurroundings): Promise<Credentials> {
  const { configuration, globals, surroundings, clock, random, debug, transportOptions } = around;
  const settings = serviceSettings('sts', request.source, { globals, configuration, surroundings });
  const transport = new Transport(transportOptions);
  try {
    const caller = new Caller('sts', settings, { clock, random, debug, transport });
    const input: Record<string, InputRecord[string]> = {
      RoleArn: request.roleArn,
      RoleSessionName: request.sessionName ?? `botocore-session-${Math.floor(clock.nowMs() / 1000)}`,
    };
    if (request.durationSeconds !== null) input['DurationSeconds'] = request.durationSeconds;
    if (request.externalId !== null) input['ExternalId'] = request.externalId;
    const { webIdentityTokenFile } = request;
    if (webIdentityTokenFile !== null)
      input['WebIdentityToken'] = tokenIn(expandedPath(webIdentityTokenFile, surroundings));
    const operation = webIdentityTokenFile === null ? 'AssumeRole' : 'AssumeRoleWithWebIdentity';
    const reply = await caller.call(operation, input);
    return credentialsIn(isRecord(reply['Credentials']) ? reply['Credentials'] : {}, 'assume-role');
  } finally {
    transport.close();
  }
}

function tokenIn(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw failure(`${osErrorText(error)}: '${path}'`);
  }
}

/** Runs the program without a shell; it prints JSON of version 1. It may ask the user on standard input. */
async function runProcess(command: string, { surroundings, clock }: CredentialSurroundings): Promise<Credentials> {
  const words = shellWords(command);
  const [program, ...parameters] = words ?? [];
  if (words === null || program === undefined) throw failure('No closing quotation');
  const output = await outputOf(program, parameters, surroundings);
  const reply = jsonOfBody(Buffer.from(output));
  const parsed = isRecord(reply) ? reply : {};
  const version = parsed['Version'] ?? null;
  if (version !== 1) {
    throw retrievalFailure(
      'custom-process',
      `Unsupported version '${version === null ? '<Version key not provided>' : JSON.stringify(version)}' for credential process provider, supported versions: 1`,
    );
  }
  const expiration = parsed['Expiration'];
  if (typeof expiration === 'string' && Date.parse(expiration) <= clock.nowMs()) {
    throw failure('Credentials were refreshed, but the refreshed credentials are still expired.');
  }
  return credentialsIn(parsed, 'custom-process');
}

/** Standard output of a program that ends well. Throws ClientError with what it says on standard error. */
async function outputOf(
  program: string,
  parameters: readonly string[],
  { environment }: Surroundings,
): Promise<string> {
  const child = spawn(program, parameters, { env: environment, stdio: ['inherit', 'pipe', 'pipe'] });
  const texts = Promise.all([text(child.stdout), text(child.stderr)]);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', (error) => reject(failure(`${osErrorText(error)}: '${program}'`)));
    child.once('close', resolve);
  });
  const [output, complaint] = await texts;
  if (code !== 0) throw retrievalFailure('custom-process', complaint);
  return output;
}

/** Throws ClientError when a member is missing. */
function credentialsIn(members: DocumentRecord, provider: string): Credentials {
  const textOf = (name: string): string => {
    const value = members[name];
    if (typeof value === 'string') return value;
    throw retrievalFailure(provider, `Missing required key in response: '${name}'`);
  };
  const token = members['SessionToken'] ?? members['Token'];
  return {
    accessKeyId: textOf('AccessKeyId'),
    secretAccessKey: textOf('SecretAccessKey'),
    ...(typeof token === 'string' ? { sessionToken: token } : {}),
  };
}

function retrievalFailure(provider: string, message: string): Error {
  return failure(`Error when retrieving credentials from ${provider}: ${message}`);
}

/** Hosts that a container's credentials may come from without TLS. */
const containerHosts = new Set(['169.254.170.2', '169.254.170.23', '[fd00:ec2::23]', 'localhost']);

async function containerCredentials(around: CredentialSurroundings): Promise<Credentials | null> {
  const { configuration, surroundings } = around;
  const { environment } = configuration;
  const relative = environment('AWS_CONTAINER_CREDENTIALS_RELATIVE_URI');
  const url = relative === null ? environment('AWS_CONTAINER_CREDENTIALS_FULL_URI') : `http://169.254.170.2${relative}`;
  if (url === null) return null;
  const { protocol, hostname } = URL.canParse(url) ? new URL(url) : { protocol: '', hostname: '' };
  if (protocol !== 'https:' && !containerHosts.has(hostname) && !hostname.startsWith('127.') && hostname !== '[::1]') {
    throw failure(
      `Unsupported host '${hostname}'.  Can only retrieve metadata from these hosts: ${[...containerHosts].join(', ')}`,
    );
  }
  const tokenFile = environment('AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE');
  const token =
    tokenFile === null
      ? environment('AWS_CONTAINER_AUTHORIZATION_TOKEN')
      : tokenIn(expandedPath(tokenFile, surroundings)).trim();
  const reply = await metadata(around, {
    method: 'GET',
    url,
    headers: token === null ? [] : [['Authorization', token]],
  });
  return reply === null ? null : credentialsIn(recordOf(reply), 'container-role');
}

async function instanceCredentials(around: CredentialSurroundings): Promise<Credentials | null> {
  const { environment } = around.configuration;
  if (environment('AWS_EC2_METADATA_DISABLED')?.toLowerCase() === 'true') return null;
  const base = (environment('AWS_EC2_METADATA_SERVICE_ENDPOINT') ?? 'http://169.254.169.254').replace(/\/+$/, '');
  const token = await metadata(around, {
    method: 'PUT',
    url: `${base}/latest/api/token`,
    headers: [['x-aws-ec2-metadata-token-ttl-seconds', '21600']],
  });
  if (token === null) return null;
  const headers = [['x-aws-ec2-metadata-token', token.trim()]] as const;
  const roles = `${base}/latest/meta-data/iam/security-credentials/`;
  const role = (await metadata(around, { method: 'GET', url: roles, headers }))?.trim().split('\n')[0];
  if (role === undefined || role === '') return null;
  const reply = await metadata(around, { method: 'GET', url: `${roles}${role}`, headers });
  return reply === null ? null : credentialsIn(recordOf(reply), 'iam-role');
}

function recordOf(text: string): DocumentRecord {
  const reply = jsonOfBody(Buffer.from(text));
  return isRecord(reply) ? reply : {};
}

/** The text at a place of metadata; null: nobody is there, or it has none. Waits a second, without proxies. */
async function metadata(
  { transportOptions }: CredentialSurroundings,
  {
    method,
    url,
    headers,
  }: { readonly method: string; readonly url: string; readonly headers: readonly (readonly [string, string])[] },
): Promise<string | null> {
  const transport = new Transport({
    ...transportOptions,
    connectTimeoutMs: 1000,
    readTimeoutMs: 1000,
    environment: () => null,
  });
  try {
    const host = new URL(url).host;
    const reply = await transport.send(
      { method, url, headers: [['Host', host], ...headers], body: new Uint8Array(0) },
      null,
    );
    return reply.status === 200 ? Buffer.from(reply.body).toString('utf8') : null;
  } catch (error) {
    if (error instanceof TransportError) return null;
    throw error;
  } finally {
    transport.close();
  }
}
