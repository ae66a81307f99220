import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Instance, OpenPorts } from '#domain/instance.ts';
import { EVERYBODY } from '#domain/open-ports.ts';
import type { Scope } from '#domain/volume.ts';
import { HypervisorError, type PortForward } from '#machine/hypervisor.ts';
import { refusal } from '#control/request.fake.ts';
import { World } from '#control/world.fake.ts';
import { createInstances } from './create.ts';
import { machinesRequest, systemSnapshot } from './machine.fixture.ts';
import { closePorts, openPorts, putPorts } from './networking.ts';
import { deleteInstance, startInstance, stopInstance } from './power.ts';
import { findInstance } from './records.ts';
import { allocateStaticIp, attachStaticIp, detachStaticIp, findStaticIp, releaseStaticIp } from './static-ips.ts';

async function running(world: World, scope: Scope, names: readonly string[]): Promise<readonly Instance[]> {
  const snapshot = await systemSnapshot(world, scope);
  await createInstances(world.ports, scope, machinesRequest(scope, snapshot, names));
  await world.settle();
  return await Promise.all(names.map((name) => findInstance(world.ports, scope, { name })));
}

function tcp(port: number, some: Partial<OpenPorts> = {}): OpenPorts {
  return { protocol: 'tcp', fromPort: port, toPort: port, ...EVERYBODY, ...some };
}

/** What leads to the machine: `127.10.0.1:20080 → tcp 80`. */
async function forwards(world: World, { id }: Instance): Promise<readonly string[]> {
  const found = (await world.hypervisor.list()).find((one) => one.id === id);
  const words = ({ hostAddress, hostPort, protocol, guestPort }: PortForward): string =>
    `${hostAddress}:${hostPort} → ${protocol} ${guestPort}`;
  return (found?.forwards ?? []).map(words).toSorted();
}

const NAME = { name: 'web', operation: 'PutInstancePublicPorts' };

test('open ports of machines that run lead to them, each at an address of its own; closed ones do not', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const [web, other] = await running(world, scope, ['web', 'db']);
  assert.ok(web !== undefined && other !== undefined);
  assert.notEqual(web.address, other.address);
  const ssh = `127.0.0.1:${web.sshPort} → tcp 22`;
  // This process may open ports from 1024 on.
  const low = [`${web.address}:20022 → tcp 22`, `${web.address}:20080 → tcp 80`];
  assert.deepEqual(await forwards(world, web), [ssh, ...low]);

  await openPorts(world.ports, scope, { ...NAME, opened: tcp(8080) });
  await openPorts(world.ports, scope, { ...NAME, opened: tcp(5000, { cidrs: ['10.1.0.0/16'], ipv6Cidrs: [] }) });
  await world.settle();
  // Nobody can be kept out of a port that is forwarded, so what is for some is not.
  assert.deepEqual(await forwards(world, web), [ssh, ...low, `${web.address}:8080 → tcp 8080`]);

  await closePorts(world.ports, scope, { ...NAME, closed: tcp(80) });
  await world.settle();
  const [ssh22] = low;
  assert.deepEqual(await forwards(world, web), [ssh, ssh22, `${web.address}:8080 → tcp 8080`]);

  await putPorts(world.ports, scope, { ...NAME, open: [{ ...tcp(53), protocol: 'udp' }] });
  await world.settle();
  assert.deepEqual(await forwards(world, web), [ssh, `${web.address}:20053 → udp 53`]);
  // The other one has what it had.
  assert.equal((await forwards(world, other)).length, 3);
});

test('a port that another program has is found 20,000 higher, or not at all, and the machine runs', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const [web] = await running(world, scope, ['web']);
  assert.ok(web !== undefined);
  const taken = new HypervisorError('port-taken', 'port 8080 cannot be opened');
  world.hypervisor.failNext('forward', taken);
  await openPorts(world.ports, scope, { ...NAME, opened: tcp(8080) });
  await world.control.run('reconcile-instances');
  const high = `${web.address}:28080 → tcp 8080`;
  assert.ok((await forwards(world, web)).includes(high));
  // It stays where it is found.
  await world.settle();
  assert.ok((await forwards(world, web)).includes(high));

  world.hypervisor.failNext('forward', taken);
  world.hypervisor.failNext('forward', taken);
  await openPorts(world.ports, scope, { ...NAME, opened: tcp(9090) });
  await world.control.run('reconcile-instances');
  assert.ok(!(await forwards(world, web)).some((words) => words.endsWith('tcp 9090')));
  assert.equal((await findInstance(world.ports, scope, web.id)).state, 'running');
  await world.settle();
  assert.ok((await forwards(world, web)).includes(`${web.address}:9090 → tcp 9090`), 'it is tried again');
});

test('a static address stays with its machine over stops, and others change', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const [web] = await running(world, scope, ['web']);
  assert.ok(web !== undefined);
  const { staticIp } = await allocateStaticIp(world.ports, scope, { name: 'front', operation: 'AllocateStaticIp' });
  assert.notEqual(staticIp.address, web.address);
  const attach = { name: 'front', instanceName: 'web', operation: 'AttachStaticIp' };
  const attached = await attachStaticIp(world.ports, scope, attach);
  assert.equal(attached.operations[0]?.status, 'Succeeded');
  assert.equal((await findInstance(world.ports, scope, web.id)).address, staticIp.address);
  await world.settle();
  assert.ok((await forwards(world, web)).includes(`${staticIp.address}:20080 → tcp 80`));
  assert.ok(!(await forwards(world, web)).some((words) => words.startsWith(`${web.address}:`)));

  await stopInstance(world.ports, scope, web.id, { force: false, operation: null });
  await world.settle();
  assert.equal((await findInstance(world.ports, scope, web.id)).address, staticIp.address);
  await startInstance(world.ports, scope, web.id, null);
  await world.settle();
  assert.ok((await forwards(world, web)).includes(`${staticIp.address}:20080 → tcp 80`));

  const release = { name: 'front', operation: 'ReleaseStaticIp' };
  await assert.rejects(releaseStaticIp(world.ports, scope, release), refusal({ kind: 'in-use', by: web.id }));
  await detachStaticIp(world.ports, scope, { name: 'front', operation: 'DetachStaticIp' });
  const detached = await findInstance(world.ports, scope, web.id);
  assert.ok(detached.address !== null && detached.address !== staticIp.address);
  assert.equal(detached.staticIp, null);
  await stopInstance(world.ports, scope, web.id, { force: false, operation: null });
  await world.settle();
  assert.equal((await findInstance(world.ports, scope, web.id)).address, null);
  await releaseStaticIp(world.ports, scope, release);
  await assert.rejects(
    findStaticIp(world.ports, scope, 'front'),
    refusal({ kind: 'not-found', resource: 'static-ip' }),
  );
});

test('an address is one machine’s, and free again when its machine is deleted', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const [web] = await running(world, scope, ['web', 'db']);
  assert.ok(web !== undefined);
  const operation = 'AttachStaticIp';
  await allocateStaticIp(world.ports, scope, { name: 'one', operation });
  await allocateStaticIp(world.ports, scope, { name: 'two', operation });
  await attachStaticIp(world.ports, scope, { name: 'one', instanceName: 'web', operation });
  const again = { name: 'one', instanceName: 'db', operation };
  await assert.rejects(attachStaticIp(world.ports, scope, again), refusal({ kind: 'in-use', resource: 'static-ip' }));
  const second = { name: 'two', instanceName: 'web', operation };
  await assert.rejects(attachStaticIp(world.ports, scope, second), refusal({ kind: 'in-use', resource: 'instance' }));
  await deleteInstance(world.ports, scope, web.id, { token: null, operation: null });
  await world.settle();
  assert.equal((await findStaticIp(world.ports, scope, 'one')).attachedTo, null);
  await attachStaticIp(world.ports, scope, again);
  assert.equal((await findStaticIp(world.ports, scope, 'one')).attachedTo, 'db');
});

test('where all addresses are taken a machine runs without one, and a static one is refused; nothing is left of it', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const other = await world.account();
  for (let index = 1; index <= 6; index += 1) {
    await allocateStaticIp(world.ports, other, { name: `ip${index}`, operation: 'AllocateStaticIp' });
  }
  const seventh = { name: 'ip7', operation: 'AllocateStaticIp' };
  await assert.rejects(allocateStaticIp(world.ports, scope, seventh), refusal({ kind: 'limit', limit: 'addresses' }));
  const [web] = await running(world, scope, ['web']);
  assert.equal(web?.address, null);
  assert.equal(web?.state, 'running');
  await releaseStaticIp(world.ports, other, { name: 'ip3', operation: 'ReleaseStaticIp' });
  const { staticIp } = await allocateStaticIp(world.ports, scope, seventh);
  assert.equal(staticIp.address, '127.10.0.3');
});
