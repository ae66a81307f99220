import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  CopySnapshotCommand,
  CreateSnapshotCommand,
  CreateVolumeCommand,
  DescribeSnapshotAttributeCommand,
  DescribeSnapshotsCommand,
  DescribeVolumeAttributeCommand,
  EC2Client,
  type EC2ClientConfig,
  ModifySnapshotTierCommand,
  RestoreSnapshotTierCommand,
  type Snapshot,
} from '@aws-sdk/client-ec2';
import { CreateKeyCommand, KMSClient, ScheduleKeyDeletionCommand, type KMSClientConfig } from '@aws-sdk/client-kms';
import { AccessScene, type Member } from '#api/access/scene.fake.ts';
import { present } from '#base/assert.ts';
import { systemClock } from '#base/clock.ts';
import type { World } from '#control/world.fake.ts';
import { parseVolumeId } from '#domain/ids.ts';

/** What takes days, with the SDK for JavaScript and a server whose clock is ours; and what only an image could bring. */

const DAY_MS = 86_400_000;
const ZONE = { AvailabilityZone: 'us-east-1a' };

/** A server in this process, over metadata and a host in memory, and clients of its first account. */
class Days implements AsyncDisposable {
  readonly scene: AccessScene;
  readonly #root: Member;

  private constructor(scene: AccessScene, root: Member) {
    this.scene = scene;
    this.#root = root;
  }

  static async open(): Promise<Days> {
    const scene = await AccessScene.open();
    return new Days(scene, await scene.root());
  }

  get world(): World {
    return this.scene.world;
  }

  /**
   * Clients sign by this machine's clock and are told how far the server's is from it, `lateMs` less. Each is used once:
   * from a reply they would learn this machine's time again.
   */
  async #with<C extends EC2Client | KMSClient, R>(
    make: (settings: EC2ClientConfig & KMSClientConfig) => C,
    use: (client: C) => Promise<R>,
    lateMs: number,
  ): Promise<R> {
    const client = make({
      endpoint: `http://127.0.0.1:${this.scene.port}`,
      region: 'us-east-1',
      credentials: this.#root.key,
      maxAttempts: 1,
      systemClockOffset: this.world.clock.nowMs() - systemClock.nowMs() - lateMs,
    });
    try {
      return await use(client);
    } finally {
      client.destroy();
    }
  }

  async ec2<R>(use: (client: EC2Client) => Promise<R>, lateMs = 0): Promise<R> {
    return await this.#with((settings) => new EC2Client(settings), use, lateMs);
  }

  async kms<R>(use: (client: KMSClient) => Promise<R>): Promise<R> {
    return await this.#with((settings) => new KMSClient(settings), use, 0);
  }

  async shown(id: string): Promise<Snapshot> {
    const { Snapshots: [snapshot] = [] } = await this.ec2((ec2) =>
      ec2.send(new DescribeSnapshotsCommand({ SnapshotIds: [id] })),
    );
    return present(snapshot, 'the snapshot is there');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.scene[Symbol.asyncDispose]();
  }
}

test('D15 D16: what is restored for days goes back to the archive at RestoreExpiryTime, which is shown until then', async () => {
  await using days = await Days.open();
  const { world } = days;
  const { VolumeId } = await days.ec2((ec2) => ec2.send(new CreateVolumeCommand({ ...ZONE, Size: 1 })));
  const { SnapshotId = '' } = await days.ec2((ec2) => ec2.send(new CreateSnapshotCommand({ VolumeId })));
  await world.settle();
  const tiered = async (): Promise<readonly unknown[]> => {
    const { StorageTier, RestoreExpiryTime } = await days.shown(SnapshotId);
    return [StorageTier, RestoreExpiryTime?.getTime()];
  };
  const use = () => days.ec2((ec2) => ec2.send(new CreateVolumeCommand({ ...ZONE, SnapshotId })));
  assert.deepEqual(await tiered(), ['standard', undefined]);
  await days.ec2((ec2) => ec2.send(new ModifySnapshotTierCommand({ SnapshotId, StorageTier: 'archive' })));
  await world.control.run('tend-tiers');
  assert.deepEqual(await tiered(), ['archive', undefined]);
  await assert.rejects(use(), { name: 'IncorrectState' });

  await days.ec2((ec2) => ec2.send(new RestoreSnapshotTierCommand({ SnapshotId, TemporaryRestoreDays: 2 })));
  await world.control.run('tend-tiers');
  const expiryMs = world.clock.nowMs() + 2 * DAY_MS;
  assert.deepEqual(await tiered(), ['standard', expiryMs]);
  await use();

  await world.clock.advance(2 * DAY_MS - 1);
  await world.control.run('tend-tiers');
  assert.deepEqual(await tiered(), ['standard', expiryMs], 'not a moment before');
  await world.clock.advance(1);
  await world.control.run('tend-tiers');
  await world.control.run('tend-tiers');
  assert.deepEqual(await tiered(), ['archive', undefined]);
  await assert.rejects(use(), { name: 'IncorrectState' });
});

test('a key that is destroyed takes its volumes and snapshots with it, and that is said', async () => {
  await using days = await Days.open();
  const { world } = days;
  const { KeyMetadata: key } = await days.kms((kms) => kms.send(new CreateKeyCommand({})));
  const { VolumeId } = await days.ec2((ec2) =>
    ec2.send(new CreateVolumeCommand({ ...ZONE, Size: 1, Encrypted: true, KmsKeyId: key?.KeyId })),
  );
  const { SnapshotId } = await days.ec2((ec2) => ec2.send(new CreateSnapshotCommand({ VolumeId })));
  await world.settle();
  await days.kms((kms) => kms.send(new ScheduleKeyDeletionCommand({ KeyId: key?.KeyId, PendingWindowInDays: 7 })));
  await world.clock.advance(7 * DAY_MS + 1);
  await world.control.run('tend-keys');
  await assert.rejects(
    days.ec2((ec2) => ec2.send(new CreateVolumeCommand({ ...ZONE, SnapshotId }))),
    {
      name: 'CustomerKeyHasBeenRevoked',
    },
  );
  await assert.rejects(
    days.ec2((ec2) => ec2.send(new DescribeSnapshotsCommand({})), DAY_MS),
    { name: 'RequestExpired' },
  );
});

test('C3: product codes go from a volume to its snapshots, their copies and their volumes', async () => {
  await using days = await Days.open();
  const { world } = days;
  const { VolumeId = '' } = await days.ec2((ec2) => ec2.send(new CreateVolumeCommand({ ...ZONE, Size: 1 })));
  // A code comes to a volume with an image of the AWS Marketplace; there is none here to buy.
  await world.ports.meta.transact(async (tx) => {
    const volume = present(await tx.volumes.find(present(parseVolumeId(VolumeId), 'an id')), 'a volume');
    await tx.volumes.update({ ...volume, productCodes: ['a1b2c3'] });
  });
  const { SnapshotId } = await days.ec2((ec2) => ec2.send(new CreateSnapshotCommand({ VolumeId })));
  await world.settle();
  const copy = await days.ec2((ec2) =>
    ec2.send(new CopySnapshotCommand({ SourceRegion: 'us-east-1', SourceSnapshotId: SnapshotId })),
  );
  await world.settle();
  const restored = await days.ec2((ec2) => ec2.send(new CreateVolumeCommand({ ...ZONE, SnapshotId: copy.SnapshotId })));
  const codes = [{ ProductCodeId: 'a1b2c3', ProductCodeType: 'marketplace' }];
  for (const id of [SnapshotId, copy.SnapshotId]) {
    const command = new DescribeSnapshotAttributeCommand({ SnapshotId: id, Attribute: 'productCodes' });
    assert.deepEqual((await days.ec2((ec2) => ec2.send(command))).ProductCodes, codes);
  }
  const command = new DescribeVolumeAttributeCommand({ VolumeId: restored.VolumeId, Attribute: 'productCodes' });
  assert.deepEqual((await days.ec2((ec2) => ec2.send(command))).ProductCodes, codes);
});
