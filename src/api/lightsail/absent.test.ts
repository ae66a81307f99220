import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadModel, structureOf } from '#wire/aws/model.ts';
import { SeededRandom } from '#base/random.ts';
import { SampleValues } from '#wire/aws/sample-values.fake.ts';
import { absentHandlers } from './absent.ts';
import { Scene } from './scene.fake.ts';

test('of what Lightsail has and this server has not, lists are empty, names mean nothing, and none is made', async () => {
  await using scene = await Scene.open();
  const model = loadModel('lightsail');
  const samples = new SampleValues(model, { random: new SeededRandom(5), density: 0 });
  for (const operation of Object.keys(absentHandlers)) {
    const { input, output } = model.operations.get(operation) ?? {};
    assert.ok(output !== undefined, operation);
    const named = input === undefined ? {} : samples.structure(input);
    if (Object.keys(named).length > 0) {
      assert.equal(await scene.refused(operation, named), 'NotFoundException', operation);
      continue;
    }
    const reply = await scene.ok(operation);
    const [value, ...others] = Object.values(reply);
    assert.deepEqual([value, others], operation === 'IsVpcPeered' ? [false, []] : [[], []], operation);
    // Under the name that the model gives it.
    assert.ok(
      Object.keys(reply).every((member) => structureOf(model, output).members.has(member)),
      operation,
    );
  }
  const made = [
    ['CreateBucket', { bucketName: 'bucket-1', bundleId: 'small_1_0' }],
    ['CreateDomain', { domainName: 'example.com' }],
    ['CreateContainerService', { serviceName: 'one', power: 'nano', scale: 1 }],
    ['PeerVpc', {}],
  ] as const;
  for (const [operation, input] of made) {
    const { status, body } = await scene.call(operation, input);
    assert.ok(status >= 400 && status < 500, operation);
    assert.match(JSON.stringify(body), /not supported/, operation);
  }
});
