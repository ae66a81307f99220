import assert from 'node:assert/strict';
import { test } from 'node:test';
import { present } from '#base/assert.ts';
import { assertConsistent } from '#control/consistency.fake.ts';
import type { FaultMode } from '#control/fault.fake.ts';
import { refusal } from '#control/request.fake.ts';
import { World } from '#control/world.fake.ts';
import { DomainError } from '#domain/errors.ts';
import type { InstanceId } from '#domain/ids.ts';
import { type Instance, stateShown } from '#domain/instance.ts';
import type { Scope } from '#domain/volume.ts';
import { assertAttachments } from './attachments.fake.ts';
import { createInstances } from './create.ts';
import { deregisterImage, findImage, listImages } from './images.ts';
import { machinesRequest, systemSnapshot } from './machine.fixture.ts';
import { createImage, type CreateImage } from './machine-sets.ts';
import { deleteInstance, stopInstance } from './power.ts';
import { findInstance } from './records.ts';

async function running(world: World, scope: Scope): Promise<Instance> {
  const snapshot = await systemSnapshot(world, scope);
  const made = await createInstances(world.ports, scope, machinesRequest(scope, snapshot, ['web'], { face: 'ec2' }));
  await world.settle();
  return await findInstance(world.ports, scope, present(made.instances[0], 'a machine is made').id);
}

function imageRequest(instance: InstanceId, some: Partial<CreateImage> = {}): CreateImage {
  return {
    instance,
    name: 'golden',
    description: '',
    excluded: new Set(),
    deleteOnTermination: new Map(),
    imageTags: [],
    snapshotTags: [],
    reboots: true,
    ...some,
  };
}

test('a machine is shut down for its image, cut at rest, and started again at the address that it had', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const before = await running(world, scope);
  world.hypervisor.calls.length = 0;
  const image = await createImage(world.ports, scope, imageRequest(before.id));
  assert.equal((await findImage(world.ports, scope, image.id)).state, 'pending');
  const meanwhile = await findInstance(world.ports, scope, before.id);
  assert.equal(meanwhile.state, 'stopping');
  assert.equal(stateShown(meanwhile), 'running');
  // What the guest writes while it shuts down is in the image.
  const system = present(before.attachments[0], 'a machine has a system volume').volume;
  const stop = world.hypervisor.stop.bind(world.hypervisor);
  world.hypervisor.stop = async (...all) => {
    world.host.write(system, 0, 77);
    await stop(...all);
  };
  await world.settle();
  const verbs = world.hypervisor.calls.map((call) => call.split(' ')[0]).filter((verb) => verb !== 'list');
  assert.ok(verbs.indexOf('stop') < verbs.indexOf('quiesce'), verbs.join(' '));
  assert.ok(verbs.indexOf('quiesce') < verbs.indexOf('start'), verbs.join(' '));
  const after = await findInstance(world.ports, scope, before.id);
  assert.equal(after.state, 'running');
  assert.equal(after.address, before.address);
  assert.equal(after.imagesWanted, undefined);
  const seen = await findImage(world.ports, scope, image.id);
  assert.equal(seen.state, 'available');
  assert.equal(seen.image.cutWanted, undefined);
  const cut = present(seen.image.devices[0]?.snapshot, 'the device has a snapshot');
  assert.equal(present(world.host.snapshots.get(cut), 'it is stored').content.get(0)?.[0], 77);
});

test('a machine that does not run is not started for its image, and one that goes on is not stopped', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const { id } = await running(world, scope);
  world.hypervisor.calls.length = 0;
  await createImage(world.ports, scope, imageRequest(id, { reboots: false }));
  await world.settle();
  assert.ok(!world.hypervisor.calls.some((call) => call.startsWith('stop')));
  await stopInstance(world.ports, scope, id, { force: false, operation: null });
  await world.settle();
  const { id: image } = await createImage(world.ports, scope, imageRequest(id, { name: 'at rest' }));
  await world.settle();
  assert.equal((await findImage(world.ports, scope, image)).state, 'available');
  assert.equal((await findInstance(world.ports, scope, id)).state, 'stopped');
});

test('several images share one stop; who stops the machine meanwhile finds it stopped, and its images made', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const { id } = await running(world, scope);
  world.hypervisor.calls.length = 0;
  await createImage(world.ports, scope, imageRequest(id));
  await createImage(world.ports, scope, imageRequest(id, { name: 'second' }));
  await stopInstance(world.ports, scope, id, { force: false, operation: null });
  await world.settle();
  assert.equal(world.hypervisor.calls.filter((call) => call.startsWith('stop ')).length, 1);
  assert.equal((await findInstance(world.ports, scope, id)).state, 'stopped');
  const { images } = await listImages(world.ports, scope, { ids: null, match: () => true, after: null, countMax: 9 });
  assert.deepEqual(
    images.map(({ state }) => state),
    ['available', 'available'],
  );
});

test('the machine is started again when its image cannot be cut, or was deregistered', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const { id } = await running(world, scope);
  const { id: lost } = await createImage(world.ports, scope, imageRequest(id));
  const cut = world.host.cut.bind(world.host);
  world.host.cut = async () => {
    throw new Error('the disk is on fire');
  };
  await world.settle();
  assert.equal((await findImage(world.ports, scope, lost)).state, 'failed');
  assert.equal((await findInstance(world.ports, scope, id)).state, 'running');
  world.host.cut = cut;
  const { id: gone } = await createImage(world.ports, scope, imageRequest(id, { name: 'gone' }));
  await deregisterImage(world.ports, scope, gone);
  await world.settle();
  assert.equal((await findInstance(world.ports, scope, id)).state, 'running');
  const { id: orphan } = await createImage(world.ports, scope, imageRequest(id, { name: 'orphan' }));
  await deleteInstance(world.ports, scope, id, { token: null, operation: null });
  await world.settle();
  const seen = await findImage(world.ports, scope, orphan);
  assert.equal(seen.state, 'failed');
  assert.match(seen.image.failure ?? '', /terminated/);
});

test('what would be refused of the cut is refused before the machine is shut down', async () => {
  await using world = await World.make({ pendingSnapshotCountMax: 1 });
  const scope = await world.account();
  const { id } = await running(world, scope);
  await createImage(world.ports, scope, imageRequest(id, { reboots: false }));
  await assert.rejects(
    createImage(world.ports, scope, imageRequest(id, { name: 'second' })),
    refusal({ kind: 'limit', limit: 'pending-snapshots' }),
  );
  assert.equal((await findInstance(world.ports, scope, id)).state, 'running');
  await assert.rejects(createImage(world.ports, scope, imageRequest(id)), refusal({ kind: 'name-taken' }));
});

for (const mode of ['before', 'after'] as const) {
  test(`a machine is started again, and its image ends, when a call fails ${mode} it happens and the server dies`, async () => {
    // Every other call, and those between in the other mode: each makes a world.
    let call = mode === 'before' ? 1 : 2;
    let available = 0;
    for (; ; call += 2) {
      const outcome = await survives(call, mode);
      if (outcome.state === 'available') available += 1;
      if (outcome.fired === null) break;
      assert.ok(call < 80, 'there is a bounded number of calls');
    }
    assert.ok(call > 10, 'calls of the request and of the worker failed');
    assert.ok(available > call / 4, `${available} images in ${call / 2} worlds`);
  });
}

async function survives(
  call: number,
  mode: FaultMode,
): Promise<{ readonly fired: string | null; readonly state: string | null }> {
  await using world = await World.make();
  const scope = await world.account();
  const { id } = await running(world, scope);
  world.faults.arm(call, mode);
  await createImage(world.ports, scope, imageRequest(id)).catch((error: unknown) =>
    assert.ok(!(error instanceof DomainError), `a fault is trouble, not a refusal: ${String(error)}`),
  );
  await world.control.run('reconcile-instances').catch(() => {});
  const fired = world.faults.disarm();
  const where = `call ${call} (${fired}) failing ${mode}`;
  await world.restartControl();
  await world.settle();
  await assertConsistent(world, scope, [], where);
  await assertAttachments(world, where);
  const after = await findInstance(world.ports, scope, id);
  assert.deepEqual([after.state, after.imagesWanted], ['running', undefined], where);
  assert.equal((await world.hypervisor.list())[0]?.state, 'running', where);
  const { images } = await listImages(world.ports, scope, { ids: null, match: () => true, after: null, countMax: 9 });
  const [seen] = images;
  // A cut whose record was lost to its worker is undone; its image says so.
  if (seen !== undefined) assert.ok(seen.state === 'available' || seen.state === 'failed', `${where}: ${seen.state}`);
  return { fired, state: seen?.state ?? null };
}
