import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { present } from '#base/assert.ts';
import { asRoot, PLAIN_KEY, policyWith } from '#control/kms/kms-world.fake.ts';
import { createKey, disableKey, enableKey, putPolicy } from '#control/kms/keys.ts';
import { keyArn } from '#domain/kms/arn.ts';
import type { KmsKey } from '#domain/kms/key.ts';
import type { OutputOf } from '#wire/aws/operations.ts';
import { type CallOptions, refusalOf, Scene, scopeOf } from './scene.fake.ts';

const ZONE = { AvailabilityZone: 'us-east-1a', Size: 8 } as const;
const OTHER: CallOptions = { account: '210987654321' };

async function key(scene: Scene, options: CallOptions = {}): Promise<KmsKey> {
  return await createKey(asRoot(scene.world, scopeOf(options)), PLAIN_KEY);
}

async function snapshotOf(scene: Scene, volume: string | undefined, options: CallOptions = {}): Promise<string> {
  const made = await scene.ec2('CreateSnapshot', { VolumeId: present(volume, 'a volume') }, options);
  await scene.upload();
  return present(made.SnapshotId, 'a snapshot');
}

type SnapshotView = NonNullable<OutputOf<'ec2', 'DescribeSnapshots'>['Snapshots']>[number];

async function describe(scene: Scene, id: string, options: CallOptions = {}): Promise<SnapshotView> {
  const { Snapshots } = await scene.ec2('DescribeSnapshots', { SnapshotIds: [id] }, options);
  return present(Snapshots?.[0], 'a snapshot');
}

test('a volume is encrypted when it is asked for, with the key that is named or the default, and shows which', async () => {
  await using scene = await Scene.open();
  const plain = await scene.ec2('CreateVolume', ZONE);
  assert.deepEqual([plain.Encrypted, plain.KmsKeyId, plain.SseType], [false, undefined, undefined]);
  const one = await key(scene);
  const named = await scene.ec2('CreateVolume', { ...ZONE, Encrypted: true, KmsKeyId: one.id });
  assert.deepEqual([named.Encrypted, named.KmsKeyId, named.SseType], [true, keyArn(one), 'sse-kms']);
  const { KmsKeyId: managed } = await scene.ec2('CreateVolume', { ...ZONE, Encrypted: true });
  assert.match(String(managed), /^arn:aws:kms:us-east-1:012345678910:key\//);
  assert.notEqual(managed, keyArn(one));
  await scene.ec2('ModifyEbsDefaultKmsKeyId', { KmsKeyId: one.id });
  assert.equal((await scene.ec2('CreateVolume', { ...ZONE, Encrypted: true })).KmsKeyId, keyArn(one));
  const { Volumes } = await scene.ec2('DescribeVolumes', { Filters: [{ Name: 'encrypted', Values: ['true'] }] });
  assert.equal(Volumes?.length, 3);
  assert.match(
    await refusalOf(scene.ec2('CreateVolume', { ...ZONE, KmsKeyId: one.id })),
    /^InvalidParameterCombination: /,
  );
  await disableKey(asRoot(scene.world, scopeOf({})), one.id);
  assert.match(
    await refusalOf(scene.ec2('CreateVolume', { ...ZONE, Encrypted: true })),
    /^InvalidKMSKey\.InvalidState: /,
  );
  assert.match(
    await refusalOf(scene.ec2('CreateVolume', { ...ZONE, Encrypted: true, KmsKeyId: 'alias/never' })),
    /^InvalidParameterValue: /,
  );
});

test('with encryption by default everything new of the region is encrypted, also when nobody asks for it', async () => {
  await using scene = await Scene.open();
  await scene.ec2('EnableEbsEncryptionByDefault', {});
  assert.equal((await scene.ec2('CreateVolume', ZONE)).Encrypted, true);
  assert.equal((await scene.ec2('CreateVolume', { ...ZONE, Encrypted: false })).Encrypted, true);
  const elsewhere = { AvailabilityZone: 'eu-west-1a', Size: 8 };
  assert.equal((await scene.ec2('CreateVolume', elsewhere, { region: 'eu-west-1' })).Encrypted, false);
  await scene.ec2('DisableEbsEncryptionByDefault', {});
  assert.equal((await scene.ec2('CreateVolume', ZONE)).Encrypted, false);
});

test('a client token with another key is another request, and the same one again is the same volume', async () => {
  await using scene = await Scene.open();
  const [one, other] = [await key(scene), await key(scene)];
  const ask = (id: string) => ({ ...ZONE, Encrypted: true, KmsKeyId: id, ClientToken: 't' });
  const made = await scene.ec2('CreateVolume', ask(one.id));
  assert.equal((await scene.ec2('CreateVolume', ask(one.id))).VolumeId, made.VolumeId);
  assert.match(await refusalOf(scene.ec2('CreateVolume', ask(other.id))), /^IdempotentParameterMismatch: /);
});

test('what comes of an encrypted volume stays encrypted: snapshots and volumes with its data key, unless it is copied to another', async () => {
  await using scene = await Scene.open();
  const [one, other] = [await key(scene), await key(scene)];
  const volume = await scene.ec2('CreateVolume', { ...ZONE, Encrypted: true, KmsKeyId: one.id });
  const id = await snapshotOf(scene, volume.VolumeId);
  const snapshot = await describe(scene, id);
  assert.deepEqual([snapshot.Encrypted, snapshot.KmsKeyId, snapshot.SseType], [true, keyArn(one), 'sse-kms']);
  assert.match(String(snapshot.DataEncryptionKeyId), /^[0-9a-f-]{36}$/);
  const restored = await scene.ec2('CreateVolume', { ...ZONE, SnapshotId: id });
  assert.deepEqual([restored.Encrypted, restored.KmsKeyId], [true, keyArn(one)]);
  const again = await describe(scene, await snapshotOf(scene, restored.VolumeId));
  assert.equal(again.DataEncryptionKeyId, snapshot.DataEncryptionKeyId);
  const moved = await scene.ec2('CreateVolume', { ...ZONE, SnapshotId: id, Encrypted: true, KmsKeyId: other.id });
  assert.equal(moved.KmsKeyId, keyArn(other));

  const copy = await scene.ec2('CopySnapshot', {
    SourceSnapshotId: id,
    SourceRegion: 'us-east-1',
    Encrypted: true,
    KmsKeyId: other.id,
  });
  assert.equal((await describe(scene, present(copy.SnapshotId, 'a copy'))).KmsKeyId, keyArn(other));
  const away = await scene.ec2(
    'CopySnapshot',
    { SourceSnapshotId: id, SourceRegion: 'us-east-1' },
    { region: 'eu-west-1' },
  );
  const there = await describe(scene, present(away.SnapshotId, 'a copy'), { region: 'eu-west-1' });
  assert.match(String(there.KmsKeyId), /^arn:aws:kms:eu-west-1:/, 'under a key of where it is');
  await disableKey(asRoot(scene.world, scopeOf({})), one.id);
  assert.match(
    await refusalOf(scene.ec2('CreateVolume', { ...ZONE, SnapshotId: id })),
    /^InvalidKMSKey\.InvalidState: /,
  );
});

test('an unencrypted snapshot is copied, and restored, into what is encrypted', async () => {
  await using scene = await Scene.open();
  const one = await key(scene);
  const id = await snapshotOf(scene, (await scene.ec2('CreateVolume', ZONE)).VolumeId);
  const source = { SourceSnapshotId: id, SourceRegion: 'us-east-1' };
  const plain = await scene.ec2('CopySnapshot', source);
  assert.equal((await describe(scene, present(plain.SnapshotId, 'a copy'))).Encrypted, false);
  const copy = await scene.ec2('CopySnapshot', { ...source, Encrypted: true, KmsKeyId: one.id });
  assert.equal((await describe(scene, present(copy.SnapshotId, 'a copy'))).KmsKeyId, keyArn(one));
  const restored = await scene.ec2('CreateVolume', { ...ZONE, SnapshotId: id, Encrypted: true, KmsKeyId: one.id });
  assert.equal(restored.KmsKeyId, keyArn(one));
});

test('C22: a copy whose key may not be used fails, and says so where snapshots are described', async () => {
  await using scene = await Scene.open();
  const one = await key(scene);
  const volume = await scene.ec2('CreateVolume', { ...ZONE, Encrypted: true, KmsKeyId: one.id });
  const id = await snapshotOf(scene, volume.VolumeId);
  await disableKey(asRoot(scene.world, scopeOf({})), one.id);
  const copy = await scene.ec2('CopySnapshot', { SourceSnapshotId: id, SourceRegion: 'us-east-1' });
  await scene.upload();
  const failed = await describe(scene, present(copy.SnapshotId, 'a copy'));
  assert.deepEqual([failed.State, failed.StateMessage], ['error', 'Given key ID is not accessible']);
});

test('an encrypted snapshot is shared with accounts that its key is shared with; never with everybody, and never under the default key', async () => {
  await using scene = await Scene.open();
  const one = await key(scene);
  const share = (id: string, add: object) =>
    scene.ec2('ModifySnapshotAttribute', {
      SnapshotId: id,
      Attribute: 'createVolumePermission',
      OperationType: 'add',
      ...add,
    });
  const managed = await scene.ec2('CreateVolume', { ...ZONE, Encrypted: true });
  const ofDefault = await snapshotOf(scene, managed.VolumeId);
  assert.match(await refusalOf(share(ofDefault, { UserIds: ['210987654321'] })), /^OperationNotPermitted: /);
  const volume = await scene.ec2('CreateVolume', { ...ZONE, Encrypted: true, KmsKeyId: one.id });
  const id = await snapshotOf(scene, volume.VolumeId);
  assert.match(await refusalOf(share(id, { GroupNames: ['all'] })), /^OperationNotPermitted: /);
  await share(id, { UserIds: ['210987654321'] });
  const restore = () => scene.ec2('CreateVolume', { ...ZONE, SnapshotId: id }, OTHER);
  assert.match(await refusalOf(restore()), /^UnauthorizedOperation: /);
  const use = { Effect: 'Allow', Principal: { AWS: '210987654321' }, Action: ['kms:ReEncrypt*'], Resource: '*' };
  const owner = asRoot(scene.world, scopeOf({}));
  await putPolicy(owner, one.id, policyWith(scopeOf({}).account, use), { mayLockOut: false });
  const made = await restore();
  assert.equal(made.Encrypted, true);
  assert.match(String(made.KmsKeyId), /:210987654321:key\//, 'under a key of who made it');
});

test('a snapshot that is made block by block has the key that is named, or its parent’s, and its blocks are for who may use it', async () => {
  await using scene = await Scene.open();
  const one = await key(scene);
  const started = await scene.ebs('StartSnapshot', { VolumeSize: 1, Encrypted: true, KmsKeyArn: keyArn(one) });
  assert.equal(started.KmsKeyArn, keyArn(one));
  const SnapshotId = present(started.SnapshotId, 'a snapshot');
  const bytes = Buffer.alloc(524_288, 7);
  const Checksum = createHash('sha256').update(bytes).digest('base64');
  const block = {
    BlockIndex: 0,
    BlockData: bytes,
    DataLength: bytes.length,
    Checksum,
    ChecksumAlgorithm: 'SHA256',
  } as const;
  await scene.ebs('PutSnapshotBlock', { SnapshotId, ...block });
  const call = asRoot(scene.world, scopeOf({}));
  await disableKey(call, one.id);
  assert.match(
    await refusalOf(scene.ebs('PutSnapshotBlock', { SnapshotId, ...block })),
    /^ValidationException: The KMS key .* cannot be used: disabled/,
  );
  await enableKey(call, one.id);
  await scene.ebs('CompleteSnapshot', { SnapshotId, ChangedBlocksCount: 1 });
  await scene.upload();
  const child = await scene.ebs('StartSnapshot', { VolumeSize: 1, ParentSnapshotId: SnapshotId });
  assert.equal(child.KmsKeyArn, keyArn(one));
  const { Blocks } = await scene.ebs('ListSnapshotBlocks', { SnapshotId });
  const get = () =>
    scene.ebs('GetSnapshotBlock', {
      SnapshotId,
      BlockIndex: 0,
      BlockToken: present(Blocks?.[0]?.BlockToken, 'a token'),
    });
  assert.equal((await get()).DataLength, bytes.length);
  await disableKey(call, one.id);
  assert.match(await refusalOf(get()), /^ValidationException: The KMS key .* cannot be used: disabled/);
});
