import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadModel, structureOf } from '#wire/aws/model.ts';
import { SampleValues } from '#wire/aws/sample-values.fake.ts';
import { SeededRandom } from '#base/random.ts';
import { absentHandlers } from './absent.ts';
import { type Json, Scene } from './scene.fake.ts';

const MODEL = loadModel('lightsail');
const OPERATIONS = Object.keys(absentHandlers);

/** An input that the model takes, with the least in it. */
function inputOf(operation: string, seed: number): Json {
  const shape = MODEL.operations.get(operation)?.input;
  if (shape === undefined) return {};
  const input = new SampleValues(MODEL, { random: new SeededRandom(seed), density: 0 }).structure(shape);
  return JSON.parse(
    JSON.stringify(input, (_, value: unknown) => (value instanceof Date ? value.getTime() / 1000 : value)),
  );
}

test('whatever this server has not, each operation says so as its model allows', async () => {
  await using scene = await Scene.open();
  assert.equal(OPERATIONS.length, 98);
  const wrong: string[] = [];
  for (const [index, operation] of OPERATIONS.entries()) {
    const known = MODEL.operations.get(operation);
    assert.ok(known !== undefined, `${operation} is in the model`);
    const { status, body } = await scene.call(operation, inputOf(operation, index));
    if (status === 200) {
      const { members } = structureOf(MODEL, known.output ?? '');
      const strange = Object.keys(body).filter((member) => !members.has(member));
      // Only those answer that have nothing to tell, or a list of nothing.
      const isEmpty = Object.values(body).every(
        (value) => value === false || (Array.isArray(value) && value.length === 0),
      );
      if (strange.length > 0 || !isEmpty) wrong.push(`${operation}: ${JSON.stringify(body)}`);
      continue;
    }
    const code = String(body['__type']);
    const isOf =
      code === 'InvalidInputException' || code === 'NotFoundException' || code === 'OperationFailureException';
    if (status >= 500 || !isOf || known.errors?.includes(code) !== true)
      wrong.push(`${operation}: ${status} ${JSON.stringify(body)}`);
    // It is refused for what it is, and not for its input.
    if (/validation error|required/.test(String(body['message'])))
      wrong.push(`${operation}: ${String(body['message'])}`);
  }
  assert.deepEqual(wrong, []);
});

test('lists are empty, what is named does not exist, and what is wanted is not to be had', async () => {
  await using scene = await Scene.open();
  assert.deepEqual(await scene.ok('GetRelationalDatabases'), { relationalDatabases: [] });
  assert.deepEqual(await scene.ok('GetBuckets'), { buckets: [] });
  assert.deepEqual(await scene.ok('IsVpcPeered'), { isPeered: false });
  assert.equal(await scene.refused('GetBuckets', { bucketName: 'mine' }), 'NotFoundException');
  const { body } = await scene.call('GetLoadBalancer', { loadBalancerName: 'front' });
  assert.equal(body['message'], 'The LoadBalancer does not exist: front');
  const made = await scene.call('CreateLoadBalancer', { loadBalancerName: 'front', instancePort: 80 });
  assert.equal(made.body['__type'], 'OperationFailureException');
  assert.equal(made.body['message'], 'This server has no load balancers.');
  assert.equal(
    await scene.refused('CreateBucket', { bucketName: 'mine', bundleId: 'small_1_0' }),
    'InvalidInputException',
  );
});
