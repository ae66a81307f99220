/**
 * Rows G1 to G16 and C35 with `varve` as the client: the options and calling conventions of the reference pages.
 * test/aws/calling.test.ts has the same rows with the real `aws`; parity.test.ts compares the two to the byte.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { requireTool } from '../clients.ts';
import { runOk, type RunResult } from '../run.ts';
import { RunningServer } from '../running-server.ts';
import { runOurs } from './client.fixture.ts';

let server: RunningServer;
let work: string;

before(async () => {
  server = await RunningServer.start();
  work = await mkdtemp(join(tmpdir(), 'varve-words-'));
});

after(async () => {
  await server[Symbol.asyncDispose]();
  await rm(work, { recursive: true, force: true });
});

interface Operations {
  readonly operations: readonly { readonly id: string; readonly resourceName: string }[];
}

interface Where {
  readonly at?: RunningServer;
  readonly env?: Record<string, string>;
}

async function varve(
  words: readonly string[],
  { at = server, env = at.environment() }: Where = {},
): Promise<RunResult> {
  return await runOurs(['--endpoint-url', at.endpoint, ...words], env);
}

async function varveJson<T>(words: readonly string[], where: Where = {}): Promise<T> {
  const { code, stdout, stderr } = await varve(words, where);
  assert.equal(code, 0, `varve ${words.join(' ')}: ${stderr}`);
  return JSON.parse(stdout) as T;
}

async function createDisk(name: string, more: readonly string[] = []): Promise<Operations> {
  const words = ['--disk-name', name, '--availability-zone', 'us-east-1a', '--size-in-gb', '8', ...more];
  return await varveJson<Operations>(['lightsail', 'create-disk', ...words]);
}

async function createVolume(sizeGib: string, more: readonly string[] = []): Promise<string> {
  const words = ['ec2', 'create-volume', '--availability-zone', 'us-east-1a', '--size', sizeGib, ...more];
  return (await varveJson<{ readonly VolumeId: string }>(words)).VolumeId;
}

test('G1: the commands of the reference pages, whole', async () => {
  await createDisk('Disk-1');
  const disk = ['--disk-name', 'Disk-1', '--disk-snapshot-name', 'DiskSnapshot-1'];
  const { operations } = await varveJson<Operations>(['lightsail', 'create-disk-snapshot', ...disk]);
  assert.equal(operations[0]?.resourceName, 'DiskSnapshot-1');
  // Of an instance that there is not: the server has understood which is meant.
  for (const words of [
    ['create-disk-snapshot', '--instance-name', 'WordPress-1', '--disk-snapshot-name', 'SystemDiskSnapshot-1'],
    ['create-instance-snapshot', '--instance-name', 'WordPress-1', '--instance-snapshot-name', 'WordPress-Snapshot-1'],
  ]) {
    const { code, stderr } = await varve(['lightsail', ...words]);
    assert.equal(code, 255);
    assert.match(stderr, /^\nAn error occurred \(NotFoundException\) when calling the \w+ operation: .*WordPress-1/);
  }
  const description = 'This is my root volume snapshot.';
  const snapshot = await varveJson<{ readonly Description: string; readonly State: string }>([
    ...['ec2', 'create-snapshot', '--volume-id', await createVolume('8'), '--description', description],
  ]);
  assert.deepEqual([snapshot.Description, snapshot.State], [description, 'pending']);
});

test('G2, C35: --cli-input-json from a file, overridden by words', async () => {
  const file = join(work, 'input.json');
  await writeFile(file, '{"diskName": "from-file", "availabilityZone": "us-east-1a", "sizeInGb": 8}');
  const words = ['lightsail', 'create-disk', '--cli-input-json', `file://${file}`];
  const nameOf = async (more: readonly string[]): Promise<string | undefined> =>
    (await varveJson<Operations>([...words, ...more])).operations[0]?.resourceName;
  assert.equal(await nameOf([]), 'from-file');
  assert.equal(await nameOf(['--disk-name', 'from-words']), 'from-words');
});

test('G3, C35, G16: a skeleton, and words in which something is missing, send no request', async () => {
  const sent = server.requestCount;
  const operation = ['lightsail', 'create-disk-snapshot'];
  const input = await varveJson<object>([...operation, '--generate-cli-skeleton']);
  assert.ok('diskSnapshotName' in input);
  const words = ['--disk-name', 'd', '--disk-snapshot-name', 's', '--generate-cli-skeleton', 'output'];
  assert.ok('operations' in (await varveJson<object>([...operation, ...words])));
  const refused = await varve([...operation, '--disk-name', 'd']);
  assert.equal(refused.code, 2);
  assert.match(refused.stderr, /the following arguments are required: --disk-snapshot-name/);
  assert.equal(server.requestCount, sent);
});

test('G4: --debug shows request ids and content types, and no secret', async () => {
  const json = await varve(['lightsail', 'get-disks', '--debug']);
  assert.match(json.stderr, /x-amzn-requestid/i);
  assert.match(json.stderr, /application\/x-amz-json-1\.1/);
  const xml = await varve(['ec2', 'describe-volumes', '--debug']);
  assert.match(xml.stderr, /<requestId>[0-9a-f-]{36}<\/requestId>/);
  assert.doesNotMatch(json.stderr + xml.stderr, /Signature=[0-9a-f]/);
  assert.equal((json.stderr + xml.stderr).includes(server.credentials.secretAccessKey), false);
});

test('G5: HTTPS with an authority of its own', async (t) => {
  if (!requireTool(t, 'openssl')) return;
  const [key, cert] = [join(work, 'key.pem'), join(work, 'cert.pem')];
  await runOk('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
    ...['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', cert],
  ]);
  await using secure = await RunningServer.start({ args: ['--tls-cert', cert, '--tls-key', key] });
  const refused = await varve(['lightsail', 'get-disks'], { at: secure });
  assert.equal(refused.code, 255);
  assert.match(refused.stderr, /^\nSSL validation failed for https:\S+ \[SSL: CERTIFICATE_VERIFY_FAILED\]/);
  for (const option of [['--ca-bundle', cert], ['--no-verify-ssl']]) {
    assert.equal((await varve(['lightsail', 'get-disks', ...option], { at: secure })).code, 0);
  }
});

test('G6: pages, one after the other and by hand', async () => {
  const tags = ['--tag-specifications', 'ResourceType=volume,Tags=[{Key=paged,Value=yes}]'];
  for (let index = 0; index < 7; index += 1) await createVolume('1', tags);
  type Volumes = { readonly Volumes: readonly { readonly VolumeId: string }[]; readonly NextToken?: string };
  const words = ['ec2', 'describe-volumes', '--filters', 'Name=tag:paged,Values=yes'];
  const ids = ({ Volumes }: Volumes): readonly string[] => Volumes.map(({ VolumeId }) => VolumeId);
  const all = ids(await varveJson<Volumes>([...words, '--page-size', '5']));
  assert.equal(new Set(all).size, 7);
  const byHand = [...words, '--no-paginate', '--max-results', '5'];
  const first = await varveJson<Volumes>(byHand);
  const rest = await varveJson<Volumes>([...byHand, '--next-token', first.NextToken ?? '']);
  assert.deepEqual([...ids(first), ...ids(rest)], all);
  const three = await varveJson<Volumes>([...words, '--max-items', '3', '--page-size', '5']);
  const others = await varveJson<Volumes>([...words, '--starting-token', three.NextToken ?? '', '--page-size', '5']);
  assert.deepEqual([...ids(three), ...ids(others)], all);
});

test('G7, G8, G11: formats, queries, colours and the version', async () => {
  for (const [format, shape] of [
    ['json', /^\{\n {4}"Regions": \[/],
    ['text', /^REGIONS\t(?:.*\t)?us-west-2(?:\t|$)/m],
    ['table', /\|\s+DescribeRegions\s+\|/],
    ['yaml', /^Regions:\n- /],
  ] as const) {
    assert.match((await varve(['ec2', 'describe-regions', '--output', format])).stdout, shape);
  }
  assert.match(await varveJson<string>(['sts', 'get-caller-identity', '--query', 'Account']), /^\d{12}$/);
  for (const color of ['on', 'off', 'auto']) {
    assert.equal((await varve(['sts', 'get-caller-identity', '--color', color])).code, 0);
  }
  assert.equal((await varve(['--version'])).code, 0);
});

test('G9: --profile picks another account', async () => {
  const made = await server.varve(['accounts', 'create', '--json']);
  assert.equal(made.code, 0, made.stderr);
  const other = JSON.parse(made.stdout) as Readonly<Record<'AccountId' | 'AccessKeyId' | 'SecretAccessKey', string>>;
  const credentials = join(work, 'credentials');
  await writeFile(
    credentials,
    `[second]\naws_access_key_id=${other.AccessKeyId}\naws_secret_access_key=${other.SecretAccessKey}\n`,
  );
  const env = { ...server.environment(), AWS_SHARED_CREDENTIALS_FILE: credentials };
  const whoWords = ['sts', 'get-caller-identity', '--query', 'Account'];
  assert.equal(await varveJson<string>([...whoWords, '--profile', 'second'], { env }), other.AccountId);
  assert.notEqual(await varveJson<string>(whoWords, { env }), other.AccountId);
});

test('G10: --region picks the region of the signature', async () => {
  await createDisk('twice');
  await varveJson<Operations>([
    ...['lightsail', 'create-disk', '--disk-name', 'twice', '--availability-zone', 'us-west-2a', '--size-in-gb', '8'],
    ...['--region', 'us-west-2'],
  ]);
  const get = ['lightsail', 'get-disk', '--disk-name', 'twice', '--region'];
  const query = ['--query', 'disk.location.regionName'];
  assert.equal(await varveJson<string>([...get, 'us-west-2', ...query]), 'us-west-2');
  assert.match((await varve([...get, 'eu-central-1'])).stderr, /NotFoundException/);
});

test('G12: --no-sign-request is refused in the words of each service', async () => {
  const said = async (words: readonly string[]): Promise<string> =>
    (await varve([...words, '--no-sign-request'])).stderr;
  assert.match(await said(['lightsail', 'get-disks']), /UnauthenticatedException/);
  assert.match(await said(['ec2', 'describe-volumes']), /\((?:MissingAuthenticationToken|AuthFailure)\)/);
  assert.match(await said(['sts', 'get-caller-identity']), /\(MissingAuthenticationToken\)/);
});

test('G13, G14: time-outs; a sparse 1 TiB volume answers far within', async () => {
  const limits = ['--cli-read-timeout', '10', '--cli-connect-timeout', '10'];
  const volume = await createVolume('1024', limits);
  assert.equal((await varve(['ec2', 'create-snapshot', '--volume-id', volume, ...limits])).code, 0);
  const never = ['--cli-read-timeout', '0', '--cli-connect-timeout', '0'];
  assert.equal((await varve(['sts', 'get-caller-identity', ...never])).code, 0);
});

test('G15: tags in shorthand and in JSON', async () => {
  await createDisk('short', ['--tags', 'key=team,value=storage', 'key=only-key']);
  await createDisk('json', ['--tags', '[{"key":"team","value":"storage"},{"key":"only-key"}]']);
  const tags = async (name: string): Promise<readonly unknown[]> =>
    await varveJson<readonly unknown[]>(['lightsail', 'get-disk', '--disk-name', name, '--query', 'disk.tags']);
  assert.equal((await tags('short')).length, 2);
  assert.deepEqual(await tags('short'), await tags('json'));
});
