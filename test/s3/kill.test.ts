import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { systemClock } from '#base/clock.ts';
import { SeededRandom } from '#base/random.ts';
import { PlainNbdClient } from '#volume/host-nbd.fake.ts';

import { requireTools } from '../clients.ts';
import { RunningServer } from '../running-server.ts';
import { CEPH_TOOLS, RunningCeph } from './ceph.ts';

const MIB = 1024 * 1024;
const ROUNDS = 3;
const SEED = Number(process.env['VARVE_SEED'] ?? systemClock.nowMs() % 1_000_000);

interface SnapshotReply {
  readonly diskSnapshot: { readonly state: string };
}

test('killed at any instant of an upload to Ceph, the next start completes every snapshot as it was cut', async (t) => {
  if (!requireTools(t, ['aws', ...CEPH_TOOLS])) return;
  t.diagnostic(`VARVE_SEED=${SEED}`);
  const random = new SeededRandom(SEED);
  await using ceph = await RunningCeph.start();
  await ceph.createBucket('kill');
  const data = mkdtempSync(join(tmpdir(), 'varve-s3-kill-'));
  t.after(() => rmSync(data, { recursive: true, force: true }));
  const args = ['--store', 's3://kill/prefix', '--s3-endpoint', ceph.endpoint];
  const start = (): Promise<RunningServer> => RunningServer.start({ data, args, environment: ceph.environment() });
  const open = async (server: RunningServer, name: string): Promise<PlainNbdClient> => {
    const path = /socket=([^&]+)/.exec(await server.uri(name))?.[1] ?? '';
    return await PlainNbdClient.connect({ path: decodeURIComponent(path) });
  };

  const disk = Buffer.alloc(48 * MIB);
  const cuts: Buffer[] = [];
  let server = await start();
  await server.awsJson([
    'lightsail',
    'create-disk',
    '--disk-name',
    'disk',
    '--availability-zone',
    'us-east-1a',
    '--size-in-gb',
    '8',
  ]);
  for (let round = 0; round < ROUNDS; round += 1) {
    {
      using client = await open(server, 'disk');
      for (let count = 0; count < 20; count += 1) {
        const bytes = random.bytes(MIB);
        const at = random.below(48) * MIB;
        bytes.copy(disk, at);
        await client.write(at, bytes);
      }
    }
    await server.awsJson([
      'lightsail',
      'create-disk-snapshot',
      '--disk-name',
      'disk',
      '--disk-snapshot-name',
      `s-${round}`,
    ]);
    cuts.push(Buffer.from(disk));
    await systemClock.sleep(random.below(400));
    await server.killAll();
    server = await start();
  }
  for (const [round, expected] of cuts.entries()) {
    for (;;) {
      const reply = await server.awsJson<SnapshotReply>([
        'lightsail',
        'get-disk-snapshot',
        '--disk-snapshot-name',
        `s-${round}`,
      ]);
      if (reply.diskSnapshot.state === 'completed') break;
      assert.equal(reply.diskSnapshot.state, 'pending');
      await systemClock.sleep(50);
    }
    using client = await open(server, `s-${round}`);
    for (let at = 0; at < expected.length; at += 4 * MIB) {
      const found = await client.read(at, 4 * MIB);
      assert(found.equals(expected.subarray(at, at + 4 * MIB)), `snapshot ${round} at ${at / MIB} MiB`);
    }
  }
  assert.equal(await server.stop(), 0);
});
