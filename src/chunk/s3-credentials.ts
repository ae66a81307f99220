import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';

import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { Credentials } from '#wire/aws/sigv4-sign.ts';

import { containerCredentials, instanceCredentials, webIdentityCredentials } from './s3-credential-endpoints.ts';
import { CredentialsError, type Environment, type FoundCredentials } from './s3-found-credentials.ts';
import { programCredentials } from './s3-credential-program.ts';
import { profileOf } from './s3-profile.ts';

export interface CredentialSource {
  /** Valid ones, read anew before they expire. Throws CredentialsError. */
  get(signal: AbortSignal): Promise<Credentials>;
  /** The store does not take them: the next `get` reads them anew. */
  forget(): void;
}

/** From here on before their end, others are asked for; those at hand serve until they come. */
const REFRESH_MS = 5 * 60_000;
/** Others are not asked for more often than this when it failed. */
const RETRY_MS = 10_000;

/**
 * The places of the AWS SDKs, in their order, the first that has something:
 *
 *   AWS_ACCESS_KEY_ID … (unless AWS_PROFILE is set) → the shared files, ~/.aws/credentials and ~/.aws/config
 *   (keys, or a program that prints some) → a pod's role (AWS_WEB_IDENTITY_TOKEN_FILE) → the endpoint of a container
 *   (ECS, EKS) → the metadata of an EC2 instance (IMDSv2)
 *
 * Profiles that sign in or take a role are refused by name; see docs/s3.md for what to do then.
 */
export class CredentialChain implements CredentialSource {
  readonly #environment: Environment;
  readonly #clock: Clock;
  readonly #log: Log;
  #known: FoundCredentials | null = null;
  #reading: Promise<FoundCredentials> | null = null;
  #triedMs = Number.NEGATIVE_INFINITY;

  constructor(options: { readonly environment: Environment; readonly clock: Clock; readonly log: Log }) {
    this.#environment = options.environment;
    this.#clock = options.clock;
    this.#log = options.log;
  }

  async get(signal: AbortSignal): Promise<Credentials> {
    const known = this.#known;
    if (known === null) return await this.#read(signal);
    const leftMs = known.expiresMs === null ? Number.POSITIVE_INFINITY : known.expiresMs - this.#clock.nowMs();
    if (leftMs <= 0) return await this.#read(signal);
    if (leftMs < REFRESH_MS && this.#clock.monotonicMs() - this.#triedMs >= RETRY_MS) {
      // Nobody waits for it while there are some that serve.
      void this.#read(signal).catch((error: unknown) => this.#log.warn('s3.credentials', { error, leftMs }));
    }
    return known;
  }

  forget(): void {
    this.#known = null;
  }

  #read(signal: AbortSignal): Promise<FoundCredentials> {
    this.#triedMs = this.#clock.monotonicMs();
    this.#reading ??= findCredentials(this.#environment, this.#clock, signal)
      .then((found) => {
        if (this.#known?.accessKeyId !== found.accessKeyId) {
          this.#log.info('s3.credentials', { from: found.from, accessKeyId: found.accessKeyId });
        }
        this.#known = found;
        return found;
      })
      .finally(() => {
        this.#reading = null;
      });
    return this.#reading;
  }
}

async function findCredentials(environment: Environment, clock: Clock, signal: AbortSignal): Promise<FoundCredentials> {
  const profile = environment['AWS_PROFILE'];
  const found =
    (profile === undefined || profile === '' ? fromEnvironment(environment) : null) ??
    (await fromFiles(environment, signal)) ??
    (await webIdentityCredentials(environment, clock, signal)) ??
    (await containerCredentials(environment, clock, signal)) ??
    (await instanceCredentials(environment, clock, signal));
  if (found !== null) return found;
  throw new CredentialsError(
    'no credentials for the store: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or write ~/.aws/credentials',
    { retryable: false },
  );
}

function fromEnvironment(environment: Environment): FoundCredentials | null {
  const accessKeyId = environment['AWS_ACCESS_KEY_ID'] ?? '';
  const secretAccessKey = environment['AWS_SECRET_ACCESS_KEY'] ?? '';
  if (accessKeyId === '' || secretAccessKey === '') return null;
  const sessionToken = environment['AWS_SESSION_TOKEN'] || undefined;
  const expiresMs = Date.parse(environment['AWS_CREDENTIAL_EXPIRATION'] ?? '');
  return {
    accessKeyId,
    secretAccessKey,
    sessionToken,
    // They cannot be read anew, so their end is the store's to tell.
    expiresMs: Number.isNaN(expiresMs) ? null : expiresMs,
    from: 'the environment',
  };
}

async function fromFiles(environment: Environment, signal: AbortSignal): Promise<FoundCredentials | null> {
  const home = environment['HOME'] ?? homedir();
  const credentialsPath = environment['AWS_SHARED_CREDENTIALS_FILE'] ?? join(home, '.aws', 'credentials');
  const configPath = environment['AWS_CONFIG_FILE'] ?? join(home, '.aws', 'config');
  const asked = environment['AWS_PROFILE'];
  const name = asked === undefined || asked === '' ? 'default' : asked;
  const [credentials, config] = await Promise.all([textOf(credentialsPath), textOf(configPath)]);
  // Where both have a value, the file of credentials counts.
  const values = new Map([
    ...profileOf(config ?? '', name === 'default' ? ['default', 'profile default'] : [`profile ${name}`]),
    ...profileOf(credentials ?? '', [name]),
  ]);
  const accessKeyId = values.get('aws_access_key_id') ?? '';
  const secretAccessKey = values.get('aws_secret_access_key') ?? '';
  if (accessKeyId !== '' && secretAccessKey !== '') {
    return {
      accessKeyId,
      secretAccessKey,
      sessionToken: values.get('aws_session_token') || undefined,
      expiresMs: null,
      from: `profile ${name}`,
    };
  }
  const program = values.get('credential_process') ?? '';
  if (program !== '') return await programCredentials(program, environment, signal);
  const unsupported = ['role_arn', 'sso_session', 'sso_start_url', 'login_session'].find((key) => values.has(key));
  if (unsupported !== undefined) {
    throw new CredentialsError(
      `profile ${name} gets its credentials by ${unsupported}, which is not done here: eval "$(aws configure export-credentials --profile ${name} --format env)" first`,
      { retryable: false },
    );
  }
  if (name !== 'default') {
    throw new CredentialsError(`no profile ${name} with keys in ${credentialsPath} or ${configPath}`, {
      retryable: false,
    });
  }
  return null;
}

async function textOf(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && ['ENOENT', 'ENOTDIR', 'EISDIR'].includes(String(error.code)))
      return null;
    throw new CredentialsError(`read ${path}`, { cause: error, retryable: true });
  }
}
