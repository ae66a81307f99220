import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CreateSnapshotCommand, DescribeSnapshotsCommand, EC2Client } from '@aws-sdk/client-ec2';
import { systemClock } from '#base/clock.ts';
import { runOk } from '../run.ts';
import { fill, type FioLoad, type FioResult, median, runFio, startFio } from './fio.ts';
import { startVarve, type VarveTarget } from './nbd-servers.ts';
import { type Figure, speedText, type VolumeBench } from './volume-figures.ts';

const LOAD: FioLoad = { mode: 'randwrite', blockBytes: 4096, depth: 16 };
const POLL_MS = 100;

interface Round {
  readonly undisturbed: FioResult;
  readonly disturbed: FioResult;
  /** From the answer of CreateSnapshot until it is completed, without and with the load. */
  readonly idleMs: number;
  readonly loadedMs: number;
}

/** Random writes while a snapshot of the whole volume, filled with bytes that do not compress, is uploaded. */
export async function* benchUpload(bench: VolumeBench): AsyncGenerator<Figure> {
  const rounds: Round[] = [];
  for (let round = 0; round < bench.rounds; round += 1) rounds.push(await measure(bench));
  const of = (value: (round: Round) => number): number => median(rounds.map(value));
  const rate = (result: FioResult): string => speedText(LOAD.blockBytes, result.bytesPerSecond);
  const last = rounds.at(-1);
  const rates = last === undefined ? '' : `last round ${rate(last.disturbed)} : ${rate(last.undisturbed)}`;
  const p99 = (result: FioResult): string => `${result.p99Ms.toFixed(1)} ms`;
  const latencies = last === undefined ? '' : `last round ${p99(last.disturbed)} : ${p99(last.undisturbed)}`;
  const gigabytes = (bench.sizeGib * 1024 ** 3) / 1e9;
  const took = (ms: number): string => `${(gigabytes / (ms / 1000)).toFixed(2)} GB/s of ${gigabytes.toFixed(1)} GB`;
  const idleMs = of((round) => round.idleMs);
  const loadedMs = of((round) => round.loadedMs);
  yield* [
    {
      key: 'rate',
      name: '4 KiB random writes during an upload, rate',
      value: of(({ undisturbed, disturbed }) => disturbed.bytesPerSecond / undisturbed.bytesPerSecond),
      unit: '',
      note: rates,
      goal: { atLeast: 0.5 },
    },
    {
      key: 'p99',
      name: '4 KiB random writes during an upload, p99 latency',
      value: of(({ undisturbed, disturbed }) => disturbed.p99Ms / undisturbed.p99Ms),
      unit: '',
      note: latencies,
      goal: { below: 10 },
    },
    { key: 'idle_s', name: 'upload without load', value: idleMs / 1000, unit: 's', note: took(idleMs) },
    { key: 'loaded_s', name: 'upload under load', value: loadedMs / 1000, unit: 's', note: took(loadedMs) },
  ];
}

/** On a server of its own: in a store that has the chunks already, there would be nothing to upload. */
async function measure(bench: VolumeBench): Promise<Round> {
  const directory = await mkdtemp(join(bench.directory, 'upload-'));
  try {
    await using target = await startVarve(directory, bench.sizeGib);
    const { endpoint, credentials } = target.server;
    const ec2 = new EC2Client({ endpoint, credentials, region: 'us-east-1' });
    try {
      return await measureOn(target, ec2, bench);
    } finally {
      ec2.destroy();
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function measureOn(target: VarveTarget, ec2: EC2Client, bench: VolumeBench): Promise<Round> {
  const place = [`--size=${bench.sizeGib}G`];
  const refill = async (): Promise<void> => {
    await fill(target.uri, bench.sizeGib);
    await runOk('sync', []);
  };
  await refill();
  const idleMs = await uploadMs(ec2, await begin(ec2, target.volume));
  await refill();
  const length = ['--time_based', `--runtime=${bench.seconds}`];
  const undisturbed = await runFio(target.uri, LOAD, [...place, ...length]);
  await runOk('sync', []);
  const snapshot = await begin(ec2, target.volume);
  const load = startFio(target.uri, LOAD, place);
  const loadedMs = await uploadMs(ec2, snapshot);
  return { undisturbed, disturbed: await load.stop(), idleMs, loadedMs };
}

async function begin(ec2: EC2Client, volume: string): Promise<string> {
  const { SnapshotId } = await ec2.send(new CreateSnapshotCommand({ VolumeId: volume }));
  if (SnapshotId === undefined) throw new Error('CreateSnapshot answers a snapshot');
  return SnapshotId;
}

async function uploadMs(ec2: EC2Client, snapshot: string): Promise<number> {
  const startedMs = systemClock.monotonicMs();
  for (;;) {
    const { Snapshots } = await ec2.send(new DescribeSnapshotsCommand({ SnapshotIds: [snapshot] }));
    const state = Snapshots?.[0]?.State;
    if (state === 'completed') return systemClock.monotonicMs() - startedMs;
    if (state !== 'pending') throw new Error(`snapshot ${snapshot} is ${state}`);
    await systemClock.sleep(POLL_MS);
  }
}
