import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createInstances } from '#control/machines/create.ts';
import { machinesRequest, systemSnapshot } from '#control/machines/machine.fixture.ts';
import { regionName } from '#domain/ids.ts';
import { AccessScene, codeOf, type Member } from './scene.fake.ts';

async function codes(
  member: Member,
  calls: readonly (readonly [string, object])[],
): Promise<readonly (string | null)[]> {
  const found: (string | null)[] = [];
  for (const [operation, input] of calls) found.push(codeOf(await member.client.json(operation, input)));
  return found;
}

test('what may be done to an instance is decided by its tags, its ARN, and the tags of a request', async () => {
  await using scene = await AccessScene.open();
  const { account, client } = await scene.root();
  const scope = { account, region: regionName('us-east-1') };
  const snapshot = await systemSnapshot(scene.world, scope);
  for (const team of ['a', 'b']) {
    const tags = [{ key: 'team', value: team }];
    await createInstances(scene.world.ports, scope, machinesRequest(scope, snapshot, [`web-${team}`], { tags }));
  }
  await scene.world.settle();
  await client.json('CreateDisk', { diskName: 'data', availabilityZone: 'us-east-1a', sizeInGb: 8 });
  const stop = (name: string) => ['StopInstance', { instanceName: name }] as const;
  const ofTeam = await scene.user(account, 'of-team', {
    Effect: 'Allow',
    Action: ['lightsail:StopInstance', 'lightsail:GetInstance', 'lightsail:AttachDisk'],
    Resource: 'arn:aws:lightsail:us-east-1:*:Instance/*',
    Condition: { StringEquals: { 'aws:ResourceTag/team': 'a' } },
  });
  const attach = ['AttachDisk', { instanceName: 'web-a', diskName: 'data', diskPath: '/dev/xvdf' }] as const;
  assert.deepEqual(
    // The disk, too, must be allowed.
    await codes(ofTeam, [
      stop('web-b'),
      ['GetInstance', { instanceName: 'web-b' }],
      attach,
      stop('web-a'),
      stop('none'),
    ]),
    ['AccessDeniedException', 'AccessDeniedException', 'AccessDeniedException', null, 'AccessDeniedException'],
  );

  const { arn } = (
    JSON.parse((await client.json('GetInstance', { instanceName: 'web-b' })).text) as { instance: { arn: string } }
  ).instance;
  const ofOne = await scene.user(account, 'of-one', { Effect: 'Allow', Action: 'lightsail:*', Resource: arn });
  assert.deepEqual(await codes(ofOne, [stop('web-a'), stop('web-b')]), ['AccessDeniedException', null]);

  const asTeam = await scene.user(account, 'as-team', {
    Effect: 'Allow',
    Action: ['lightsail:CreateKeyPair', 'lightsail:TagResource'],
    Resource: '*',
    Condition: { StringEquals: { 'aws:RequestTag/team': 'a' } },
  });
  const create = (name: string, team: string) =>
    ['CreateKeyPair', { keyPairName: name, tags: [{ key: 'team', value: team }] }] as const;
  assert.deepEqual(
    await codes(asTeam, [create('one', 'b'), ['CreateKeyPair', { keyPairName: 'two' }], create('three', 'a')]),
    ['AccessDeniedException', 'AccessDeniedException', null],
  );
  assert.deepEqual(scene.broken, []);
});
