import assert from 'node:assert/strict';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { requireTool } from '../clients.ts';
import { run, type RunResult } from '../run.ts';
import { type Credentials, RunningServer } from '../running-server.ts';
import { CuttingProxy } from './cutting-proxy.ts';

/** Users, roles and policies with the real `aws`: from making them to what they may. */

let server: RunningServer;

before(async () => {
  server = await RunningServer.start();
});

after(async () => {
  await server[Symbol.asyncDispose]();
});

interface KeyReply {
  readonly AccessKey: { readonly AccessKeyId: string; readonly SecretAccessKey: string };
}

interface SessionReply {
  readonly Credentials: {
    readonly AccessKeyId: string;
    readonly SecretAccessKey: string;
    readonly SessionToken: string;
    readonly Expiration: string;
  };
}

/** The environment of a new user with that inline policy. */
async function userEnvironment(name: string, statement: object | null): Promise<Record<string, string>> {
  await server.awsJson(['iam', 'create-user', '--user-name', name]);
  if (statement !== null) {
    const document = JSON.stringify({ Version: '2012-10-17', Statement: statement });
    const words = ['--user-name', name, '--policy-name', 'p', '--policy-document', document];
    await server.awsJson(['iam', 'put-user-policy', ...words]);
  }
  const { AccessKey: key } = await server.awsJson<KeyReply>(['iam', 'create-access-key', '--user-name', name]);
  const credentials: Credentials = {
    accountId: server.credentials.accountId,
    accessKeyId: key.AccessKeyId,
    secretAccessKey: key.SecretAccessKey,
  };
  return server.environment(credentials);
}

function sessionEnvironment({ Credentials: credentials }: SessionReply): Record<string, string> {
  const { AccessKeyId: accessKeyId, SecretAccessKey: secretAccessKey, SessionToken: token } = credentials;
  return {
    ...server.environment({ accountId: server.credentials.accountId, accessKeyId, secretAccessKey }),
    AWS_SESSION_TOKEN: token,
  };
}

function refused(result: RunResult, code: string): void {
  assert.notEqual(result.code, 0, result.stdout);
  assert.match(result.stderr, new RegExp(`\\(${code}\\)`));
}

test('a user may what a policy allows, and is told what not and why', async (t) => {
  if (!requireTool(t, 'aws')) return;
  const env = await userEnvironment('reader', {
    Effect: 'Allow',
    Action: ['ec2:Describe*', 'iam:GetUser'],
    Resource: '*',
  });
  const who = await server.awsJson<{ Arn: string }>(['sts', 'get-caller-identity'], { env });
  assert.equal(who.Arn, `arn:aws:iam::${server.credentials.accountId}:user/reader`);
  await server.awsJson(['ec2', 'describe-volumes'], { env });
  const own = await server.awsJson<{ User: { UserName: string } }>(['iam', 'get-user'], { env });
  assert.equal(own.User.UserName, 'reader');
  const create = ['ec2', 'create-volume', '--availability-zone', 'us-east-1a', '--size', '1'];
  const denied = await server.aws(create, { env });
  refused(denied, 'UnauthorizedOperation');
  assert.match(denied.stderr, /not authorized to perform: ec2:CreateVolume .* because no identity-based policy allows/);
  refused(await server.aws([...create, '--dry-run'], { env }), 'UnauthorizedOperation');
  refused(await server.aws([...create, '--dry-run']), 'DryRunOperation');
  refused(await server.aws(['lightsail', 'get-disks'], { env }), 'AccessDeniedException');
  refused(await server.aws(['dlm', 'get-lifecycle-policies'], { env }), 'AccessDeniedException');
  refused(
    await server.aws(['ebs', 'list-snapshot-blocks', '--snapshot-id', 'snap-0123456789abcdef0'], { env }),
    'AccessDeniedException',
  );
  refused(await server.aws(['kms', 'list-keys'], { env }), 'AccessDeniedException');
  refused(await server.aws(['iam', 'list-users'], { env }), 'AccessDenied');

  const encoded = /failure message: (\S+)/.exec(denied.stderr)?.[1] ?? '';
  const decoded = await server.awsJson<{ DecodedMessage: string }>([
    'sts',
    'decode-authorization-message',
    '--encoded-message',
    encoded,
  ]);
  const message = JSON.parse(decoded.DecodedMessage) as { readonly context: { readonly action: string } };
  assert.equal(message.context.action, 'ec2:CreateVolume');
});

test('managed policies and roles: attached, assumed, simulated, paged', async (t) => {
  if (!requireTool(t, 'aws')) return;
  const { accountId } = server.credentials;
  const document = JSON.stringify({
    Version: '2012-10-17',
    Statement: { Effect: 'Allow', Action: 'ec2:*', Resource: '*' },
  });
  const policy = await server.awsJson<{ Policy: { Arn: string } }>([
    'iam',
    'create-policy',
    '--policy-name',
    'volumes',
    '--policy-document',
    document,
  ]);
  const trust = JSON.stringify({
    Version: '2012-10-17',
    Statement: { Effect: 'Allow', Principal: { AWS: accountId }, Action: 'sts:AssumeRole' },
  });
  const role = await server.awsJson<{ Role: { Arn: string; AssumeRolePolicyDocument: unknown } }>([
    'iam',
    'create-role',
    '--role-name',
    'backup',
    '--assume-role-policy-document',
    trust,
  ]);
  assert.deepEqual(role.Role.AssumeRolePolicyDocument, JSON.parse(trust), 'documents come back as they went');
  await server.awsJson(['iam', 'attach-role-policy', '--role-name', 'backup', '--policy-arn', policy.Policy.Arn]);
  const assume = ['sts', 'assume-role', '--role-arn', role.Role.Arn, '--role-session-name', 'nightly'];
  const session = await server.awsJson<SessionReply>(assume);
  const env = sessionEnvironment(session);
  const who = await server.awsJson<{ Arn: string }>(['sts', 'get-caller-identity'], { env });
  assert.equal(who.Arn, `arn:aws:sts::${accountId}:assumed-role/backup/nightly`);
  await server.awsJson(['ec2', 'create-volume', '--availability-zone', 'us-east-1a', '--size', '1'], { env });
  refused(await server.aws(['iam', 'list-users'], { env }), 'AccessDenied');
  refused(
    await server.aws(['ec2', 'describe-volumes'], { env: { ...env, AWS_SESSION_TOKEN: 'other' } }),
    'AuthFailure',
  );
  refused(await server.aws(assume, { env: await userEnvironment('nobody', null) }), 'AccessDenied');
  const limited = [
    '--policy',
    JSON.stringify({ Version: '2012-10-17', Statement: { Effect: 'Allow', Action: 'ec2:Describe*', Resource: '*' } }),
  ];
  const less = sessionEnvironment(await server.awsJson<SessionReply>([...assume, ...limited]));
  refused(
    await server.aws(['ec2', 'create-volume', '--availability-zone', 'us-east-1a', '--size', '1'], { env: less }),
    'UnauthorizedOperation',
  );

  const simulate = [
    'iam',
    'simulate-principal-policy',
    '--policy-source-arn',
    role.Role.Arn,
    '--action-names',
    'ec2:CreateVolume',
    'kms:Decrypt',
  ];
  const simulated = await server.awsJson<{ EvaluationResults: { EvalDecision: string }[] }>(simulate);
  assert.deepEqual(
    simulated.EvaluationResults.map((result) => result.EvalDecision),
    ['allowed', 'implicitDeny'],
  );
  const bad = await server.aws([
    'iam',
    'create-policy',
    '--policy-name',
    'bad',
    '--policy-document',
    '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ec2:*","Resource":"*","Condition":{"StringIs":{"a:b":"c"}}}}',
  ]);
  refused(bad, 'MalformedPolicyDocument');
  assert.match(bad.stderr, /Invalid Condition type : StringIs/);
  refused(await server.aws(['iam', 'delete-policy', '--policy-arn', policy.Policy.Arn]), 'DeleteConflict');
  refused(await server.aws(['iam', 'delete-role', '--role-name', 'backup']), 'DeleteConflict');
  const paged = await server.awsJson<{ Users: unknown[] }>(['iam', 'list-users', '--page-size', '1']);
  assert(paged.Users.length >= 2, 'the client turns all pages');
  const summary = await server.awsJson<{ SummaryMap: { Users: number } }>(['iam', 'get-account-summary']);
  assert.equal(summary.SummaryMap.Users, paged.Users.length);
});

test('a reply that is lost does not make two: the client repeats, and gets the first result', async (t) => {
  if (!requireTool(t, 'aws')) return;
  await using proxy = await CuttingProxy.start(server.endpoint);
  const calls: readonly (readonly [readonly string[], readonly string[], string])[] = [
    [
      ['ec2', 'create-volume', '--availability-zone', 'us-east-1b', '--size', '1'],
      ['ec2', 'describe-volumes', '--filters', 'Name=availability-zone,Values=us-east-1b'],
      'VolumeId',
    ],
    [
      ['iam', 'create-user', '--user-name', 'cut'],
      ['iam', 'list-users', '--query', "Users[?UserName=='cut']"],
      'UserId',
    ],
    [
      ['iam', 'create-access-key', '--user-name', 'cut'],
      ['iam', 'list-access-keys', '--user-name', 'cut'],
      'AccessKeyId',
    ],
    [['kms', 'create-key', '--description', 'cut'], ['kms', 'list-keys'], 'KeyId'],
  ];
  for (const [create, list, id] of calls) {
    proxy.cut(1);
    const made = await run('aws', ['--endpoint-url', proxy.endpoint, '--output', 'json', ...create], {
      env: server.environment(),
    });
    assert.equal(made.code, 0, made.stderr);
    const told = new RegExp(`"${id}": "([^"]+)"`).exec(made.stdout)?.[1] ?? '';
    const listed = await server.aws(list);
    const all = [...listed.stdout.matchAll(new RegExp(`"${id}": "([^"]+)"`, 'g'))].map((match) => match[1]);
    assert.deepEqual(all, [told], create.join(' '));
  }
  assert.equal(proxy.cutCount, calls.length, 'every answer was lost once');
});

test('nor does one that is lost while the server is restarted', async (t) => {
  if (!requireTool(t, 'aws')) return;
  const first = await RunningServer.start();
  let current = first;
  try {
    await using proxy = await CuttingProxy.start(first.endpoint);
    const env = first.environment();
    const through = async (words: readonly string[]): Promise<string> => {
      proxy.cut(1, async () => {
        await current.stop();
        current = await RunningServer.start({ data: first.dataDirectory });
        proxy.target = current.endpoint;
      });
      const result = await run('aws', ['--endpoint-url', proxy.endpoint, '--output', 'json', ...words], { env });
      assert.equal(result.code, 0, result.stderr);
      return result.stdout;
    };
    const made = JSON.parse(
      await through(['ec2', 'create-volume', '--availability-zone', 'us-east-1a', '--size', '1']),
    ) as { readonly VolumeId: string };
    const { Volumes: volumes } = await current.awsJson<{ Volumes: { VolumeId: string }[] }>(
      ['ec2', 'describe-volumes'],
      { env },
    );
    assert.deepEqual(
      volumes.map(({ VolumeId: id }) => id),
      [made.VolumeId],
    );
    const key = JSON.parse(await through(['kms', 'create-key'])) as {
      readonly KeyMetadata: { readonly KeyId: string };
    };
    const { Keys: keys } = await current.awsJson<{ Keys: { KeyId: string }[] }>(['kms', 'list-keys'], { env });
    assert.deepEqual(
      keys.map(({ KeyId: id }) => id),
      [key.KeyMetadata.KeyId],
    );
    assert.equal(proxy.cutCount, 2);
  } finally {
    await current.stop();
    await first[Symbol.asyncDispose]();
  }
});

test('the audit log has every call and no secret, and nobody else may read it; the log has no secret either', async (t) => {
  if (!requireTool(t, 'aws')) return;
  const secretOfUser = (await userEnvironment('sealed', null))['AWS_SECRET_ACCESS_KEY'] ?? '';
  const session = await server.awsJson<SessionReply>(['sts', 'get-session-token']);
  const env = sessionEnvironment(session);
  await server.awsJson(['ec2', 'describe-regions'], { env });
  const paths = ['audit.log', 'audit-use.log', 'audit-refused.log'].map((name) => join(server.dataDirectory, name));
  for (const path of paths) assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.equal((await stat(join(server.dataDirectory, 'credentials'))).mode & 0o777, 0o600);
  const text = (await Promise.all(paths.map((path) => readFile(path, 'utf8')))).join('');
  const lines = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  const calls = new Set(lines.map((line) => `${String(line['service'])}:${String(line['operation'])}`));
  for (const call of ['sts:GetSessionToken', 'ec2:DescribeRegions', 'iam:CreateUser']) assert(calls.has(call), call);
  const { SecretAccessKey: secret, SessionToken: token } = session.Credentials;
  const log = JSON.stringify(server.log);
  for (const value of [secret, token, server.credentials.secretAccessKey]) {
    assert(!text.includes(value) && !log.includes(value), 'a secret is in a log');
  }
  assert.equal(secretOfUser.length, 40);
  for (const name of (await readdir(server.dataDirectory)).filter((each) => /^(?:meta\.db|audit)/.test(each))) {
    const bytes = await readFile(join(server.dataDirectory, name));
    assert(!bytes.includes(secretOfUser), `the secret of an access key is in ${name}`);
  }
  const described = lines.find((line) => line['operation'] === 'DescribeRegions');
  assert.match(String(described?.['userAgent']), /aws-cli/);
  assert.equal(described?.['sourceAddress'], '127.0.0.1');
  const known = new Set(lines.map((line) => line['requestId']));
  for (const line of server.log)
    if (line['event'] === 'request') assert(known.has(line['requestId']), 'every answered call is there');
});
