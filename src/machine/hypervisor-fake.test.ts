import assert from 'node:assert/strict';
import { test } from 'node:test';

import { systemClock } from '#base/clock.ts';
import { systemRandom } from '#base/random.ts';
import { VirtualClock } from '#base/virtual-clock.ts';
import { newInstanceId, newVolumeId } from '#domain/ids.ts';

import { FakeHypervisor, FakeMachines } from './hypervisor.fake.ts';
import { hypervisorSuite } from './hypervisor.suite.ts';

hypervisorSuite('fake', async () => {
  const machines = new FakeMachines();
  const under = (): FakeHypervisor => {
    const hypervisor = new FakeHypervisor({ clock: systemClock, machines });
    Object.assign(hypervisor.guests, { heeds: false, letsGo: false, agent: 'missing' });
    return hypervisor;
  };
  const first = under();
  const disk = (device: string) => {
    const volume = newVolumeId(systemRandom);
    return { volume, socketPath: `/run/${volume}.sock`, exportName: volume, device };
  };
  let nextPort = 2200;
  return {
    hypervisor: first,
    systemDisk: async () => disk('/dev/xvda'),
    newDisk: async (device) => disk(device),
    freePorts: async (count) => Array.from({ length: count }, () => (nextPort += 1)),
    kill: async (id) => first.kill(id),
    restarted: async () => {
      await first[Symbol.asyncDispose]();
      return under();
    },
    until: async (what, condition) => assert.ok(await condition(), what),
  };
});

test('fake: a frozen guest goes on when its time is over, also when nobody lets it', async () => {
  const clock = new VirtualClock();
  const hypervisor = new FakeHypervisor({ clock });
  const id = newInstanceId(systemRandom);
  const seed = { instance: id, hostName: 'one', publicKeys: [], userData: null };
  await hypervisor.start({ id, cpuCount: 1, memoryMib: 64, disks: [], seed, forwards: [] });
  const quiesced = await hypervisor.quiesce(id, { timeoutMs: 5000 });
  assert.equal(quiesced.consistency, 'filesystem');
  assert.ok(hypervisor.guest(id).frozen);
  await clock.advance(4999);
  assert.ok(hypervisor.guest(id).frozen && quiesced.isHeld());
  await clock.advance(1);
  assert.ok(!hypervisor.guest(id).frozen && !quiesced.isHeld());
  await quiesced[Symbol.asyncDispose]();
  assert.equal(quiesced.heldMs(), 5000);
});
