import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  CreateAccessKeyCommand,
  CreateUserCommand,
  DeleteConflictException,
  DeleteUserCommand,
  EntityAlreadyExistsException,
  GetUserCommand,
  IAMClient,
  MalformedPolicyDocumentException,
  NoSuchEntityException,
  paginateListUsers,
  PutUserPolicyCommand,
} from '@aws-sdk/client-iam';
import { AssumeRoleCommand, GetCallerIdentityCommand, STSClient, STSServiceException } from '@aws-sdk/client-sts';
import { systemClock } from '#base/clock.ts';
import { AccessScene, type Member } from '#api/access/scene.fake.ts';

interface Settings {
  readonly endpoint: string;
  readonly region: string;
  readonly credentials: Member['key'];
  readonly maxAttempts: number;
}

/** Clients of the SDK sign by the clock of this machine, so the server's is set to that. */
async function settings(scene: AccessScene, { key }: Member): Promise<Settings> {
  await scene.world.clock.advance(systemClock.nowMs() - scene.world.clock.nowMs());
  return { endpoint: `http://127.0.0.1:${scene.port}`, region: 'us-east-1', credentials: key, maxAttempts: 1 };
}

test('the JavaScript SDK has its exceptions, pages and dates', async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  const iam = new IAMClient(await settings(scene, root));
  try {
    const { User: user } = await iam.send(new CreateUserCommand({ UserName: 'ana', Tags: [{ Key: 'a', Value: 'ü' }] }));
    assert.equal(user?.Arn, `arn:aws:iam::${root.account}:user/ana`);
    assert.equal(user.CreateDate?.getTime(), scene.world.clock.nowMs());
    assert.deepEqual(user.Tags, [{ Key: 'a', Value: 'ü' }]);
    await assert.rejects(iam.send(new CreateUserCommand({ UserName: 'ANA' })), EntityAlreadyExistsException);
    await assert.rejects(iam.send(new GetUserCommand({ UserName: 'bo' })), NoSuchEntityException);
    const bad = { UserName: 'ana', PolicyName: 'p', PolicyDocument: '{}' };
    await assert.rejects(iam.send(new PutUserPolicyCommand(bad)), (error) => {
      assert(error instanceof MalformedPolicyDocumentException);
      assert.match(error.message, /Missing required field Statement/);
      return true;
    });
    for (const name of ['bo', 'cy']) await iam.send(new CreateUserCommand({ UserName: name }));
    const names: (string | undefined)[] = [];
    for await (const page of paginateListUsers({ client: iam, pageSize: 1 }, {})) {
      names.push(...(page.Users ?? []).map(({ UserName: name }) => name));
    }
    assert.deepEqual(names, ['ana', 'bo', 'cy']);
    await iam.send(new CreateAccessKeyCommand({ UserName: 'ana' }));
    await assert.rejects(iam.send(new DeleteUserCommand({ UserName: 'ana' })), DeleteConflictException);
  } finally {
    iam.destroy();
  }
});

test('a refusal of the SDK’s STS has its code and status', async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  const ana = await scene.user(root.account, 'ana', null);
  const sts = new STSClient(await settings(scene, ana));
  try {
    assert.equal((await sts.send(new GetCallerIdentityCommand({}))).Arn, `arn:aws:iam::${root.account}:user/ana`);
    const assume = { RoleArn: `arn:aws:iam::${root.account}:role/none`, RoleSessionName: 'me' };
    await assert.rejects(sts.send(new AssumeRoleCommand(assume)), (error) => {
      assert(error instanceof STSServiceException);
      assert.equal(error.name, 'AccessDenied');
      assert.equal(error.$metadata.httpStatusCode, 403);
      assert.match(error.message, /is not authorized to perform: sts:AssumeRole on resource/);
      return true;
    });
  } finally {
    sts.destroy();
  }
});
