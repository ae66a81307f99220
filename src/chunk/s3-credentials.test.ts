import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { inspect } from 'node:util';

import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { VirtualClock } from '#base/virtual-clock.ts';

import { CredentialChain } from './s3-credentials.ts';
import { CredentialsError, type Environment } from './s3-found-credentials.ts';

const directory = scratchDirectory('s3-credentials');
let count = 0;

function file(text: string): string {
  const path = join(directory, String((count += 1)));
  writeFileSync(path, text);
  return path;
}

const NOWHERE = {
  AWS_CONFIG_FILE: '/dev/null',
  AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
  AWS_EC2_METADATA_DISABLED: 'true',
};
const signal = new AbortController().signal;

async function found(environment: Environment): Promise<readonly (string | undefined)[]> {
  const chain = new CredentialChain({
    environment: { ...NOWHERE, ...environment },
    clock: systemClock,
    log: silentLog,
  });
  const { accessKeyId, secretAccessKey, sessionToken } = await chain.get(signal);
  return [accessKeyId, secretAccessKey, sessionToken];
}

async function listening(
  t: TestContext,
  serve: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<string> {
  const server = createServer(serve);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  t.after(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const KEYS = { AWS_ACCESS_KEY_ID: 'A', AWS_SECRET_ACCESS_KEY: 'S' };

test('credentials: the environment, with a token or without', async () => {
  assert.deepEqual(await found(KEYS), ['A', 'S', undefined]);
  assert.deepEqual(await found({ ...KEYS, AWS_SESSION_TOKEN: 'T' }), ['A', 'S', 'T']);
});

test('credentials: the shared files, as the AWS tools read them', async () => {
  const credentials = file(
    '# aws_access_key_id = commented\n[default]\naws_access_key_id=A1\naws_secret_access_key = S1 #not a comment\n\n[ other ]\r\nAWS_ACCESS_KEY_ID = A2\r\naws_secret_access_key = S/2+==\r\naws_session_token = T2\r\n',
  );
  const config = file(
    '[profile third]\naws_access_key_id = A3\naws_secret_access_key = S3\ns3 =\n  aws_access_key_id = nested\n[profile "with space"]\naws_access_key_id = A4\naws_secret_access_key = S4\n[profile other]\naws_secret_access_key = loses\n',
  );
  const files = { AWS_SHARED_CREDENTIALS_FILE: credentials, AWS_CONFIG_FILE: config };
  assert.deepEqual(await found(files), ['A1', 'S1 #not a comment', undefined]);
  assert.deepEqual(await found({ ...files, AWS_PROFILE: 'other' }), ['A2', 'S/2+==', 'T2']);
  assert.deepEqual(await found({ ...files, AWS_PROFILE: 'third' }), ['A3', 'S3', undefined]);
  assert.deepEqual(await found({ ...files, AWS_PROFILE: 'with space' }), ['A4', 'S4', undefined]);
  // A profile that is asked for counts more than keys in the environment.
  assert.deepEqual(await found({ ...files, ...KEYS, AWS_PROFILE: 'third' }), ['A3', 'S3', undefined]);
  assert.deepEqual(await found({ ...files, ...KEYS }), ['A', 'S', undefined]);
  await assert.rejects(found({ ...files, AWS_PROFILE: 'fourth' }), /no profile fourth/);
});

test('credentials: a profile that needs what is not done here is refused with what to do', async () => {
  const config = file(
    '[profile sso]\nsso_session = corp\n[profile role]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = default\n',
  );
  for (const [profile, by] of [
    ['sso', 'sso_session'],
    ['role', 'role_arn'],
  ] as const) {
    await assert.rejects(found({ AWS_CONFIG_FILE: config, AWS_PROFILE: profile }), (error) => {
      assert(error instanceof CredentialsError);
      assert.match(error.message, new RegExp(`${by}.*aws configure export-credentials --profile ${profile}`));
      return !error.retryable;
    });
  }
});

test('credentials: a profile’s program prints them', async () => {
  const printed = {
    Version: 1,
    AccessKeyId: 'AP',
    SecretAccessKey: 'SP',
    SessionToken: 'TP',
    Expiration: '2099-01-01T00:00:00Z',
  };
  const output = file(JSON.stringify(printed));
  const config = file(
    `[profile program]\ncredential_process = cat "${output}"\n[profile broken]\ncredential_process = echo secret; exit 3\n[profile silent]\ncredential_process = true\n[profile bare]\ncredential_process = echo wJalrXUtnFEMI\n`,
  );
  const environment = { AWS_CONFIG_FILE: config, PATH: process.env['PATH'] };
  assert.deepEqual(await found({ ...environment, AWS_PROFILE: 'program' }), ['AP', 'SP', 'TP']);
  await assert.rejects(found({ ...environment, AWS_PROFILE: 'silent' }), /answers no JSON/);
  await assert.rejects(found({ ...environment, AWS_PROFILE: 'bare' }), (error) => {
    assert.match(inspect(error), /answers no JSON/);
    assert.doesNotMatch(inspect(error), /wJalr/, 'what it printed is not shown');
    return true;
  });
  await assert.rejects(found({ ...environment, AWS_PROFILE: 'broken' }), (error) => {
    assert(error instanceof CredentialsError);
    assert.equal(error.message, 'the program of credential_process ended with 3');
    return error.retryable;
  });
});

test('credentials: a pod takes its role with the token in its file', async (t) => {
  const asked: URLSearchParams[] = [];
  let isAllowed = true;
  const endpoint = await listening(t, (request, response) => {
    let body = '';
    request.on('data', (piece) => (body += String(piece)));
    request.on('end', () => {
      asked.push(new URLSearchParams(body));
      const keys =
        '<AccessKeyId>AW</AccessKeyId><SecretAccessKey>S&amp;W</SecretAccessKey><SessionToken>TW</SessionToken>';
      const granted = `<R><Credentials>${keys}<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></R>`;
      if (isAllowed) response.end(granted);
      else
        response
          .writeHead(403)
          .end('<ErrorResponse><Error><Code>X</Code><Message>not this role</Message></Error></ErrorResponse>');
    });
  });
  const role = 'arn:aws:iam::123456789012:role/backup';
  const environment = {
    AWS_WEB_IDENTITY_TOKEN_FILE: file('the.token\n'),
    AWS_ROLE_ARN: role,
    AWS_ENDPOINT_URL_STS: endpoint,
  };
  assert.deepEqual(await found(environment), ['AW', 'S&W', 'TW']);
  assert.deepEqual(Object.fromEntries(asked[0] ?? []), {
    Action: 'AssumeRoleWithWebIdentity',
    Version: '2011-06-15',
    RoleArn: role,
    RoleSessionName: 'varve',
    WebIdentityToken: 'the.token',
  });
  isAllowed = false;
  await assert.rejects(found(environment), /take the role arn:.*: not this role/);
  await assert.rejects(
    found({ ...environment, AWS_WEB_IDENTITY_TOKEN_FILE: '/nowhere/token' }),
    /read \/nowhere\/token/,
  );
});

test('credentials: a container’s endpoint, with its token, and only near or over https', async (t) => {
  let status = 500;
  const endpoint = await listening(t, (request, response) => {
    const isTold = request.url === '/creds' && request.headers.authorization === 'Bearer x';
    response
      .writeHead(isTold ? status : 403)
      .end(
        JSON.stringify({ AccessKeyId: 'AC', SecretAccessKey: 'SC', Token: 'TC', Expiration: '2099-01-01T00:00:00Z' }),
      );
    status = 200;
  });
  const environment = {
    AWS_CONTAINER_CREDENTIALS_FULL_URI: `${endpoint}/creds`,
    AWS_CONTAINER_AUTHORIZATION_TOKEN: 'Bearer x',
  };
  assert.deepEqual(await found(environment), ['AC', 'SC', 'TC']);
  const tokenFile = {
    ...environment,
    AWS_CONTAINER_AUTHORIZATION_TOKEN: 'no',
    AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: file('Bearer x\n'),
  };
  assert.deepEqual(await found(tokenFile), ['AC', 'SC', 'TC']);
  await assert.rejects(found({ ...environment, AWS_CONTAINER_AUTHORIZATION_TOKEN: 'no' }), /answers 403 when asked/);
  await assert.rejects(
    found({ AWS_CONTAINER_CREDENTIALS_FULL_URI: 'http://example.com/creds' }),
    /not asked for over plain http/,
  );
});

/** IMDSv2: a token first, then the role, then its keys. */
function instanceMetadata(answer: () => unknown): (request: IncomingMessage, response: ServerResponse) => void {
  return (request, response) => {
    const { method, url, headers } = request;
    if (
      method === 'PUT' &&
      url === '/latest/api/token' &&
      headers['x-aws-ec2-metadata-token-ttl-seconds'] !== undefined
    )
      response.end('TOKEN');
    else if (headers['x-aws-ec2-metadata-token'] !== 'TOKEN') response.writeHead(401).end();
    else if (url === '/latest/meta-data/iam/security-credentials/') response.end('the-role\n');
    else if (url === '/latest/meta-data/iam/security-credentials/the-role') response.end(JSON.stringify(answer()));
    else response.writeHead(404).end();
  };
}

test('credentials: an instance’s role; a machine that is no instance has none', async (t) => {
  const keys = {
    Code: 'Success',
    AccessKeyId: 'AI',
    SecretAccessKey: 'SI',
    Token: 'TI',
    Expiration: '2099-01-01T00:00:00Z',
  };
  const endpoint = await listening(
    t,
    instanceMetadata(() => keys),
  );
  const environment = { AWS_EC2_METADATA_DISABLED: 'false', AWS_EC2_METADATA_SERVICE_ENDPOINT: endpoint };
  assert.deepEqual(await found(environment), ['AI', 'SI', 'TI']);
  await assert.rejects(found({ ...environment, AWS_EC2_METADATA_DISABLED: 'true' }), /no credentials for the store/);
  await assert.rejects(
    found({ ...environment, AWS_EC2_METADATA_SERVICE_ENDPOINT: 'http://127.0.0.1:1' }),
    /no credentials for the store/,
  );
});

test('credentials: they are asked for anew before they expire, and those at hand serve until then', async (t) => {
  const clock = new VirtualClock();
  let made = 0;
  let isBroken = false;
  const endpoint = await listening(t, (_request, response) => {
    if (isBroken) return void response.writeHead(403).end();
    made += 1;
    const Expiration = new Date(clock.nowMs() + 3_600_000).toISOString();
    response.end(JSON.stringify({ AccessKeyId: `A${made}`, SecretAccessKey: 'S', Token: 'T', Expiration }));
  });
  const environment = { ...NOWHERE, AWS_CONTAINER_CREDENTIALS_FULL_URI: `${endpoint}/` };
  const chain = new CredentialChain({ environment, clock, log: silentLog });
  const key = async (): Promise<string> => (await chain.get(signal)).accessKeyId;
  const settled = (): Promise<void> => systemClock.sleep(100);
  assert.deepEqual(await Promise.all([key(), key(), key()]), ['A1', 'A1', 'A1']);
  await clock.advance(50 * 60_000);
  assert.equal(await key(), 'A1');
  isBroken = true;
  await clock.advance(6 * 60_000);
  assert.equal(await key(), 'A1', 'a refresh that fails harms nobody yet');
  await settled();
  isBroken = false;
  assert.equal(await key(), 'A1');
  await settled();
  assert.equal(made, 1, 'it is not asked for again at once');
  await clock.advance(11_000);
  assert.equal(await key(), 'A1');
  await settled();
  assert.equal(await key(), 'A2');
  await clock.advance(2 * 3_600_000);
  assert.equal(await key(), 'A3', 'expired ones are never given');
  chain.forget();
  assert.equal(await key(), 'A4');
});
