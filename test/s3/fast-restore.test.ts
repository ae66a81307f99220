import assert from 'node:assert/strict';
import { test } from 'node:test';

import { systemClock } from '#base/clock.ts';
import { SeededRandom } from '#base/random.ts';
import { FakeS3Server } from '#chunk/s3-server.fake.ts';
import { PlainNbdClient } from '#volume/host-nbd.fake.ts';

import { requireTool } from '../clients.ts';
import { RunningServer } from '../running-server.ts';

const MIB = 1024 * 1024;

interface FastRestores {
  readonly FastSnapshotRestores: readonly { readonly State: string; readonly StateTransitionReason: string }[];
}

test('a volume of a snapshot that is kept ready reads nothing of the bucket, also after the server was killed', async (t) => {
  if (!requireTool(t, 'aws')) return;
  const fake = await FakeS3Server.start();
  t.after(() => fake[Symbol.asyncDispose]());
  const { bucket, region, endpoint } = fake.location();
  const args = ['--store', `s3://${bucket}/fast`, '--s3-endpoint', endpoint ?? '', '--s3-region', region];
  const environment = fake.environment();
  const bytes = new SeededRandom(4).bytes(24 * MIB);
  const packReads = (): number =>
    fake.seen.filter((request) => request.startsWith('GET ') && request.includes('/packs/')).length;

  await using server = await RunningServer.start({ args, environment });
  const volumeOf = async (running: RunningServer, ...words: readonly string[]): Promise<string> => {
    const place = ['--availability-zone', 'us-east-1a', ...words];
    return (await running.awsJson<{ readonly VolumeId: string }>(['ec2', 'create-volume', ...place])).VolumeId;
  };
  const open = async (running: RunningServer, volume: string): Promise<PlainNbdClient> => {
    const path = /socket=([^&]+)/.exec(await running.uri(volume))?.[1] ?? '';
    return await PlainNbdClient.connect({ path: decodeURIComponent(path) }, volume);
  };
  const state = async (running: RunningServer): Promise<string> => {
    const shown = await running.awsJson<FastRestores>(['ec2', 'describe-fast-snapshot-restores']);
    const [one] = shown.FastSnapshotRestores;
    return `${one?.State}: ${one?.StateTransitionReason}`;
  };
  /** How often a pack was read while a new volume was read whole. */
  const readAll = async (running: RunningServer, snapshot: string): Promise<number> => {
    const before = packReads();
    using client = await open(running, await volumeOf(running, '--snapshot-id', snapshot));
    for (let at = 0; at < bytes.length; at += MIB) {
      assert((await client.read(at, MIB)).equals(bytes.subarray(at, at + MIB)), `at ${at}`);
    }
    await client.close();
    return packReads() - before;
  };

  const source = await volumeOf(server, '--size', '1');
  using writer = await open(server, source);
  for (let at = 0; at < bytes.length; at += MIB) await writer.write(at, bytes.subarray(at, at + MIB));
  await writer.close();
  const { SnapshotId: snapshot } = await server.awsJson<{ readonly SnapshotId: string }>([
    'ec2',
    'create-snapshot',
    '--volume-id',
    source,
  ]);
  await server.aws(['ec2', 'wait', 'snapshot-completed', '--snapshot-ids', snapshot]);
  assert.ok((await readAll(server, snapshot)) > 0, 'what is not kept ready comes from the bucket');

  // While the bucket is away it is not enabled.
  fake.fault = ({ key, method }) =>
    method === 'GET' && key.includes('packs/') ? { kind: 'error', status: 503, code: 'SlowDown' } : null;
  const zone = ['--availability-zones', 'us-east-1a'];
  await server.awsJson(['ec2', 'enable-fast-snapshot-restores', '--source-snapshot-ids', snapshot, ...zone]);
  await systemClock.sleep(1500);
  assert.match(await state(server), /^optimizing/);
  fake.fault = () => null;
  for (let now = await state(server); !now.startsWith('enabled'); now = await state(server)) {
    assert.match(now, /^optimizing/);
    await systemClock.sleep(100);
  }
  assert.equal(await readAll(server, snapshot), 0);

  await server.killAll();
  await using again = await RunningServer.start({ data: server.dataDirectory, args, environment });
  for (let now = await state(again); !now.startsWith('enabled'); now = await state(again)) await systemClock.sleep(100);
  assert.equal(await readAll(again, snapshot), 0);
});
