import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createInstances } from '#control/machines/create.ts';
import { createInstanceSnapshot } from '#control/machines/instance-snapshots.ts';
import { machinesRequest, systemSnapshot } from '#control/machines/machine.fixture.ts';
import { copyByName } from '#control/machines/snapshot-copies.ts';
import { World } from '#control/world.fake.ts';
import { answerInstanceSnapshots } from './instance-snapshots.ts';

test('the operator sees how consistent snapshots of machines are, how long guests were held, and what made them', async () => {
  await using world = await World.make({ snapshotIntervalMsMin: 0 });
  const scope = await world.account();
  const system = await systemSnapshot(world, scope);
  await createInstances(
    world.ports,
    scope,
    machinesRequest(scope, system, ['web'], { face: 'ec2', bundle: 't3.nano' }),
  );
  await world.settle();
  const made = { tags: [], token: null, operation: null };
  await createInstanceSnapshot(world.ports, scope, {
    instance: { name: 'web' },
    name: 'web-1',
    autoDate: null,
    ...made,
  });
  world.hypervisor.guests.agent = 'missing';
  await createInstances(
    world.ports,
    scope,
    machinesRequest(scope, system, ['old'], { face: 'ec2', bundle: 't3.nano' }),
  );
  await world.settle();
  const auto = { name: 'old-auto-2026-11-21', autoDate: '2026-11-21' };
  await createInstanceSnapshot(world.ports, scope, { instance: { name: 'old' }, ...auto, ...made });
  await world.settle();
  const source = { kind: 'named', name: 'web-1' } as const;
  await copyByName(world.ports, scope, {
    sourceRegion: scope.region,
    source,
    name: 'web-2',
    token: null,
    operation: null,
  });
  const { status, body } = await answerInstanceSnapshots(world.ports, '0');
  assert.equal(status, 200);
  assert.equal(body['next'], null);
  const rows = body['instance-snapshots'] as readonly Readonly<Record<string, unknown>>[];
  assert.deepEqual(
    rows.map((one) => [one['name'], one['consistency'], one['state'], one['autoDate'], one['copiedFrom']]),
    [
      ['web-1', 'filesystem', 'available', null, null],
      ['old-auto-2026-11-21', 'crash', 'available', '2026-11-21', null],
      ['web-2', 'filesystem', 'pending', null, { name: 'web-1', region: 'us-east-1', isAutomatic: false }],
    ],
  );
  assert.equal(rows[1]?.['consistencyNote'], 'no agent runs in the guest');
  // The same is said in the manifests, for who has the store alone.
  const descriptions = [...world.host.snapshots.values()].map(({ label }) => label.description);
  assert.ok(descriptions.includes('of web at /dev/xvda, file systems whole'), descriptions.join('; '));
  assert.ok(descriptions.includes('of old at /dev/xvda, as after a power cut'), descriptions.join('; '));
  assert.equal((await answerInstanceSnapshots(world.ports, 'x')).status, 400);
});
