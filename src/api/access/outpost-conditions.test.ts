import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TEST_OUTPOSTS } from '#control/outposts.fake.ts';
import { AccessScene, type Member } from './scene.fake.ts';

const EC2 = { Version: '2016-11-15' };
const [HERE, SECOND] = TEST_OUTPOSTS;

async function call(member: Member, action: string, parameters: Readonly<Record<string, string>>) {
  const reply = await member.client.form('ec2', { Action: action, ...EC2, ...parameters });
  return {
    code: /<Code>([^<]+)</.exec(reply.text)?.[1] ?? null,
    id: /<(?:snapshot|volume)Id>([^<]+)</.exec(reply.text)?.[1] ?? '',
  };
}

test('a policy keeps what is on an Outpost there, and what is stored there from being deleted', async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  const user = await scene.user(root.account, 'ana', [
    { Effect: 'Allow', Action: 'ec2:*', Resource: '*' },
    {
      Effect: 'Deny',
      Action: ['ec2:CreateSnapshot', 'ec2:CreateSnapshots'],
      Resource: 'arn:aws:ec2:us-east-1::snapshot/*',
      Condition: { StringEquals: { 'ec2:SourceOutpostArn': HERE.arn }, Null: { 'ec2:OutpostArn': 'true' } },
    },
    {
      Effect: 'Deny',
      Action: 'ec2:DeleteSnapshot',
      Resource: '*',
      Condition: { StringEquals: { 'ec2:OutpostArn': HERE.arn } },
    },
  ]);
  const volumeAt = async (more: Readonly<Record<string, string>>): Promise<string> =>
    (await call(root, 'CreateVolume', { AvailabilityZone: 'us-east-1a', Size: '1', ...more })).id;
  const kept = { VolumeId: await volumeAt({ OutpostArn: HERE.arn }) };
  const made = await call(user, 'CreateSnapshot', { ...kept, OutpostArn: HERE.arn });
  assert.equal(made.code, null);
  assert.equal((await call(user, 'CreateSnapshot', kept)).code, 'UnauthorizedOperation');
  assert.equal((await call(user, 'DeleteSnapshot', { SnapshotId: made.id })).code, 'UnauthorizedOperation');
  for (const other of [await volumeAt({}), await volumeAt({ OutpostArn: SECOND.arn })]) {
    const free = await call(user, 'CreateSnapshot', { VolumeId: other });
    assert.equal(free.code, null);
    assert.equal((await call(user, 'DeleteSnapshot', { SnapshotId: free.id })).code, null);
  }
});
