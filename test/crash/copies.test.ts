import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { requireTools } from '../clients.ts';
import { run } from '../run.ts';
import { type Credentials, RunningServer } from '../running-server.ts';

/** Copies of snapshots, between accounts and regions, and of volumes go on after everything was killed in the middle of them. */

interface Snapshot {
  readonly SnapshotId: string;
  readonly State: string;
}

interface Volume {
  readonly VolumeId: string;
  readonly State: string;
}

async function ec2<T>(server: RunningServer, who: Credentials, words: readonly string[], region?: string): Promise<T> {
  return await server.awsJson<T>(['ec2', ...words], { env: server.environment(who, region) });
}

async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await isSo()); tries += 1) {
    assert.ok(tries < 100, what);
    await systemClock.sleep(200);
  }
}

async function qemuIo(uri: string, ...commands: readonly string[]): Promise<void> {
  const mode = commands.every((command) => command.startsWith('read')) ? ['-r'] : [];
  const result = await run('qemu-io', [...mode, '-f', 'raw', ...commands.flatMap((command) => ['-c', command]), uri]);
  assert.equal(result.code, 0, result.stdout + result.stderr);
  assert.doesNotMatch(result.stdout + result.stderr, /verification failed/);
}

test('copies that were answered are made, though everything is killed while they are', async (t) => {
  if (!requireTools(t, ['aws', 'qemu-io'])) return;
  const data = await mkdtemp(join(tmpdir(), 'varve-copies-'));
  try {
    const first = await RunningServer.start({ data });
    const owner = first.credentials;
    const made = await first.varve(['accounts', 'create', '--json']);
    const account = JSON.parse(made.stdout) as Record<'AccountId' | 'AccessKeyId' | 'SecretAccessKey', string>;
    const other: Credentials = {
      accountId: account.AccountId,
      accessKeyId: account.AccessKeyId,
      secretAccessKey: account.SecretAccessKey,
    };
    const create = ['create-volume', '--availability-zone', 'us-east-1a', '--size', '1'];
    const { VolumeId: source } = await ec2<Volume>(first, owner, create);
    const uri = await first.uri(source);
    await qemuIo(uri, 'write -P 0x61 0 64M', 'write -P 0x62 64M 64M', 'flush');
    const { SnapshotId: snapshot } = await ec2<Snapshot>(first, owner, ['create-snapshot', '--volume-id', source]);
    await ec2(first, owner, ['wait', 'snapshot-completed', '--snapshot-ids', snapshot]);
    const share = ['modify-snapshot-attribute', '--snapshot-id', snapshot, '--operation-type', 'add'];
    await ec2(first, owner, [...share, '--user-ids', other.accountId]);
    // What is copied as a volume is not in the snapshot.
    await qemuIo(uri, 'write -P 0x63 128M 64M', 'flush');
    const copyOf = ['copy-snapshot', '--source-region', 'us-east-1', '--source-snapshot-id', snapshot];
    const [far, theirs, restored, twin] = await Promise.all([
      ec2<Snapshot>(first, owner, copyOf, 'eu-west-1'),
      ec2<Snapshot>(first, other, copyOf),
      ec2<Volume>(first, other, ['create-volume', '--availability-zone', 'us-east-1a', '--snapshot-id', snapshot]),
      ec2<{ readonly Volumes: readonly Volume[] }>(first, owner, ['copy-volumes', '--source-volume-id', source]),
    ]);
    await first.killAll();

    await using server = await RunningServer.start({ data });
    const stateOf = async (who: Credentials, { SnapshotId: id }: Snapshot, region: string): Promise<string> => {
      const words = ['describe-snapshots', '--snapshot-ids', id];
      const shown = await ec2<{ readonly Snapshots: readonly Snapshot[] }>(server, who, words, region);
      return shown.Snapshots[0]?.State ?? 'gone';
    };
    await until('the copy abroad is completed', async () => (await stateOf(owner, far, 'eu-west-1')) === 'completed');
    await until('their copy is completed', async () => (await stateOf(other, theirs, 'us-east-1')) === 'completed');
    const [copy] = twin.Volumes;
    assert.ok(copy !== undefined);
    for (const [who, { VolumeId: id }] of [
      [other, restored],
      [owner, copy],
    ] as const) {
      await until(`${id} is available`, async () => {
        const words = ['describe-volumes', '--volume-ids', id];
        const shown = await ec2<{ readonly Volumes: readonly Volume[] }>(server, who, words);
        assert.notEqual(shown.Volumes[0]?.State, 'error');
        return shown.Volumes[0]?.State === 'available';
      });
    }
    await qemuIo(
      await server.uri(restored.VolumeId),
      'read -P 0x61 0 64M',
      'read -P 0x62 64M 64M',
      'read -P 0 128M 64M',
    );
    await qemuIo(
      await server.uri(copy.VolumeId),
      'read -P 0x61 0 64M',
      'read -P 0x62 64M 64M',
      'read -P 0x63 128M 64M',
    );
    await qemuIo(await server.uri(theirs.SnapshotId), 'read -P 0x61 0 64M', 'read -P 0x62 64M 64M');
    assert.deepEqual(await readdir(join(data, 'spool')).catch(() => []), [], 'nothing of a copy lies about');
    // Of three snapshots that are there, none is what a volume was made of.
    const { Snapshots: mine } = await ec2<{ readonly Snapshots: readonly Snapshot[] }>(server, owner, [
      ...['describe-snapshots', '--owner-ids', 'self'],
    ]);
    assert.deepEqual(
      mine.map(({ SnapshotId: id }) => id),
      [snapshot],
    );
    await server.stop();
  } finally {
    await rm(data, { recursive: true, force: true });
  }
});
