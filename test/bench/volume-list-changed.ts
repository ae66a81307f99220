import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { EBSClient, ListChangedBlocksCommand } from '@aws-sdk/client-ebs';
import { CreateSnapshotCommand, DescribeSnapshotsCommand, EC2Client } from '@aws-sdk/client-ec2';
import { systemClock } from '#base/clock.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import { median } from './fio.ts';
import { startVarve } from './nbd-servers.ts';
import { type Figure, numberText, type VolumeBench } from './volume-figures.ts';
import { writeScattered } from './volume-scattered.ts';

const SIZE_GIB = 16 * 1024;
/** With data, in leaves all over the tree, so that there is something to skip. */
const CHUNKS = 2000;
const CHANGED = 10;
const CALLS = 11;
const POLL_MS = 100;

/** ListChangedBlocks of two snapshots of a volume of 16 TiB that differ in ten chunks, over HTTP, with the AWS SDK. */
export async function* listChangedFigures(bench: VolumeBench): AsyncGenerator<Figure> {
  const directory = await mkdtemp(join(bench.directory, 'list-'));
  await using target = await startVarve(directory, SIZE_GIB);
  const { endpoint, credentials } = target.server;
  await using scope = new AsyncDisposableStack();
  const region = 'us-east-1';
  const destroy = (client: { destroy(): void }): void => client.destroy();
  const ec2 = scope.adopt(new EC2Client({ endpoint, credentials, region }), destroy);
  const ebs = scope.adopt(new EBSClient({ endpoint, credentials, region }), destroy);
  const sizeBytes = SIZE_GIB * 1024 ** 3;
  await writeScattered(target.uri, { sizeBytes, count: CHUNKS, blockBytes: CHUNK_BYTES });
  const FirstSnapshotId = await snapshot(ec2, target.volume);
  await writeScattered(target.uri, { sizeBytes, count: CHANGED, blockBytes: CHUNK_BYTES });
  const SecondSnapshotId = await snapshot(ec2, target.volume);
  const tookMs: number[] = [];
  for (let call = 0; call < CALLS; call += 1) {
    const beganMs = systemClock.monotonicMs();
    const { ChangedBlocks } = await ebs.send(new ListChangedBlocksCommand({ FirstSnapshotId, SecondSnapshotId }));
    tookMs.push(systemClock.monotonicMs() - beganMs);
    if (ChangedBlocks?.length !== CHANGED) throw new Error(`${ChangedBlocks?.length} blocks are listed as changed`);
  }
  const [first = Number.NaN, ...later] = tookMs;
  const name = `ListChangedBlocks, ${CHANGED} changed chunks of 16 TiB`;
  const note = `later calls ${numberText(median(later))} ms`;
  yield* [{ key: 'list_changed_ms', name, value: first, unit: 'ms', note, goal: { below: 100 } }];
}

/** Its id, once it is completed. */
async function snapshot(ec2: EC2Client, VolumeId: string): Promise<string> {
  const { SnapshotId = '' } = await ec2.send(new CreateSnapshotCommand({ VolumeId }));
  for (;;) {
    const { Snapshots } = await ec2.send(new DescribeSnapshotsCommand({ SnapshotIds: [SnapshotId] }));
    const state = Snapshots?.[0]?.State;
    if (state === 'completed') return SnapshotId;
    if (state !== 'pending') throw new Error(`snapshot ${SnapshotId} is ${state}`);
    await systemClock.sleep(POLL_MS);
  }
}
