import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AccessScene } from './access/scene.fake.ts';
import type { ClientReply, ClientRequest, SigningClient } from './signing-client.fake.ts';

// A reply that is lost: the client sends the call again, by the same name, and the server has been restarted meanwhile.

const EC2 = { Version: '2016-11-15' };

function form(service: 'ec2' | 'iam', parameters: Record<string, string>): ClientRequest {
  const headers = { 'content-type': 'application/x-www-form-urlencoded' };
  return { service, body: new URLSearchParams(parameters).toString(), headers };
}

function json(service: string, target: string, body: object): ClientRequest {
  const headers = { 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': target };
  return { service, body: JSON.stringify(body), headers };
}

function rest(service: string, path: string, body: object): ClientRequest {
  return { service, path, body: JSON.stringify(body), headers: { 'content-type': 'application/json' } };
}

interface Case {
  readonly request: (volume: string, account: string) => ClientRequest;
  /** What the call made. */
  readonly made: RegExp;
}

const CASES: Readonly<Record<string, Case>> = {
  CreateVolume: {
    request: () => form('ec2', { Action: 'CreateVolume', ...EC2, AvailabilityZone: 'us-east-1a', Size: '1' }),
    made: /<volumeId>([^<]+)/,
  },
  CreateSnapshot: {
    request: (volume) => form('ec2', { Action: 'CreateSnapshot', ...EC2, VolumeId: volume }),
    made: /<snapshotId>([^<]+)/,
  },
  CreateDisk: {
    request: () =>
      json('lightsail', 'Lightsail_20161128.CreateDisk', {
        diskName: 'disk-1',
        availabilityZone: 'us-east-1a',
        sizeInGb: 8,
      }),
    made: /"id":"([^"]+)"/,
  },
  StartSnapshot: { request: () => rest('ebs', '/snapshots', { VolumeSize: 1 }), made: /"SnapshotId":"([^"]+)"/ },
  CreateKey: { request: () => json('kms', 'TrentService.CreateKey', {}), made: /"KeyId":"([^"]+)"/ },
  CreateRule: {
    request: () =>
      rest('rbin', '/rules', {
        ResourceType: 'EBS_SNAPSHOT',
        RetentionPeriod: { RetentionPeriodValue: 7, RetentionPeriodUnit: 'DAYS' },
      }),
    made: /"Identifier":"([^"]+)"/,
  },
  CreateLifecyclePolicy: {
    request: (_volume, account) =>
      rest('dlm', '/policies', {
        ExecutionRoleArn: `arn:aws:iam::${account}:role/r`,
        Description: 'daily',
        State: 'ENABLED',
        PolicyDetails: {
          ResourceTypes: ['VOLUME'],
          TargetTags: [{ Key: 'a', Value: 'b' }],
          Schedules: [
            {
              Name: 's',
              CreateRule: { Interval: 12, IntervalUnit: 'HOURS', Times: ['03:00'] },
              RetainRule: { Count: 2 },
            },
          ],
        },
      }),
    made: /"PolicyId":"([^"]+)"/,
  },
};

async function send(client: SigningClient, request: ClientRequest, invocation: string): Promise<ClientReply> {
  const headers = { ...request.headers, 'amz-sdk-invocation-id': invocation };
  const reply = await client.send({ ...request, headers });
  assert(reply.status < 300, reply.text);
  return reply;
}

test('a creation that is repeated is done once, before and after a restart; another call is another creation', async () => {
  await using scene = await AccessScene.open();
  const root = await scene.root();
  const volume = /<volumeId>([^<]+)/.exec(
    (await send(root.client, CASES['CreateVolume']?.request('', '') ?? form('ec2', {}), 'the volume')).text,
  )?.[1];
  assert(volume !== undefined);
  await scene.world.settle();
  const Statement = { Effect: 'Allow', Principal: { Service: 'dlm.amazonaws.com' }, Action: 'sts:AssumeRole' };
  const AssumeRolePolicyDocument = JSON.stringify({ Version: '2012-10-17', Statement });
  const role = { Action: 'CreateRole', Version: '2010-05-08', RoleName: 'r', AssumeRolePolicyDocument };
  await send(root.client, form('iam', role), 'the role');
  const first = new Map<string, string>();
  for (const [name, { request, made }] of Object.entries(CASES)) {
    const reply = await send(root.client, request(volume, root.account), `call-${name}`);
    const id = made.exec(reply.text)?.[1];
    assert(id !== undefined, `${name}: ${reply.text}`);
    first.set(name, id);
    const again = await send(root.client, request(volume, root.account), `call-${name}`);
    assert.equal(again.text, reply.text, `${name} is told the same`);
  }
  await scene.restart();
  const client = scene.client(root.key);
  for (const [name, { request, made }] of Object.entries(CASES)) {
    const again = await send(client, request(volume, root.account), `call-${name}`);
    assert.equal(made.exec(again.text)?.[1], first.get(name), `${name} after a restart`);
  }
  await scene.world.clock.advance(60_000);
  for (const [name, { request, made }] of Object.entries(CASES)) {
    if (name === 'CreateDisk') continue; // Its name is taken, whoever asks.
    const other = await send(client, request(volume, root.account), `other-call-${name}`);
    assert.notEqual(made.exec(other.text)?.[1], first.get(name), `${name} by another call`);
  }
});
