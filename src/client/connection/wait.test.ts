/** Waiting, in the words of aws-cli 1.45. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '#base/random.ts';
import type { InputRecord, Wait } from '#client/command.ts';
import type { ServiceName } from '#wire/aws/operations.ts';
import { loadModel } from '#wire/aws/model.ts';
import { openConnection } from './connection.ts';
import { answeringServer, callOf, hastyClock, surroundingsOf, type Answer } from './surroundings.fixture.ts';
import { waiterNames, waiterOf } from './waiters.ts';

const environment = { AWS_ACCESS_KEY_ID: 'AKID', AWS_SECRET_ACCESS_KEY: 'secret', AWS_DEFAULT_REGION: 'us-east-1' };

/** How often it asked, and how long it slept. */
async function waiting(
  answers: readonly Answer[],
  service: ServiceName,
  waiter: string,
  input: InputRecord = {},
): Promise<readonly [number, readonly number[]]> {
  await using server = await answeringServer(answers);
  const call = callOf(service, waiterOf(service, waiter)?.operation ?? '', input);
  const wait: Wait = { kind: 'wait', service, waiter, call };
  const surroundings = surroundingsOf('wait', { environment: { ...environment, AWS_ENDPOINT_URL: server.endpoint } });
  const clock = hastyClock();
  const connection = await openConnection(call, surroundings, { clock, random: new SeededRandom(5) });
  try {
    await connection.wait(wait);
    return [server.seen.length, clock.slept];
  } finally {
    connection.close();
  }
}

const snapshots = (...states: readonly string[]): Answer => ({
  status: 200,
  body: `<r><snapshotSet>${states.map((state) => `<item><status>${state}</status></item>`).join('')}</snapshotSet></r>`,
});

const ec2Error = (code: string): Answer => ({
  status: 400,
  body: `<Response><Errors><Error><Code>${code}</Code><Message>why</Message></Error></Errors></Response>`,
});

test('waits until all are so', async () => {
  const answers = [snapshots(), snapshots('pending', 'completed'), snapshots('completed', 'completed')];
  assert.deepEqual(await waiting(answers, 'ec2', 'SnapshotCompleted'), [3, [15_000, 15_000]]);
});

test('ends where it cannot come to be so', async () => {
  await assert.rejects(waiting([snapshots('completed', 'error')], 'ec2', 'SnapshotCompleted'), {
    message:
      '\nWaiter SnapshotCompleted failed: Waiter encountered a terminal failure state: For expression "Snapshots[].State" we matched expected path: "error" at least once\n',
    exitCode: 255,
  });
});

test('ends after its attempts', async () => {
  await assert.rejects(waiting([snapshots('pending')], 'ec2', 'SnapshotCompleted'), {
    message: '\nWaiter SnapshotCompleted failed: Max attempts exceeded\n',
  });
  await assert.rejects(waiting([ec2Error('InvalidKeyPair.NotFound')], 'ec2', 'KeyPairExists'), {
    message:
      '\nWaiter KeyPairExists failed: Max attempts exceeded. Previously accepted state: Matched expected service error code: InvalidKeyPair.NotFound\n',
  });
});

test('an error that it does not know ends it', async () => {
  await assert.rejects(waiting([ec2Error('InvalidSnapshot.NotFound')], 'ec2', 'SnapshotCompleted'), {
    message: '\nWaiter SnapshotCompleted failed: An error occurred (InvalidSnapshot.NotFound): why\n',
  });
});

test('an error that means success, a status, a length, a path through lists', async () => {
  assert.deepEqual(await waiting([ec2Error('InvalidVolume.NotFound')], 'ec2', 'VolumeDeleted'), [1, []]);
  const noUser = {
    status: 404,
    body: '<ErrorResponse><Error><Code>NoSuchEntity</Code><Message>x</Message></Error></ErrorResponse>',
  };
  const user = { status: 200, body: '<r><GetUserResult><User><UserName>u</UserName></User></GetUserResult></r>' };
  assert.deepEqual(await waiting([noUser, user], 'iam', 'UserExists', { UserName: 'u' }), [2, [1000]]);
  const pair = { status: 200, body: '<r><keySet><item><keyName>k</keyName></item></keySet></r>' };
  const none = { status: 200, body: '<r><keySet/></r>' };
  assert.deepEqual(await waiting([none, pair], 'ec2', 'KeyPairExists'), [2, [5000]]);
  const instance = (state: string): Answer => ({
    status: 200,
    body: `<r><reservationSet><item><instancesSet><item><instanceState><name>${state}</name></instanceState></item></instancesSet></item></reservationSet></r>`,
  });
  assert.deepEqual(await waiting([instance('pending'), instance('running')], 'ec2', 'InstanceRunning'), [2, [15_000]]);
});

test('every waiter asks an operation of the model', () => {
  let count = 0;
  for (const service of ['ec2', 'iam'] as const) {
    for (const name of waiterNames(service)) {
      count += 1;
      assert.ok(loadModel(service).operations.has(waiterOf(service, name)?.operation ?? ''), name);
    }
  }
  assert.ok(count >= 25);
  assert.equal(waiterOf('ec2', 'constructor'), null);
});
