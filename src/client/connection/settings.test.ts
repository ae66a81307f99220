import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { SeededRandom } from '#base/random.ts';
import { ClientError, type GlobalOptions, NO_GLOBALS } from '#client/command.ts';
import type { ServiceName } from '#wire/aws/operations.ts';
import { openConnection } from './connection.ts';
import type { Settings } from './settings.ts';
import {
  answeringServer,
  callOf,
  hastyClock,
  surroundingsOf,
  type SurroundingsOptions,
} from './surroundings.fixture.ts';

const noMachine = { AWS_EC2_METADATA_DISABLED: 'true' };
const keys = { AWS_ACCESS_KEY_ID: 'AKENV', AWS_SECRET_ACCESS_KEY: 'env-secret' };
const local = { endpoint: 'http://127.0.0.1:4577', region: 'eu-north-1', accessKeyId: 'AKLOCAL', secretAccessKey: 's' };

async function settingsOf(
  options: SurroundingsOptions,
  globals: Partial<GlobalOptions> = {},
  service: ServiceName = 'ec2',
): Promise<Settings> {
  const opened = await openConnection(
    { service, globals: { ...NO_GLOBALS, ...globals } },
    surroundingsOf('settings', options),
    {
      clock: hastyClock(),
      random: new SeededRandom(1),
    },
  );
  opened.close();
  return opened.settings;
}

async function refusal(options: SurroundingsOptions, globals: Partial<GlobalOptions> = {}): Promise<string> {
  try {
    await settingsOf(options, globals);
  } catch (error) {
    assert.ok(error instanceof ClientError);
    assert.equal(error.exitCode, 255);
    return error.message;
  }
  throw new Error('was accepted');
}

test('a profile is found in both files, what the file of credentials says first', async () => {
  const config =
    '[profile dev]\nregion = eu-west-1\noutput = text\naws_access_key_id = wrong\n[default]\nregion = us-west-1\n';
  const credentials = '[dev]\naws_access_key_id = AKDEV\naws_secret_access_key = s3\naws_session_token = token\n';
  const settings = await settingsOf({ config, credentials, environment: { AWS_PROFILE: 'dev' } });
  assert.equal(settings.region, 'eu-west-1');
  assert.equal(settings.output, 'text');
  assert.deepEqual(settings.credentials, { accessKeyId: 'AKDEV', secretAccessKey: 's3', sessionToken: 'token' });
  assert.equal(settings.endpoint, 'https://ec2.eu-west-1.amazonaws.com');
});

test('keys of the environment win over a profile that it names, and not over one that an option names', async () => {
  const credentials = '[dev]\naws_access_key_id = AKDEV\naws_secret_access_key = s\n';
  const environment = { ...keys, AWS_PROFILE: 'dev', AWS_DEFAULT_REGION: 'us-east-1' };
  assert.equal((await settingsOf({ credentials, environment })).credentials?.accessKeyId, 'AKENV');
  assert.equal((await settingsOf({ credentials, environment }, { profile: 'dev' })).credentials?.accessKeyId, 'AKDEV');
});

test('a region: option, AWS_DEFAULT_REGION, profile, AWS_REGION', async () => {
  const all = {
    config: '[default]\nregion = r-profile\n',
    environment: { ...keys, AWS_DEFAULT_REGION: 'r-env', AWS_REGION: 'r-v2' },
  };
  assert.equal((await settingsOf(all, { region: 'r-option' })).region, 'r-option');
  assert.equal((await settingsOf(all)).region, 'r-env');
  assert.equal((await settingsOf({ ...all, environment: { ...keys, AWS_REGION: 'r-v2' } })).region, 'r-profile');
  assert.equal((await settingsOf({ environment: { ...keys, AWS_REGION: 'r-v2' } })).region, 'r-v2');
});

test('an endpoint: option, the service in the environment, the service in the file, all in the environment, all in the file', async () => {
  const config =
    '[default]\nregion = us-east-1\nservices = mine\nendpoint_url = http://all-file\n[services mine]\nec2 =\n  endpoint_url = http://ec2-file/\n';
  const environment = { ...keys, AWS_ENDPOINT_URL_EC2: 'http://ec2-env', AWS_ENDPOINT_URL: 'http://all-env' };
  assert.equal((await settingsOf({ config, environment }, { endpointUrl: 'http://option' })).endpoint, 'http://option');
  assert.equal((await settingsOf({ config, environment })).endpoint, 'http://ec2-env');
  const all = { config, environment: { ...keys, AWS_ENDPOINT_URL: 'http://all-env' } };
  assert.equal((await settingsOf(all)).endpoint, 'http://ec2-file');
  assert.equal((await settingsOf(all, {}, 'kms')).endpoint, 'http://all-env');
  assert.equal((await settingsOf({ config, environment: keys }, {}, 'kms')).endpoint, 'http://all-file');
  const ignored = { config, environment: { ...environment, AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: 'true' } };
  assert.equal((await settingsOf(ignored)).endpoint, 'https://ec2.us-east-1.amazonaws.com');
});

test('where AWS has its services', async () => {
  const at = async (service: ServiceName, region: string): Promise<readonly string[]> => {
    const { endpoint, signingRegion } = await settingsOf({ environment: keys }, { region }, service);
    return [endpoint, signingRegion];
  };
  assert.deepEqual(await at('lightsail', 'us-east-1'), ['https://lightsail.us-east-1.amazonaws.com', 'us-east-1']);
  assert.deepEqual(await at('iam', 'eu-west-1'), ['https://iam.amazonaws.com', 'us-east-1']);
  assert.deepEqual(await at('iam', 'us-gov-east-1'), ['https://iam.us-gov.amazonaws.com', 'us-gov-west-1']);
  assert.deepEqual(await at('sts', 'eu-west-1'), ['https://sts.eu-west-1.amazonaws.com', 'eu-west-1']);
  const global = await settingsOf({ environment: keys }, {}, 'sts');
  assert.deepEqual([global.endpoint, global.signingRegion], ['https://sts.amazonaws.com', 'us-east-1']);
  assert.deepEqual(await at('kms', 'cn-north-1'), ['https://kms.cn-north-1.amazonaws.com.cn', 'cn-north-1']);
});

test('the server that runs here is meant where nothing else is named', async () => {
  const settings = await settingsOf({ localServer: local });
  assert.equal(settings.endpoint, local.endpoint);
  assert.equal(settings.region, 'eu-north-1');
  assert.equal(settings.credentials?.accessKeyId, 'AKLOCAL');
  assert.equal((await settingsOf({ localServer: local }, { region: 'us-east-2' })).signingRegion, 'us-east-2');
});

test('whoever has credentials and names no endpoint reaches AWS, though a server runs here', async () => {
  const settings = await settingsOf({ localServer: local, environment: { ...keys, AWS_DEFAULT_REGION: 'us-east-1' } });
  assert.equal(settings.endpoint, 'https://ec2.us-east-1.amazonaws.com');
  assert.equal(settings.credentials?.accessKeyId, 'AKENV');
});

test('the key of the server that runs here goes to its own endpoint alone', async () => {
  const own = await settingsOf({ localServer: local }, { endpointUrl: 'http://127.0.0.1:4577/', region: 'us-east-1' });
  assert.equal(own.credentials?.accessKeyId, 'AKLOCAL');
  const other = await settingsOf(
    { localServer: local, environment: noMachine },
    { endpointUrl: 'http://127.0.0.1:4578', region: 'us-east-1' },
  );
  assert.equal(other.credentials, null);
});

test('without credentials the first call is refused, and not when it need not be signed', async () => {
  await using server = await answeringServer([{ status: 200, body: '{}' }]);
  const globals = { region: 'us-east-1', endpointUrl: server.endpoint };
  const call = callOf('lightsail', 'GetDisk', { diskName: 'a' }, { globals });
  const connection = await openConnection(call, surroundingsOf('no-credentials', { environment: noMachine }));
  await assert.rejects(connection.call(call), {
    message: 'Unable to locate credentials. You can configure credentials by running "aws configure".\n',
    exitCode: 255,
  });
  connection.close();
  const unsigned = callOf('lightsail', 'GetDisk', { diskName: 'a' }, { globals: { ...globals, signRequest: false } });
  const open = await openConnection(unsigned, surroundingsOf('unsigned'));
  await open.call(unsigned);
  open.close();
  assert.equal(server.seen[0]?.headers.authorization, undefined);
});

test('what cannot be: words and exit codes of the AWS command line', async () => {
  const region = { AWS_DEFAULT_REGION: 'us-east-1' };
  assert.equal(await refusal({}, { profile: 'x' }), '\nThe config profile (x) could not be found\n');
  assert.equal(
    await refusal({ environment: keys }),
    'You must specify a region. You can also configure your region by running "aws configure".\n',
  );
  assert.equal(
    await refusal({ environment: { ...region, AWS_ACCESS_KEY_ID: 'a' } }),
    '\nPartial credentials found in env, missing: AWS_SECRET_ACCESS_KEY\n',
  );
  assert.match(
    await refusal({ config: 'no section\n', environment: region }),
    /^\nUnable to parse config file: .*\/\.aws\/config\n$/,
  );
  assert.equal(
    await refusal({ environment: { ...keys, ...region } }, { region: 'us east' }),
    "\nProvided region_name 'us east' doesn't match a supported format.\n",
  );
  assert.equal(
    await refusal({ config: '[default]\ncli_timestamp_format = x\n', environment: { ...keys, ...region } }),
    '\nUnknown cli_timestamp_format value: x, valid values are "none", "wire" or "iso8601"\n',
  );
});

test('the role of an instance, where nothing else is named', async () => {
  const role = JSON.stringify({
    AccessKeyId: 'ASIA',
    SecretAccessKey: 's',
    Token: 't',
    Expiration: '2026-01-02T04:04:05Z',
  });
  await using server = await answeringServer(['token-1', 'my-role\n', role].map((body) => ({ status: 200, body })));
  const environment = { AWS_DEFAULT_REGION: 'us-east-1', AWS_EC2_METADATA_SERVICE_ENDPOINT: server.endpoint };
  const settings = await settingsOf({ environment });
  assert.deepEqual(settings.credentials, { accessKeyId: 'ASIA', secretAccessKey: 's', sessionToken: 't' });
  assert.deepEqual(
    server.seen.map(({ method, url, headers }) => [method, url, headers['x-aws-ec2-metadata-token']]),
    [
      ['PUT', '/latest/api/token', undefined],
      ['GET', '/latest/meta-data/iam/security-credentials/', 'token-1'],
      ['GET', '/latest/meta-data/iam/security-credentials/my-role', 'token-1'],
    ],
  );
});

test('credentials of a process', async () => {
  const surroundings = surroundingsOf('process');
  const script = join(surroundings.home, 'two words.sh');
  writeFileSync(
    script,
    '#!/bin/sh\necho "{\\"Version\\": 1, \\"AccessKeyId\\": \\"$1\\", \\"SecretAccessKey\\": \\"s\\", \\"SessionToken\\": \\"t\\"}"\n',
  );
  chmodSync(script, 0o755);
  const config = `[default]\nregion = us-east-1\ncredential_process = "${script}" 'AK PROC'\n`;
  const settings = await settingsOf({ config });
  assert.deepEqual(settings.credentials, { accessKeyId: 'AK PROC', secretAccessKey: 's', sessionToken: 't' });
  assert.match(
    await refusal({ config: '[default]\nregion = us-east-1\ncredential_process = sh -c "echo no >&2; exit 1"\n' }),
    /^\nError when retrieving credentials from custom-process: no\n\n$/,
  );
});

test('a role is assumed with the keys of another profile', async () => {
  const answer = `<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>rs</SecretAccessKey><SessionToken>rt</SessionToken><Expiration>2026-01-02T04:04:05Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`;
  await using server = await answeringServer([{ status: 200, body: answer }]);
  const config = `[profile role]\nregion = us-east-1\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = base\nexternal_id = e1\nendpoint_url = ${server.endpoint}\n`;
  const credentials = '[base]\naws_access_key_id = AKBASE\naws_secret_access_key = s\n';
  const settings = await settingsOf({ config, credentials }, { profile: 'role' });
  assert.deepEqual(settings.credentials, { accessKeyId: 'ASIA', secretAccessKey: 'rs', sessionToken: 'rt' });
  assert.match(
    server.seen[0]?.headers.authorization ?? '',
    /Credential=AKBASE\/20260102\/us-east-1\/sts\/aws4_request/,
  );
  assert.equal(
    server.seen[0]?.body,
    'Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr&RoleSessionName=botocore-session-1767323045&ExternalId=e1',
  );
  assert.match(
    await refusal({ config: '[profile a]\nregion = us-east-1\nrole_arn = x\nsource_profile = b\n' }, { profile: 'a' }),
    /The source_profile "b" referenced in the profile "a" does not exist\./,
  );
});

test('an endpoint that is no URL is refused', async () => {
  for (const endpointUrl of ['http://a b', 'http://127.0.0.1:99999', 'http://[::1', 'localhost:80', 'unix:/run/x']) {
    const said = await refusal({ environment: { ...keys, AWS_DEFAULT_REGION: 'us-east-1' } }, { endpointUrl });
    assert.equal(said, `\nInvalid endpoint: ${endpointUrl}\n`);
  }
});

test('a profile of single sign-on is not taken for one without credentials', async () => {
  const config = '[profile work]\nsso_session = x\nsso_account_id = 1\nsso_role_name = r\nregion = eu-west-1\n';
  const said = await refusal({ config, localServer: local }, { profile: 'work' });
  assert.match(said, /profile work .* single sign-on/);
});

test('a token of an identity provider in the environment does not count beside --profile', async () => {
  const environment = { ...noMachine, AWS_WEB_IDENTITY_TOKEN_FILE: '/nowhere', AWS_ROLE_ARN: 'arn:x' };
  const config = '[profile work]\nregion = eu-west-1\n';
  const credentials = '[work]\naws_access_key_id = AKWORK\naws_secret_access_key = s\n';
  const { credentials: found } = await settingsOf({ environment, config, credentials }, { profile: 'work' });
  assert.equal(found?.accessKeyId, 'AKWORK');
});
