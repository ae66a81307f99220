/**
 * `npm run bench:api`: CreateSnapshot and DescribeSnapshots with few and with many snapshots in the account, eight
 * connections, in turns with moto's server where it is installed. Ours makes real cuts and stores them; moto makes a record.
 * `--counts 10,1000,100000`, `--rounds` (default 5), `--seconds` of a turn (default 2). Last line: JSON.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { present } from '#base/assert.ts';
import { systemClock } from '#base/clock.ts';
import { systemRandom } from '#base/random.ts';
import { newSnapshotId, regionName, type AccountId, type VolumeId } from '#domain/ids.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import { KyselyStore } from '#meta/kysely-store.ts';
import { snapshotRecord } from '#meta/snapshot.fixture.ts';
import { run } from '../run.ts';
import { RunningServer } from '../running-server.ts';
import { call, type NextRequest, rate, type Target } from './api-figures.ts';

const VOLUMES = 256;
const ROWS_PER_TRANSACTION = 5000;

const { values } = parseArgs({
  options: {
    counts: { type: 'string', default: '10,1000,100000' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '2' },
  },
});
const counts = values.counts.split(',').map(Number);
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);

const OPERATIONS = ['CreateSnapshot', 'DescribeSnapshots by id', 'DescribeSnapshots by tag'] as const;
type Operation = (typeof OPERATIONS)[number];
type Rates = Readonly<Record<Operation, number>>;

function requestsOf(target: Target, operation: Operation): NextRequest {
  const pick = (from: readonly string[], connection: number, n: number): string =>
    present(from[(connection * 31 + n) % from.length], 'there are some');
  switch (operation) {
    case 'CreateSnapshot':
      // Volumes in turn, so that none has more snapshots on their way than it may.
      return (connection, n) => ({ Action: 'CreateSnapshot', VolumeId: pick(target.volumes, connection, n * 8) });
    case 'DescribeSnapshots by id':
      return (connection, n) => ({
        Action: 'DescribeSnapshots',
        'SnapshotId.1': pick(target.snapshots, connection, n),
      });
    case 'DescribeSnapshots by tag':
      return () => ({
        Action: 'DescribeSnapshots',
        'Owner.1': 'self',
        'Filter.1.Name': 'tag:group',
        'Filter.1.Value.1': '0',
        MaxResults: '10',
      });
  }
}

async function startOurs(
  count: number,
): Promise<{ target: Target; startMs: number; server: RunningServer; data: string }> {
  const data = await mkdtemp(join(tmpdir(), 'varve-bench-api-'));
  const volumes: string[] = [];
  let account: string;
  {
    await using server = await RunningServer.start({ data });
    account = server.credentials.accountId;
    const target = targetOf(server, [], []);
    for (let n = 0; n < VOLUMES; n += 1) {
      const text = await call(target, { Action: 'CreateVolume', AvailabilityZone: 'us-east-1a', Size: '1' });
      volumes.push(present(/vol-[0-9a-f]+/.exec(text)?.[0], 'a volume'));
    }
  }
  const snapshots = await fill(data, account as AccountId, volumes, count);
  const beganMs = systemClock.monotonicMs();
  const server = await RunningServer.start({ data });
  await call(targetOf(server, [], []), { Action: 'DescribeSnapshots', 'SnapshotId.1': present(snapshots[0], 'one') });
  const startMs = systemClock.monotonicMs() - beganMs;
  return { target: targetOf(server, volumes, snapshots), startMs, server, data };
}

function targetOf(server: RunningServer, volumes: readonly string[], snapshots: readonly string[]): Target {
  const port = Number(new URL(server.endpoint).port);
  return { name: 'varve', port, credentials: server.credentials, volumes, snapshots };
}

/** Writes the records of completed snapshots into the metadata of a server that does not run. */
async function fill(
  data: string,
  account: AccountId,
  volumes: readonly string[],
  count: number,
): Promise<readonly string[]> {
  await using store = await KyselyStore.open(join(data, 'meta.db'), systemClock);
  const ids: string[] = [];
  for (let from = 0; from < count; from += ROWS_PER_TRANSACTION) {
    await store.transact(async (tx) => {
      for (let index = from; index < Math.min(count, from + ROWS_PER_TRANSACTION); index += 1) {
        const snapshot = record(account, present(volumes[index % volumes.length], 'a volume') as VolumeId, index);
        await tx.snapshots.insert(snapshot);
        ids.push(snapshot.id);
      }
    });
  }
  return [...ids.slice(0, 64), ...ids.slice(-64)];
}

function record(account: AccountId, volume: VolumeId, index: number): Snapshot {
  const startedAtMs = systemClock.nowMs() - 86_400_000 + index;
  return snapshotRecord(
    { account, region: regionName('us-east-1') },
    { id: newSnapshotId(systemRandom), volume },
    {
      volumeSizeGib: 1,
      description: `number ${index}`,
      startedAtMs,
      completedAtMs: startedAtMs + 1000,
      fullBytes: 0,
      changedBytes: 0,
      storedBytes: 0,
      tags: { group: String(Math.floor(index / 10)) },
    },
  );
}

async function startMoto(count: number): Promise<{ target: Target; stop: () => void } | null> {
  if ((await run('python3', ['-c', 'import moto.server']).catch(() => ({ code: 1 }))).code !== 0) return null;
  const script = join(import.meta.dirname, 'moto-server.py');
  const child = spawn('python3', [script, String(count), String(VOLUMES)], { stdio: ['pipe', 'pipe', 'ignore'] });
  const line = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).once('line', resolve);
    child.once('exit', (code) => reject(new Error(`moto's server ended with ${code}`)));
  });
  const ready = JSON.parse(line) as Pick<Target, 'port' | 'volumes' | 'snapshots'>;
  const credentials = { accountId: '123456789012', accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'secret' };
  return { target: { name: 'moto', credentials, ...ready }, stop: () => child.kill('SIGKILL') };
}

async function measure(count: number): Promise<{ ours: Rates; moto: Rates | null; startMs: number }> {
  const ours = await startOurs(count);
  const moto = await startMoto(count);
  const seen = new Map<string, number[]>();
  try {
    for (let round = 0; round < rounds; round += 1) {
      // What is made goes last: it changes the account.
      for (const operation of OPERATIONS.toReversed()) {
        for (const target of moto === null ? [ours.target] : [ours.target, moto.target]) {
          const perSecond = await rate(target, seconds, requestsOf(target, operation));
          const key = `${target.name} ${operation}`;
          seen.set(key, [...(seen.get(key) ?? []), perSecond]);
          process.stdout.write(`${count} snapshots, ${key}: ${perSecond.toFixed(0)}/s\n`);
        }
      }
    }
  } finally {
    moto?.stop();
    await ours.server[Symbol.asyncDispose]();
    await rm(ours.data, { recursive: true, force: true });
  }
  const ratesOf = (name: string): Rates => ({
    CreateSnapshot: median(seen.get(`${name} CreateSnapshot`) ?? []),
    'DescribeSnapshots by id': median(seen.get(`${name} DescribeSnapshots by id`) ?? []),
    'DescribeSnapshots by tag': median(seen.get(`${name} DescribeSnapshots by tag`) ?? []),
  });
  return { ours: ratesOf('varve'), moto: moto === null ? null : ratesOf('moto'), startMs: ours.startMs };
}

function median(all: readonly number[]): number {
  const sorted = all.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

const figures: Record<string, number> = {};
const results = new Map<number, Awaited<ReturnType<typeof measure>>>();
for (const count of counts) {
  const result = await measure(count);
  results.set(count, result);
  figures[`start_ms_${count}`] = Math.round(result.startMs);
  for (const operation of OPERATIONS) {
    const name = operation.replaceAll(' ', '_');
    figures[`${name}_${count}`] = Math.round(result.ours[operation]);
    if (result.moto !== null)
      figures[`${name}_vs_moto_${count}`] = round(result.ours[operation] / result.moto[operation]);
  }
}
const [least, most] = [results.get(Math.min(...counts)), results.get(Math.max(...counts))];
if (least !== undefined && most !== undefined) {
  // How many times as long a request takes with the most snapshots as with the fewest.
  for (const operation of OPERATIONS) {
    figures[`${operation.replaceAll(' ', '_')}_growth`] = round(least.ours[operation] / most.ours[operation]);
  }
}
process.stdout.write(`${JSON.stringify({ ...figures, rounds, seconds })}\n`);

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
