import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseMemory } from '#base/computer-memory.ts';
import { refusal } from '#control/request.fake.ts';
import { World } from '#control/world.fake.ts';
import { createInstances } from './create.ts';
import { machinesRequest, systemSnapshot } from './machine.fixture.ts';
import { startInstances, stopInstance } from './power.ts';
import { listInstances } from './records.ts';

test('machines that need more memory than there is are refused, all of a request, until others stop', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const snapshot = await systemSnapshot(world, scope);
  const memory = { totalMib: 512, availableMib: 512, overcommit: 1 };
  const ports = { ...world.ports, machinePlace: { ...world.ports.machinePlace, memory: () => memory } };
  const create = (names: readonly string[]) => createInstances(ports, scope, machinesRequest(scope, snapshot, names));
  await create(['one', 'two']); // 128 MiB each.
  await world.settle();
  await assert.rejects(
    create(['more', 'and-more', 'still-more']),
    refusal({ kind: 'no-memory', neededMib: 384, leftMib: 256 }),
  );
  const { instances } = await listInstances(ports, scope, { ids: null, face: null, after: null, countMax: 9 });
  assert.equal(instances.length, 2, 'all or none');
  memory.availableMib = 100; // Other programs took it.
  await assert.rejects(create(['more']), refusal({ kind: 'no-memory', leftMib: 100 }));
  memory.availableMib = 512;
  await create(['three', 'four']);
  await world.settle();
  for (const name of ['one', 'two']) await stopInstance(ports, scope, { name }, { force: true, operation: null });
  await world.settle();
  await create(['five']);
  const both = [{ name: 'one' }, { name: 'two' }];
  await assert.rejects(startInstances(ports, scope, both, null), refusal({ kind: 'no-memory', leftMib: 0 }));
  memory.overcommit = 1.25;
  assert.equal((await startInstances(ports, scope, both.slice(0, 1), null))[0]?.instance.state, 'pending');
});

test('what Linux says of its memory', () => {
  const text = 'MemTotal:       24684724 kB\nMemFree:        16717000 kB\nMemAvailable:   23603200 kB\n';
  assert.deepEqual(parseMemory(text), { totalMib: 24_106, availableMib: 23_050 });
  assert.equal(parseMemory('MemTotal: 12 kB\n'), null);
});
