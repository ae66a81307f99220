import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { requireTool, requireTools } from '../clients.ts';
import { runOk } from '../run.ts';
import { RunningServer } from '../running-server.ts';

/** Rows G1 to G16: the options and calling conventions of the reference pages, with the real `aws`. */

let server: RunningServer;
let work: string;

before(async () => {
  server = await RunningServer.start();
  work = await mkdtemp(join(tmpdir(), 'varve-calling-'));
});

after(async () => {
  await server[Symbol.asyncDispose]();
  await rm(work, { recursive: true, force: true });
});

interface Reply {
  readonly operations: readonly { readonly id: string; readonly resourceName: string }[];
}

async function createDisk(name: string, more: readonly string[] = []): Promise<Reply> {
  return await server.awsJson<Reply>([
    'lightsail',
    'create-disk',
    '--disk-name',
    name,
    '--availability-zone',
    'us-east-1a',
    '--size-in-gb',
    '8',
    ...more,
  ]);
}

test('G1: the commands of the reference pages work with --endpoint-url alone', async (t) => {
  if (!requireTool(t, 'aws')) return;
  await createDisk('Disk-1');
  const reply = await server.awsJson<Reply>([
    'lightsail',
    'create-disk-snapshot',
    '--disk-name',
    'Disk-1',
    '--disk-snapshot-name',
    'DiskSnapshot-1',
  ]);
  assert.equal(reply.operations[0]?.resourceName, 'DiskSnapshot-1');
  const volume = await server.awsJson<{ readonly VolumeId: string }>([
    'ec2',
    'create-volume',
    '--availability-zone',
    'us-east-1a',
    '--size',
    '8',
  ]);
  const snapshot = await server.awsJson<{ readonly Description: string; readonly State: string }>([
    'ec2',
    'create-snapshot',
    '--volume-id',
    volume.VolumeId,
    '--description',
    'This is my root volume snapshot.',
  ]);
  assert.equal(snapshot.Description, 'This is my root volume snapshot.');
  assert.equal(snapshot.State, 'pending');
});

test('G2: --cli-input-json is taken, and the command line overrides it', async (t) => {
  if (!requireTool(t, 'aws')) return;
  const file = join(work, 'input.json');
  await writeFile(
    file,
    JSON.stringify({
      diskName: 'from-file',
      availabilityZone: 'us-east-1a',
      sizeInGb: 8,
      tags: [{ key: 'a', value: '1' }],
    }),
  );
  const plain = await server.awsJson<Reply>(['lightsail', 'create-disk', '--cli-input-json', `file://${file}`]);
  assert.equal(plain.operations[0]?.resourceName, 'from-file');
  const overridden = await server.awsJson<Reply>([
    'lightsail',
    'create-disk',
    '--cli-input-json',
    `file://${file}`,
    '--disk-name',
    'from-words',
  ]);
  assert.equal(overridden.operations[0]?.resourceName, 'from-words');
});

test('G3: --generate-cli-skeleton sends no request', async (t) => {
  if (!requireTool(t, 'aws')) return;
  const before = server.requestCount;
  const input = await server.aws(['lightsail', 'create-disk-snapshot', '--generate-cli-skeleton']);
  assert.equal(input.code, 0);
  assert.ok('diskSnapshotName' in (JSON.parse(input.stdout) as object));
  const words = ['--disk-name', 'd', '--disk-snapshot-name', 's', '--generate-cli-skeleton', 'output'];
  const output = await server.aws(['lightsail', 'create-disk-snapshot', ...words]);
  assert.equal(output.code, 0);
  assert.ok('operations' in (JSON.parse(output.stdout) as object));
  assert.equal(server.requestCount, before);
});

test('G4: --debug shows request ids and content types', async (t) => {
  if (!requireTool(t, 'aws')) return;
  const json = await server.aws(['lightsail', 'get-disks', '--debug']);
  assert.match(json.stderr, /x-amzn-requestid/i);
  assert.match(json.stderr, /application\/x-amz-json-1\.1/);
  const xml = await server.aws(['ec2', 'describe-volumes', '--debug']);
  assert.match(xml.stderr, /<requestId>[0-9a-f-]{36}<\/requestId>/);
  assert.match(xml.stderr, /text\/xml;charset=UTF-8/);
});

test('G5: HTTPS with a private authority: refused, trusted with --ca-bundle, ignored with --no-verify-ssl', async (t) => {
  if (!requireTools(t, ['aws', 'openssl'])) return;
  const path = (name: string): string => join(work, name);
  await runOk('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
    ...['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1'],
    ...['-keyout', path('key.pem'), '-out', path('cert.pem')],
  ]);
  await using secure = await RunningServer.start({
    args: ['--tls-cert', path('cert.pem'), '--tls-key', path('key.pem')],
  });
  assert.match(secure.endpoint, /^https:/);
  const plain = await secure.aws(['lightsail', 'get-disks']);
  assert.notEqual(plain.code, 0);
  assert.match(plain.stderr, /SSL validation failed|CERTIFICATE_VERIFY_FAILED/);
  assert.equal((await secure.aws(['lightsail', 'get-disks', '--ca-bundle', path('cert.pem')])).code, 0);
  assert.equal((await secure.aws(['lightsail', 'get-disks', '--no-verify-ssl'])).code, 0);
});

test('G6: paging goes both ways, automatic and by hand', async (t) => {
  if (!requireTool(t, 'aws')) return;
  const env = server.environment(server.credentials, 'eu-west-1');
  for (let index = 0; index < 7; index += 1) {
    await server.awsJson(
      [
        'ec2',
        'create-volume',
        '--availability-zone',
        'eu-west-1a',
        '--size',
        '1',
        '--tag-specifications',
        `ResourceType=volume,Tags=[{Key=n,Value=${index}}]`,
      ],
      { env },
    );
  }
  type Volumes = { readonly Volumes: readonly { readonly VolumeId: string }[]; readonly NextToken?: string };
  const all = await server.awsJson<Volumes>(['ec2', 'describe-volumes', '--page-size', '5'], { env });
  assert.equal(new Set(all.Volumes.map((volume) => volume.VolumeId)).size, 7);
  const first = await server.awsJson<Volumes>(['ec2', 'describe-volumes', '--no-paginate', '--max-results', '5'], {
    env,
  });
  assert.equal(first.Volumes.length, 5);
  assert.ok(first.NextToken !== undefined);
  const rest = await server.awsJson<Volumes>(
    ['ec2', 'describe-volumes', '--no-paginate', '--max-results', '5', '--next-token', first.NextToken ?? ''],
    { env },
  );
  assert.deepEqual(
    [...first.Volumes, ...rest.Volumes].map((volume) => volume.VolumeId),
    all.Volumes.map((volume) => volume.VolumeId),
  );
});

test('G7: json, text and table are rendered', async (t) => {
  if (!requireTool(t, 'aws')) return;
  for (const [format, shape] of [
    ['json', /"regionName": "us-west-2"|"RegionName": "us-west-2"/],
    ['text', /us-west-2/],
    ['table', /\|\s+DescribeRegions\s+\|/],
  ] as const) {
    const result = await server.aws(['ec2', 'describe-regions', '--output', format]);
    assert.equal(result.code, 0);
    assert.match(result.stdout, shape);
  }
});

test('G8: --query filters the reply', async (t) => {
  if (!requireTool(t, 'aws')) return;
  const id = await server.awsJson<string>([
    'lightsail',
    'create-disk',
    '--disk-name',
    'queried',
    '--availability-zone',
    'us-east-1a',
    '--size-in-gb',
    '8',
    '--query',
    'operations[0].id',
  ]);
  assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/);
});

test('G9: --profile picks another account, and accounts do not see each other', async (t) => {
  if (!requireTool(t, 'aws')) return;
  const made = await server.varve(['accounts', 'create', '--json']);
  assert.equal(made.code, 0, made.stderr);
  const other = JSON.parse(made.stdout) as { AccountId: string; AccessKeyId: string; SecretAccessKey: string };
  const credentials = join(work, 'credentials');
  const { accessKeyId, secretAccessKey } = server.credentials;
  await writeFile(
    credentials,
    `[first]\naws_access_key_id=${accessKeyId}\naws_secret_access_key=${secretAccessKey}\n` +
      `[second]\naws_access_key_id=${other.AccessKeyId}\naws_secret_access_key=${other.SecretAccessKey}\n`,
  );
  const { AWS_ACCESS_KEY_ID: _id, AWS_SECRET_ACCESS_KEY: _secret, ...rest } = server.environment();
  const env = { ...rest, AWS_SHARED_CREDENTIALS_FILE: credentials };
  const who = await server.awsJson<{ readonly Account: string; readonly Arn: string }>(
    ['sts', 'get-caller-identity', '--profile', 'second'],
    { env },
  );
  assert.equal(who.Account, other.AccountId);
  await createDisk('only-mine');
  const mine = await server.aws(['lightsail', 'get-disk', '--disk-name', 'only-mine', '--profile', 'first'], { env });
  assert.equal(mine.code, 0);
  const theirs = await server.aws(['lightsail', 'get-disk', '--disk-name', 'only-mine', '--profile', 'second'], {
    env,
  });
  assert.match(theirs.stderr, /NotFoundException/);
});

test('G10: --region picks the region of the signature; one name may be used in two', async (t) => {
  if (!requireTool(t, 'aws')) return;
  await createDisk('twice');
  const west = await server.awsJson<Reply>([
    'lightsail',
    'create-disk',
    '--disk-name',
    'twice',
    '--availability-zone',
    'us-west-2a',
    '--size-in-gb',
    '8',
    '--region',
    'us-west-2',
  ]);
  assert.equal(west.operations.length, 1);
  type Disk = { readonly disk: { readonly location: { readonly regionName: string } } };
  const found = await server.awsJson<Disk>(['lightsail', 'get-disk', '--disk-name', 'twice', '--region', 'us-west-2']);
  assert.equal(found.disk.location.regionName, 'us-west-2');
  const absent = await server.aws(['lightsail', 'get-disk', '--disk-name', 'twice', '--region', 'eu-central-1']);
  assert.match(absent.stderr, /NotFoundException/);
});

test('G11: --version and --color do not disturb', async (t) => {
  if (!requireTool(t, 'aws')) return;
  assert.match((await server.aws(['--version'])).stdout, /^aws-cli\//);
  for (const color of ['on', 'off', 'auto']) {
    assert.equal((await server.aws(['sts', 'get-caller-identity', '--color', color])).code, 0);
  }
});

test('G12: --no-sign-request is refused with each service’s own error', async (t) => {
  if (!requireTool(t, 'aws')) return;
  const lightsail = await server.aws(['lightsail', 'get-disks', '--no-sign-request']);
  assert.match(lightsail.stderr, /UnauthenticatedException/);
  const ec2 = await server.aws(['ec2', 'describe-volumes', '--no-sign-request']);
  assert.match(ec2.stderr, /\((?:MissingAuthenticationToken|AuthFailure)\)/);
  const sts = await server.aws(['sts', 'get-caller-identity', '--no-sign-request']);
  assert.match(sts.stderr, /\(MissingAuthenticationToken\)/);
  const ebs = await server.aws([
    'ebs',
    'list-snapshot-blocks',
    '--snapshot-id',
    'snap-00000000000000000',
    '--no-sign-request',
  ]);
  assert.match(ebs.stderr, /MissingAuthenticationTokenException|AccessDeniedException/);
});

test('G13: a snapshot of a sparse 1 TiB volume answers far within the read time-out', async (t) => {
  if (!requireTool(t, 'aws')) return;
  const volume = await server.awsJson<{ readonly VolumeId: string }>([
    'ec2',
    'create-volume',
    '--availability-zone',
    'us-east-1a',
    '--size',
    '1024',
    '--cli-read-timeout',
    '10',
  ]);
  const snapshot = await server.aws([
    'ec2',
    'create-snapshot',
    '--volume-id',
    volume.VolumeId,
    '--cli-read-timeout',
    '10',
  ]);
  assert.equal(snapshot.code, 0, snapshot.stderr);
});

test('G14: --cli-connect-timeout is accepted', async (t) => {
  if (!requireTool(t, 'aws')) return;
  for (const seconds of ['0', '5']) {
    assert.equal((await server.aws(['sts', 'get-caller-identity', '--cli-connect-timeout', seconds])).code, 0);
  }
});

test('G15: tags come in shorthand and in JSON', async (t) => {
  if (!requireTool(t, 'aws')) return;
  await createDisk('tagged-short', ['--tags', 'key=team,value=storage', 'key=only-key']);
  await createDisk('tagged-json', ['--tags', '[{"key":"team","value":"storage"},{"key":"only-key"}]']);
  type Disk = { readonly disk: { readonly tags: readonly { readonly key: string; readonly value?: string }[] } };
  const tags = async (name: string): Promise<Disk['disk']['tags']> =>
    (await server.awsJson<Disk>(['lightsail', 'get-disk', '--disk-name', name])).disk.tags;
  const short = await tags('tagged-short');
  assert.deepEqual(
    short.map((tag) => tag.key).toSorted((a, b) => a.localeCompare(b)),
    ['only-key', 'team'],
  );
  assert.deepEqual(short, await tags('tagged-json'));
});

test('G16: a missing required option fails in the client, and a raw request without it in the server', async (t) => {
  if (!requireTool(t, 'aws')) return;
  const before = server.requestCount;
  const client = await server.aws(['lightsail', 'create-disk-snapshot', '--disk-name', 'd']);
  assert.ok(client.code === 2 || client.code === 252, `exit code ${client.code}`);
  assert.equal(server.requestCount, before);
  const { rawCall } = await import('./raw-call.ts');
  const lightsail = await rawCall(server, {
    service: 'lightsail',
    operation: 'CreateDiskSnapshot',
    body: '{"diskName":"d"}',
  });
  assert.equal(lightsail.status, 400);
  assert.match(lightsail.text, /InvalidInputException/);
  const ec2 = await rawCall(server, { service: 'ec2', operation: 'CreateSnapshot', body: '' });
  assert.equal(ec2.status, 400);
  assert.match(
    ec2.text,
    /<Code>MissingParameter<\/Code><Message>The request must contain the parameter VolumeId<\/Message>/,
  );
});

test('a session token that belongs to no key is refused', async () => {
  const { rawCall } = await import('./raw-call.ts');
  const headers = { 'x-amz-security-token': 'junk' };
  const { status, text } = await rawCall(server, { service: 'sts', operation: 'GetCallerIdentity', headers });
  assert.equal(status, 403);
  assert.match(text, /<Code>InvalidClientTokenId<\/Code>/);
});
