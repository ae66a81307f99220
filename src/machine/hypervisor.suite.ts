import assert from 'node:assert/strict';
import { test } from 'node:test';

import { newInstanceId, newVolumeId } from '#domain/ids.ts';
import type { InstanceId } from '#domain/ids.ts';
import { systemRandom } from '#base/random.ts';

import {
  type Hypervisor,
  HypervisorError,
  type MachineDisk,
  type MachineSpec,
  type MachineStatus,
} from './hypervisor.ts';

/** A hypervisor, and what a test needs around it. */
export interface HypervisorUnderTest {
  readonly hypervisor: Hypervisor;
  /** A served disk from which a guest boots that does nothing: it runs no agent, shuts down for nobody, lets go of no disk. */
  systemDisk(): Promise<MachineDisk>;
  /** A served, empty disk. */
  newDisk(device: string): Promise<MachineDisk>;
  /** TCP ports of 127.0.0.1 that are free. */
  freePorts(count: number): Promise<readonly number[]>;
  /** Ends the machine's process behind the hypervisor's back. */
  kill(id: InstanceId): Promise<void>;
  /** Disposes of the hypervisor; another takes over its machines. */
  restarted(): Promise<Hypervisor>;
  /** Resolves when the condition holds. */
  until(what: string, condition: () => Promise<boolean>): Promise<void>;
}

/** What every Hypervisor does. `start` gives one without machines; facts share it, so that it may be dear. */
export function hypervisorSuite(name: string, start: () => Promise<HypervisorUnderTest>): void {
  const shared: { under: Promise<HypervisorUnderTest> | null } = { under: null };
  const fact = (what: string, body: (under: HypervisorUnderTest) => Promise<void>): void => {
    test(`${name}: ${what}`, async () => {
      shared.under ??= start();
      await body(await shared.under);
    });
  };

  fact('a machine is started, found, stopped and forgotten; each may be asked for twice', async (under) => {
    const { hypervisor } = under;
    const spec = await specOf(under);
    assert.equal(await statusOf(hypervisor, spec.id), undefined);
    await hypervisor.start(spec);
    await hypervisor.start({ ...spec, memoryMib: 2 * spec.memoryMib });
    const running = await statusOf(hypervisor, spec.id);
    assert.equal(running?.state, 'running');
    assert.equal(running.reason, null);
    assert.ok(running.processId !== null && running.startedAtMs !== null);
    assert.deepEqual(
      running.volumes,
      spec.disks.map(({ volume }) => volume),
    );
    const usage = await hypervisor.usage(spec.id);
    assert.ok(usage !== null && usage.cpuSeconds >= 0);
    await rejectsAs('failed', hypervisor.forget(spec.id));

    await hypervisor.stop(spec.id, { graceMs: 0 });
    await hypervisor.stop(spec.id, { graceMs: 0 });
    const stopped = await statusOf(hypervisor, spec.id);
    assert.equal(stopped?.state, 'stopped');
    assert.equal(stopped.reason, null, 'somebody stopped it');
    assert.equal(stopped.processId, null);
    assert.deepEqual([stopped.volumes, stopped.forwards], [[], []]);
    assert.equal(await hypervisor.usage(spec.id), null);
    await using cut = await hypervisor.quiesce(spec.id, { timeoutMs: 1000 });
    assert.equal(cut.consistency, 'crash', 'nobody asked its guest');

    await hypervisor.start(spec);
    assert.equal((await statusOf(hypervisor, spec.id))?.state, 'running');
    await hypervisor.stop(spec.id, { graceMs: 50 });
    await hypervisor.forget(spec.id);
    await hypervisor.forget(spec.id);
    assert.equal(await statusOf(hypervisor, spec.id), undefined);
    assert.equal((await hypervisor.console(spec.id, 100)).length, 0);
  });

  fact('a machine that is not there is stopped already, and cannot be changed', async (under) => {
    const { hypervisor } = under;
    const id = newInstanceId(systemRandom);
    await hypervisor.stop(id, { graceMs: 0 });
    await hypervisor.forget(id);
    await hypervisor.detach(id, newVolumeId(systemRandom), { graceMs: 0, force: false });
    assert.equal(await hypervisor.usage(id), null);
    await rejectsAs('not-running', hypervisor.attach(id, await under.newDisk('/dev/xvdf')));
    await rejectsAs('not-running', hypervisor.forward(id, []));
    await rejectsAs('not-running', hypervisor.reboot(id, { graceMs: 0 }));
    await using quiesced = await hypervisor.quiesce(id, { timeoutMs: 1000 });
    assert.equal(quiesced.consistency, 'filesystem');
  });

  fact('a machine whose process is killed is stopped, with the reason, and watchers hear of it', async (under) => {
    const { hypervisor } = under;
    const heard: InstanceId[] = [];
    hypervisor.watch((id) => heard.push(id));
    const spec = await specOf(under);
    await hypervisor.start(spec);
    await under.kill(spec.id);
    await under.until('the machine is seen as stopped', async () => {
      return (await statusOf(hypervisor, spec.id))?.state === 'stopped';
    });
    assert.match((await statusOf(hypervisor, spec.id))?.reason ?? '', /killed/);
    await using killed = await hypervisor.quiesce(spec.id, { timeoutMs: 1000 });
    assert.equal(killed.consistency, 'crash');
    assert.match(killed.note ?? '', /killed/);
    await under.until('the watcher was called', async () => heard.includes(spec.id));
    await hypervisor.start(spec);
    assert.equal((await statusOf(hypervisor, spec.id))?.reason, null);
    await hypervisor.stop(spec.id, { graceMs: 0 });
    await hypervisor.forget(spec.id);
  });

  fact('disks come and go while it runs; a guest that keeps one is told apart, and overruled', async (under) => {
    const { hypervisor } = under;
    const spec = await specOf(under);
    await hypervisor.start(spec);
    const disk = await under.newDisk('/dev/xvdf');
    await hypervisor.attach(spec.id, disk);
    await hypervisor.attach(spec.id, disk);
    const volumes = async (): Promise<readonly string[]> => (await statusOf(hypervisor, spec.id))?.volumes ?? [];
    const system = spec.disks.map(({ volume }) => volume);
    assert.deepEqual(await volumes(), [...system, disk.volume]);
    await hypervisor.detach(spec.id, newVolumeId(systemRandom), { graceMs: 0, force: false });
    await rejectsAs('guest-refuses', hypervisor.detach(spec.id, disk.volume, { graceMs: 20, force: false }));
    assert.deepEqual(await volumes(), [...system, disk.volume]);
    await hypervisor.detach(spec.id, disk.volume, { graceMs: 20, force: true });
    assert.deepEqual(await volumes(), system);
    assert.equal((await statusOf(hypervisor, spec.id))?.state, 'running');
    await hypervisor.stop(spec.id, { graceMs: 0 });
    await hypervisor.forget(spec.id);
  });

  fact(
    'ports are opened and closed while it runs; one that is taken is no reason to start without it',
    async (under) => {
      const { hypervisor } = under;
      const [first, second] = await under.freePorts(2);
      assert.ok(first !== undefined && second !== undefined);
      const port = (hostPort: number) =>
        ({ protocol: 'tcp', hostAddress: '127.0.0.1', hostPort, guestPort: 22 }) as const;
      const spec = { ...(await specOf(under)), forwards: [port(first)] };
      await hypervisor.start(spec);
      assert.deepEqual((await statusOf(hypervisor, spec.id))?.forwards, [port(first)]);
      const other = { ...(await specOf(under)), forwards: [port(first)] };
      await rejectsAs('port-taken', hypervisor.start(other));
      await hypervisor.forward(spec.id, [port(second)]);
      await hypervisor.forward(spec.id, [port(second)]);
      assert.deepEqual((await statusOf(hypervisor, spec.id))?.forwards, [port(second)]);
      await hypervisor.start(other);
      for (const id of [spec.id, other.id]) {
        await hypervisor.stop(id, { graceMs: 0 });
        await hypervisor.forget(id);
      }
    },
  );

  fact('a guest without an agent is quiesced as far as crash, and never holds anybody up', async (under) => {
    const { hypervisor } = under;
    const spec = await specOf(under);
    await hypervisor.start(spec);
    const quiesced = await hypervisor.quiesce(spec.id, { timeoutMs: 10_000 });
    assert.equal(quiesced.consistency, 'crash');
    assert.match(quiesced.note ?? '', /agent/);
    await quiesced[Symbol.asyncDispose]();
    await quiesced[Symbol.asyncDispose]();
    await hypervisor.reboot(spec.id, { graceMs: 20 });
    assert.equal((await statusOf(hypervisor, spec.id))?.state, 'running');
    await hypervisor.stop(spec.id, { graceMs: 0 });
    await hypervisor.forget(spec.id);
  });

  // The last: it replaces the hypervisor.
  fact('machines outlive the hypervisor, and the next one finds them', async (under) => {
    const spec = await specOf(under);
    await under.hypervisor.start(spec);
    const disk = await under.newDisk('/dev/xvdg');
    await under.hypervisor.attach(spec.id, disk);
    const before = await statusOf(under.hypervisor, spec.id);
    const next = await under.restarted();
    const after = await statusOf(next, spec.id);
    assert.ok(before !== undefined && after !== undefined);
    assert.deepEqual({ ...after, agent: null }, { ...before, agent: null });
    await next.detach(spec.id, disk.volume, { graceMs: 0, force: true });
    await next.stop(spec.id, { graceMs: 0 });
    await next.forget(spec.id);
    assert.deepEqual(await next.list(), []);
  });

  async function specOf(under: HypervisorUnderTest): Promise<MachineSpec> {
    const id = newInstanceId(systemRandom);
    return {
      id,
      cpuCount: 1,
      memoryMib: 32,
      disks: [await under.systemDisk()],
      seed: { instance: id, hostName: 'ip-10-0-2-15', publicKeys: [], userData: null },
      forwards: [],
    };
  }
}

export async function statusOf(hypervisor: Hypervisor, id: InstanceId): Promise<MachineStatus | undefined> {
  return (await hypervisor.list()).find((status) => status.id === id);
}

export async function rejectsAs(problem: HypervisorError['problem'], promise: Promise<unknown>): Promise<void> {
  await assert.rejects(promise, (error) => error instanceof HypervisorError && error.problem === problem);
}
