import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { requireTool, requireTools } from '../clients.ts';
import { run } from '../run.ts';
import { RunningServer } from '../running-server.ts';

/** Debian's boto3 belongs to Debian's Python, whatever else is on the path. */
const PYTHON = process.env['VARVE_TEST_PYTHON'] ?? '/usr/bin/python3';

interface Account {
  readonly AccountId: string;
  readonly AccessKeyId: string;
  readonly SecretAccessKey: string;
}

async function newAccount(server: RunningServer): Promise<Account> {
  const made = await server.varve(['accounts', 'create', '--json']);
  assert.equal(made.code, 0, made.stderr);
  return JSON.parse(made.stdout) as Account;
}

/** Whether boto3 is there; where it must be, it is. */
async function hasBoto3(t: TestContext): Promise<boolean> {
  if (!requireTool(t, PYTHON)) return false;
  const known = await run(PYTHON, ['-c', 'import boto3']);
  if (known.code === 0) return true;
  assert.notEqual(process.env['VARVE_REQUIRE_CLIENTS'], '1', 'boto3 is required here (python3-boto3)');
  t.skip('boto3 is not installed');
  return false;
}

async function runClient(server: RunningServer, name: string, ...args: readonly string[]): Promise<void> {
  const result = await run(PYTHON, [join(import.meta.dirname, name), server.endpoint, ...args], {
    env: server.environment(),
  });
  assert.equal(result.code, 0, result.stdout + result.stderr);
  assert.match(result.stdout, /ok: all of it\n$/, 'it went to its end');
}

test('C34 D13: copies, shares, searched lists and the codes of refusals, with boto3 and two accounts', async (t) => {
  if (!(await hasBoto3(t))) return;
  const limits = { snapshotIntervalMsMin: 15_000, volumeGibTotalMax: 50 };
  await using server = await RunningServer.start({ args: ['--limits', JSON.stringify(limits)] });
  const { AccessKeyId, SecretAccessKey } = await newAccount(server);
  await runClient(server, 'ec2-snapshots-client.py', AccessKeyId, SecretAccessKey);
});

test('what is too much is refused with the code that EC2 has for it, as the limits are set', async (t) => {
  if (!(await hasBoto3(t))) return;
  const limits = {
    volumeCountMax: 6,
    snapshotCountMax: 8,
    pendingSnapshotCountMax: 2,
    pendingSnapshotsPerVolumeMax: 1,
    directSnapshotCountMax: 0,
    pendingCopyCountMax: 0,
    modificationCountMax: 1,
    provisionedIopsTotalMax: 1000,
  };
  await using server = await RunningServer.start({ environment: { VARVE_LIMITS: JSON.stringify(limits) } });
  await runClient(server, 'ec2-limits-client.py');
});

test('D21: what the newest clients know: copies of volumes, times of copies, blocked public access', async (t) => {
  if (!requireTools(t, ['aws', 'qemu-io'])) return;
  await using server = await RunningServer.start();
  const ec2 = async <T>(...words: readonly string[]): Promise<T> => await server.awsJson<T>(['ec2', ...words]);
  const { VolumeId: source } = await ec2<{ readonly VolumeId: string }>(
    ...['create-volume', '--availability-zone', 'us-east-1a', '--size', '1'],
  );
  const uri = await server.uri(source);
  await run('qemu-io', ['-f', 'raw', '-c', 'write -P 0x61 0 1M', '-c', 'flush', uri]);
  interface Volume {
    readonly VolumeId: string;
    readonly State: string;
    readonly SourceVolumeId?: string;
    readonly Size: number;
  }
  const { Volumes: made } = await ec2<{ readonly Volumes: readonly Volume[] }>(
    ...['copy-volumes', '--source-volume-id', source, '--size', '2'],
  );
  const [copy] = made;
  assert.ok(copy !== undefined && made.length === 1);
  assert.deepEqual([copy.State, copy.SourceVolumeId, copy.Size], ['creating', source, 2]);
  await run('qemu-io', ['-f', 'raw', '-c', 'write -P 0x62 0 1M', '-c', 'flush', uri]);
  for (let tries = 0; ; tries += 1) {
    const words = ['describe-volumes', '--volume-ids', copy.VolumeId];
    const shown: { readonly Volumes: readonly Volume[] } = await ec2(...words);
    if (shown.Volumes[0]?.State === 'available') break;
    assert.equal(shown.Volumes[0]?.State, 'creating');
    assert.ok(tries < 100);
    await systemClock.sleep(200);
  }
  const read = await run('qemu-io', [
    ...['-r', '-f', 'raw', '-c', 'read -P 0x61 0 1M', '-c', 'read -P 0 1M 1M'],
    await server.uri(copy.VolumeId),
  ]);
  assert.equal(read.code, 0);
  assert.doesNotMatch(read.stdout + read.stderr, /verification failed/, 'it is the volume as it was at the call');
  const { Snapshots: none } = await ec2<{ readonly Snapshots: readonly unknown[] }>('describe-snapshots');
  assert.deepEqual(none, [], "what a copy is stored as is nobody's to see");

  const { SnapshotId: snapshot } = await ec2<{ readonly SnapshotId: string }>('create-snapshot', '--volume-id', source);
  await ec2('wait', 'snapshot-completed', '--snapshot-ids', snapshot);
  const { SnapshotId: timed } = await ec2<{ readonly SnapshotId: string }>(
    ...['copy-snapshot', '--source-region', 'us-east-1', '--source-snapshot-id', snapshot],
    ...['--completion-duration-minutes', '30'],
  );
  const { Snapshots: copies } = await ec2<{
    readonly Snapshots: readonly { readonly TransferType: string; readonly CompletionDurationMinutes: number }[];
  }>('describe-snapshots', '--snapshot-ids', timed);
  assert.deepEqual([copies[0]?.TransferType, copies[0]?.CompletionDurationMinutes], ['time-based', 30]);
  const odd = await server.aws([
    ...['ec2', 'copy-snapshot', '--source-region', 'us-east-1', '--source-snapshot-id', snapshot],
    ...['--completion-duration-minutes', '20'],
  ]);
  assert.match(odd.stderr, /\(InvalidParameterValue\)/);

  assert.deepEqual(await ec2('enable-snapshot-block-public-access', '--state', 'block-new-sharing'), {
    State: 'block-new-sharing',
  });
  const publish = ['modify-snapshot-attribute', '--snapshot-id', snapshot, '--attribute', 'createVolumePermission'];
  const refused = await server.aws(['ec2', ...publish, '--operation-type', 'add', '--group-names', 'all']);
  assert.match(refused.stderr, /\(OperationNotPermitted\)/);
  const state = await ec2<{ readonly State: string }>('get-snapshot-block-public-access-state');
  assert.equal(state.State, 'block-new-sharing');
  await ec2('disable-snapshot-block-public-access');
  await ec2(...publish, '--operation-type', 'add', '--group-names', 'all');
});
