import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { CreateSnapshotCommand, CreateVolumeCommand, DescribeSnapshotsCommand, EC2Client } from '@aws-sdk/client-ec2';
import { systemClock } from '#base/clock.ts';
import { SeededRandom } from '#base/random.ts';
import { requireTools } from '../clients.ts';
import { RunningServer } from '../running-server.ts';
import { readVersions, StampedWriter, WriteHistory } from './stamped-writer.ts';

const ROUNDS = Number(process.env['VARVE_CRASH_ROUNDS'] ?? 50);
const SEED = Number(process.env['VARVE_SEED'] ?? Date.now() % 1_000_000);
/** 48 MiB in 96 chunks: small enough to be read whole each round, large enough that chunks are first touched in every epoch. */
const BLOCKS = 12_288;
const BLOCKS_PER_CHUNK = 128;

interface TakenSnapshot {
  readonly id: string;
  /** Writes acknowledged before the call was sent: they must be in. */
  readonly least: number;
  /** Writes sent before the answer came: no later one may be in. */
  readonly most: number;
}

type Victim = 'all' | 'host' | 'control';

function ec2(server: RunningServer): EC2Client {
  return new EC2Client({
    endpoint: server.endpoint,
    region: 'us-east-1',
    credentials: server.credentials,
    maxAttempts: 1,
  });
}

/** Writes at random places, with a flush now and then, until told to stop or until the server is gone. */
async function writeOn(
  writer: StampedWriter,
  history: WriteHistory,
  random: SeededRandom,
  going: () => boolean,
): Promise<boolean> {
  while (going()) {
    // Half of the writes stay within few chunks, so that slots are also written in place.
    const chunk = random.below(2) === 0 ? random.below(4) : random.below(BLOCKS / BLOCKS_PER_CHUNK);
    const alive = await writer.write(history, chunk * BLOCKS_PER_CHUNK + random.below(BLOCKS_PER_CHUNK));
    if (!alive) return false;
    if (random.below(20) === 0 && !(await writer.flush())) return false;
  }
  return true;
}

async function kill(server: RunningServer, victim: Victim): Promise<void> {
  if (victim === 'all') await server.killAll();
  else if (victim === 'host') process.kill(await server.hostProcessId(), 'SIGKILL');
  else server.signal('SIGKILL');
}

async function completedSnapshots(client: EC2Client, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return;
  for (let tries = 0; ; tries += 1) {
    const { Snapshots = [] } = await client.send(new DescribeSnapshotsCommand({ SnapshotIds: [...ids] }));
    assert.equal(Snapshots.length, ids.length, 'no snapshot that was answered is lost');
    assert.ok(Snapshots.every((snapshot) => snapshot.State !== 'error'));
    if (Snapshots.every((snapshot) => snapshot.State === 'completed')) return;
    assert.ok(tries < 600, `still pending: ${JSON.stringify(Snapshots.filter((one) => one.State === 'pending'))}`);
    await systemClock.sleep(50);
  }
}

test(
  `nothing acknowledged is lost in ${ROUNDS} rounds of kill -9 (VARVE_SEED=${SEED})`,
  { timeout: 1_200_000 },
  async (t) => {
    if (!requireTools(t, ['/usr/bin/python3', 'nbdinfo'])) return;
    t.diagnostic(`seed ${SEED}`);
    const random = new SeededRandom(SEED);
    const data = await mkdtemp(join(tmpdir(), 'varve-crash-'));
    const history = new WriteHistory(BLOCKS);
    const snapshots: TakenSnapshot[] = [];
    let volume = '';
    let killsOfAll = 0;
    let server = await RunningServer.start({ data });
    try {
      for (let round = 0; round < ROUNDS; round += 1) {
        const client = ec2(server);
        if (volume === '') {
          const made = await client.send(new CreateVolumeCommand({ AvailabilityZone: 'us-east-1a', Size: 1 }));
          volume = made.VolumeId ?? '';
        }
        const uri = await server.uri(volume);

        // What the last round promised is there.
        const found = await readVersions(uri, BLOCKS);
        const least = history.ackedCount;
        const count = history.explain(found, {
          least,
          most: history.writes.length,
          what: `round ${round}, the volume`,
        });
        history.forgetAfter(count);

        const writer = await StampedWriter.connect(uri);
        let going = true;
        const writing = writeOn(writer, history, random, () => going);
        await systemClock.sleep(random.below(250));

        const victims: readonly Victim[] = ['all', 'all', 'all', 'host', 'control'];
        const victim = victims[random.below(victims.length)] ?? 'all';
        const takes = random.below(2) === 0;
        const taking = takes
          ? (async (): Promise<void> => {
              const before = history.ackedCount;
              const reply = await client.send(new CreateSnapshotCommand({ VolumeId: volume })).catch(() => null);
              const id = reply?.SnapshotId;
              if (id !== undefined) snapshots.push({ id, least: before, most: history.writes.length });
            })()
          : Promise.resolve();
        await systemClock.sleep(random.below(120));
        await kill(server, victim);
        if (victim === 'all') killsOfAll += 1;
        if (victim === 'control') {
          // The data plane goes on without the control plane.
          const ackedBefore = history.ackedCount;
          await systemClock.sleep(100);
          assert.ok(history.ackedCount > ackedBefore, 'writes are acknowledged while the control process is dead');
        }
        going = false;
        await writing;
        await taking;
        writer[Symbol.dispose]();
        client.destroy();
        if (victim !== 'host') {
          await server[Symbol.asyncDispose]();
          server = await RunningServer.start({ data });
        }
        // Every few rounds, every snapshot so far.
        if (round % 10 === 9 || round === ROUNDS - 1) {
          const checker = ec2(server);
          await completedSnapshots(
            checker,
            snapshots.map((snapshot) => snapshot.id),
          );
          for (const snapshot of snapshots) {
            const content = await readVersions(await server.uri(snapshot.id), BLOCKS);
            history.explain(content, { ...snapshot, what: `snapshot ${snapshot.id}` });
          }
          checker.destroy();
        }
      }
      t.diagnostic(`${history.writes.length} writes, ${snapshots.length} snapshots, ${killsOfAll} kills of everything`);
      assert.ok(history.writes.length > ROUNDS, 'something was written');
      assert.ok(snapshots.length > 0 || ROUNDS < 10, 'snapshots were taken');
    } finally {
      await server.killAll();
      await rm(data, { recursive: true, force: true });
    }
  },
);
