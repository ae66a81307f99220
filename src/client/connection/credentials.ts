/** Where credentials come from, in the order in which the AWS tools look: the first that has any is asked, and no other. */
import type { Credentials } from '#wire/aws/sigv4-sign.ts';
import type { Configuration } from './configuration.ts';
import { failure } from '#client/failure.ts';
import type { IniSection } from './ini-file.ts';

/** What the sources that are no file need to ask. */
export interface CredentialParts {
  /** Credentials for a role, through STS. */
  readonly assumeRole: (request: RoleRequest) => Promise<Credentials>;
  /** The standard output of a command, as a shell of the AWS tools runs it. */
  readonly runProcess: (command: string) => Promise<Credentials>;
  /** Of a container, where the environment names the place; null: it names none. */
  readonly container: () => Promise<Credentials | null>;
  /** The metadata of the instance; null: there is none. */
  readonly instanceMetadata: () => Promise<Credentials | null>;
}

export interface RoleRequest {
  /** Who asks; null: nobody, a token of an identity provider does. */
  readonly source: Credentials | null;
  readonly roleArn: string;
  readonly sessionName: string | null;
  readonly externalId: string | null;
  readonly durationSeconds: number | null;
  /** Path of a file that holds a token of an identity provider. */
  readonly webIdentityTokenFile: string | null;
}

/** Null: nothing names any. Throws ClientError where half of them are named, or a source fails. */
export async function findCredentials(
  configuration: Configuration,
  parts: CredentialParts,
): Promise<Credentials | null> {
  const { profile, profileName, profileByOption, environment } = configuration;
  if (!profileByOption) {
    const found = environmentCredentials(environment);
    if (found !== null) return found;
  }
  const name = profileName ?? 'default';
  if (profile.has('role_arn')) return roleCredentials(configuration, parts, name, []);
  const webIdentity = webIdentityOf(configuration);
  if (webIdentity !== null) return parts.assumeRole(webIdentity);
  if (profile.has('sso_session') || profile.has('sso_start_url')) {
    // Otherwise the call would go to the server that runs here, which is not who was meant.
    throw failure(`The profile ${name} asks for single sign-on, which there is not here.`);
  }
  const inFile = staticCredentials(configuration.credentialProfiles.get(name), 'shared-credentials-file');
  if (inFile !== null) return inFile;
  const command = profile.get('credential_process');
  if (command !== undefined) return parts.runProcess(command);
  return staticCredentials(profile, 'config-file') ?? (await parts.container());
}

export function environmentCredentials(environment: Configuration['environment']): Credentials | null {
  const accessKeyId = environment('AWS_ACCESS_KEY_ID') ?? '';
  if (accessKeyId === '') return null;
  const secretAccessKey = environment('AWS_SECRET_ACCESS_KEY') ?? '';
  if (secretAccessKey === '') throw failure('Partial credentials found in env, missing: AWS_SECRET_ACCESS_KEY');
  const token = environment('AWS_SECURITY_TOKEN') ?? environment('AWS_SESSION_TOKEN') ?? '';
  return withToken(accessKeyId, secretAccessKey, token);
}

function staticCredentials(section: IniSection | undefined, source: string): Credentials | null {
  const accessKeyId = section?.get('aws_access_key_id');
  if (section === undefined || accessKeyId === undefined) return null;
  const secretAccessKey = section.get('aws_secret_access_key');
  if (secretAccessKey === undefined)
    throw failure(`Partial credentials found in ${source}, missing: aws_secret_access_key`);
  return withToken(
    accessKeyId,
    secretAccessKey,
    section.get('aws_session_token') ?? section.get('aws_security_token') ?? '',
  );
}

function withToken(accessKeyId: string, secretAccessKey: string, sessionToken: string): Credentials {
  return sessionToken === '' ? { accessKeyId, secretAccessKey } : { accessKeyId, secretAccessKey, sessionToken };
}

function webIdentityOf({ profile, profileByOption, environment: around }: Configuration): RoleRequest | null {
  const environment = profileByOption ? () => null : around;
  const tokenFile = environment('AWS_WEB_IDENTITY_TOKEN_FILE') ?? profile.get('web_identity_token_file');
  if (tokenFile === undefined || tokenFile === '') return null;
  const roleArn = environment('AWS_ROLE_ARN') ?? profile.get('role_arn');
  if (roleArn === undefined) {
    throw failure(
      'The provided profile or the current environment is configured to assume role with web identity but has no role ARN configured. Ensure that the profile has the role_arn configuration set or the AWS_ROLE_ARN env var is set.',
    );
  }
  return {
    source: null,
    roleArn,
    sessionName: environment('AWS_ROLE_SESSION_NAME') ?? profile.get('role_session_name') ?? null,
    externalId: null,
    durationSeconds: null,
    webIdentityTokenFile: tokenFile,
  };
}

/** Credentials of a role that a profile names; who asks for them is another profile, which may name a role itself. */
async function roleCredentials(
  configuration: Configuration,
  parts: CredentialParts,
  profileName: string,
  visited: readonly string[],
): Promise<Credentials> {
  const profile = configuration.profiles.get(profileName) ?? new Map<string, string>();
  const roleArn = profile.get('role_arn') ?? '';
  if (profile.has('web_identity_token_file')) {
    const request = webIdentityOf({ ...configuration, profile });
    if (request !== null) return parts.assumeRole(request);
  }
  if (profile.has('mfa_serial'))
    throw failure(`The profile ${profileName} asks for a code of MFA, which cannot be given here.`);
  const duration = profile.get('duration_seconds');
  const source = await sourceCredentials(configuration, parts, profileName, [...visited, profileName]);
  return parts.assumeRole({
    source,
    roleArn,
    sessionName: profile.get('role_session_name') ?? null,
    externalId: profile.get('external_id') ?? null,
    durationSeconds: duration === undefined ? null : Number(duration),
    webIdentityTokenFile: null,
  });
}

async function sourceCredentials(
  configuration: Configuration,
  parts: CredentialParts,
  profileName: string,
  visited: readonly string[],
): Promise<Credentials> {
  const profile = configuration.profiles.get(profileName) ?? new Map<string, string>();
  const sourceName = profile.get('source_profile');
  const source = profile.get('credential_source');
  if (sourceName !== undefined && source !== undefined) {
    throw invalidConfiguration(`The profile "${profileName}" contains both source_profile and credential_source.`);
  }
  if (source !== undefined) return namedSource(source, profileName, configuration, parts);
  if (sourceName === undefined) {
    throw failure('Partial credentials found in assume-role, missing: source_profile or credential_source');
  }
  const sourceProfile = configuration.profiles.get(sourceName);
  if (sourceProfile === undefined) {
    throw invalidConfiguration(
      `The source_profile "${sourceName}" referenced in the profile "${profileName}" does not exist.`,
    );
  }
  const own = staticCredentials(sourceProfile, 'assume-role');
  // A profile that names itself gives its own keys.
  if (own !== null && (sourceName === profileName || !sourceProfile.has('role_arn'))) return own;
  if (visited.includes(sourceName)) {
    throw failure(
      `Infinite loop in credential configuration detected. Attempting to load from profile ${sourceName} which has already been visited. Visited profiles: [${visited.map((name) => `'${name}'`).join(', ')}]`,
    );
  }
  if (sourceProfile.has('role_arn')) return roleCredentials(configuration, parts, sourceName, visited);
  const command = sourceProfile.get('credential_process');
  if (command !== undefined) return parts.runProcess(command);
  throw invalidConfiguration(`The source profile "${sourceName}" must have credentials.`);
}

async function namedSource(
  source: string,
  profileName: string,
  configuration: Configuration,
  parts: CredentialParts,
): Promise<Credentials> {
  const found =
    source.toLowerCase() === 'environment'
      ? environmentCredentials(configuration.environment)
      : source.toLowerCase() === 'ecscontainer'
        ? await parts.container()
        : source.toLowerCase() === 'ec2instancemetadata'
          ? await parts.instanceMetadata()
          : undefined;
  if (found === undefined) {
    throw invalidConfiguration(`Unsupported credential_source in profile "${profileName}": ${source}`);
  }
  if (found === null) {
    throw failure(
      `Error when retrieving credentials from ${source}: No credentials found in credential_source referenced in profile ${profileName}`,
    );
  }
  return found;
}

function invalidConfiguration(message: string): Error {
  return failure(message);
}
