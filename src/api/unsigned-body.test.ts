import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AccessScene, codeOf } from './access/scene.fake.ts';

test('a body that is not signed is taken for a block and for nothing else', async () => {
  await using scene = await AccessScene.open();
  const { client } = await scene.root();
  const headers = { 'content-type': 'application/x-www-form-urlencoded', 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' };
  const read = { service: 'ec2', body: 'Action=DescribeVolumes&Version=2016-11-15', headers };
  assert.equal(codeOf(await client.send(read)), 'AuthFailure');
  const made = { ...read, body: 'Action=CreateVolume&Version=2016-11-15&AvailabilityZone=us-east-1a&Size=1' };
  assert.equal(codeOf(await client.sendAs(made, client.sign(read))), 'AuthFailure');
  const block = {
    service: 'ebs',
    method: 'PUT',
    path: '/snapshots/snap-0123456789abcdef0/blocks/3',
    body: 'x',
    headers,
  };
  assert.equal(codeOf(await client.send(block)), 'ValidationException', 'it is read, and has no checksum');
});
