import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { requireTools } from '../clients.ts';
import { runOk } from '../run.ts';
import { RunningServer } from '../running-server.ts';

/** EC2's ModifyVolume and what goes with it, with the real `aws` and real clients of the disk. */

/** Debian's libnbd belongs to Debian's Python, whatever else is on the path. */
const PYTHON = process.env['VARVE_TEST_PYTHON'] ?? '/usr/bin/python3';

let server: RunningServer;

before(async () => {
  server = await RunningServer.start();
});

after(async () => {
  await server[Symbol.asyncDispose]();
});

async function ec2<T>(...words: readonly string[]): Promise<T> {
  return await server.awsJson<T>(['ec2', ...words]);
}

/** What `aws` says that the server refused with. */
async function refusal(...words: readonly string[]): Promise<string> {
  const { code, stderr } = await server.aws(['ec2', ...words]);
  assert.notEqual(code, 0, words.join(' '));
  return /An error occurred \((\S+)\)/.exec(stderr)?.[1] ?? stderr;
}

interface Modification {
  readonly ModificationState: string;
  readonly TargetSize: number;
  readonly OriginalSize: number;
  readonly Progress: number;
}

test('a volume grows while a client uses it, and who connects then sees its new size', async (t) => {
  if (!requireTools(t, ['aws', 'qemu-io', 'nbdinfo', PYTHON])) return;
  const { VolumeId: id } = await ec2<{ readonly VolumeId: string }>(
    ...['create-volume', '--availability-zone', 'us-east-1a', '--size', '1', '--volume-type', 'gp3'],
  );
  const uri = await server.uri(id);
  // One client stays connected over the modification: it keeps its size, and goes on.
  const script = [
    'import json, nbd, subprocess, sys',
    'h = nbd.NBD()',
    'h.connect_uri(sys.argv[1])',
    'assert h.get_size() == 1 << 30',
    "h.pwrite(b'a' * 4096, 0)",
    'out = subprocess.run(sys.argv[2:], check=True, capture_output=True).stdout',
    "assert json.loads(out)['VolumeModification']['TargetSize'] == 3, out",
    "h.pwrite(b'b' * 4096, 4096)",
    'h.flush()',
    'assert h.get_size() == 1 << 30',
    'other = nbd.NBD()',
    'other.connect_uri(sys.argv[1])',
    'assert other.get_size() == 3 << 30, other.get_size()',
    "assert bytes(other.pread(8192, 0)) == b'a' * 4096 + b'b' * 4096",
    "other.pwrite(b'c' * 4096, (3 << 30) - 4096)",
    'other.flush()',
  ].join('\n');
  const modify = ['aws', '--endpoint-url', server.endpoint, '--output', 'json', 'ec2', 'modify-volume'];
  await runOk(PYTHON, ['-c', script, uri, ...modify, '--volume-id', id, '--size', '3'], {
    env: server.environment(),
  });
  assert.equal((await runOk('nbdinfo', ['--size', uri])).stdout.trim(), String(3 * 1024 ** 3));
  const shown = async (): Promise<Modification> => {
    const { VolumesModifications: all } = await ec2<{ readonly VolumesModifications: readonly Modification[] }>(
      ...['describe-volumes-modifications', '--volume-ids', id],
    );
    const [one] = all;
    assert.ok(one !== undefined && all.length === 1);
    return one;
  };
  assert.match((await shown()).ModificationState, /^(?:modifying|optimizing)$/);
  assert.equal(await refusal('modify-volume', '--volume-id', id, '--size', '4'), 'IncorrectModificationState');
  for (let tries = 0; (await shown()).ModificationState !== 'completed'; tries += 1) {
    assert.ok(tries < 100);
    await systemClock.sleep(200);
  }
  assert.equal(await refusal('modify-volume', '--volume-id', id, '--size', '2'), 'InvalidParameterValue');
  const { VolumeModification: same } = await ec2<{ readonly VolumeModification: Modification }>(
    ...['modify-volume', '--volume-id', id],
  );
  assert.deepEqual([same.ModificationState, same.OriginalSize, same.TargetSize], ['completed', 3, 3]);

  // A snapshot has all of it.
  const { SnapshotId: snapshot } = await ec2<{ readonly SnapshotId: string }>('create-snapshot', '--volume-id', id);
  await ec2('wait', 'snapshot-completed', '--snapshot-ids', snapshot);
  const copy = await ec2<{ readonly VolumeId: string; readonly Size: number }>(
    ...['create-volume', '--availability-zone', 'us-east-1b', '--snapshot-id', snapshot],
  );
  assert.equal(copy.Size, 3);
  const read = await runOk('qemu-io', [
    ...['-r', '-f', 'raw', '-c', 'read -P 0x62 4k 4k', '-c', 'read -P 0x63 3221221376 4k'],
    await server.uri(copy.VolumeId),
  ]);
  assert.doesNotMatch(read.stdout + read.stderr, /verification failed/);
});

test('the status and the attributes of a volume', async (t) => {
  if (!requireTools(t, ['aws'])) return;
  const { VolumeId: id } = await ec2<{ readonly VolumeId: string }>(
    ...['create-volume', '--availability-zone', 'us-east-1a', '--size', '1'],
  );
  const { VolumeStatuses: statuses } = await ec2<{
    readonly VolumeStatuses: readonly {
      readonly VolumeId: string;
      readonly VolumeStatus: { readonly Status: string };
    }[];
  }>('describe-volume-status', '--filters', 'Name=volume-status.status,Values=ok', '--volume-ids', id);
  assert.deepEqual(
    statuses.map((one) => [one.VolumeId, one.VolumeStatus.Status]),
    [[id, 'ok']],
  );
  await ec2('modify-volume-attribute', '--volume-id', id, '--auto-enable-io');
  const attribute = ['describe-volume-attribute', '--volume-id', id, '--attribute'];
  assert.deepEqual(await ec2(...attribute, 'autoEnableIO'), { VolumeId: id, AutoEnableIO: { Value: true } });
  assert.deepEqual(await ec2(...attribute, 'productCodes'), { VolumeId: id, ProductCodes: [] });
  await ec2('enable-volume-io', '--volume-id', id);
});
