import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';

import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { SeededRandom } from '#base/random.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { newInstanceId, newVolumeId } from '#domain/ids.ts';

import { rejectsAs } from './hypervisor.suite.ts';
import type { MachineDisk } from './hypervisor.ts';
import { JsonLinesServer } from './json-lines.fake.ts';
import { members } from './json-lines.ts';
import { MachineDisks } from './machine-disks.ts';
import type { RecordedDisk } from './machine-record.ts';
import { deviceName, nodeName } from './qemu-arguments.ts';
import { Qmp, QmpError } from './qmp.ts';

const scratch = scratchDirectory('disks');
const random = new SeededRandom(3);
let socketCount = 0;

interface Rig extends AsyncDisposable {
  readonly disks: MachineDisks;
  /** What QEMU has. */
  readonly nodes: Set<string>;
  readonly devices: Set<string>;
  /** What is kept. */
  readonly recorded: () => readonly RecordedDisk[];
  /** Commands that QEMU performs and does not answer: the connection is cut then. */
  readonly cutsAt: Set<string>;
  /** Nodes that cannot be closed the first time. */
  readonly busyAt: Set<string>;
  /** Devices of which the guest was asked to let go. */
  readonly asked: Set<string>;
}

/** The disks of a machine over a monitor that does as QEMU does. */
async function rig(before: readonly RecordedDisk[]): Promise<Rig> {
  const socketPath = join(scratch, `${(socketCount += 1)}.sock`);
  const [nodes, devices, cutsAt] = [new Set<string>(), new Set<string>(), new Set<string>()];
  const [busyAt, asked] = [new Set<string>(), new Set<string>()];
  let recorded = before;
  const perform = (command: unknown, args: Readonly<Record<string, unknown>>): string | null => {
    const [node, device] = [String(args['node-name']), String(args['id'])];
    switch (command) {
      case 'blockdev-add':
        if (nodes.has(node)) return `Duplicate nodes with node-name='${node}'`;
        nodes.add(node);
        return null;
      case 'blockdev-del':
        if (busyAt.delete(node)) return `Node ${node} is in use`;
        return nodes.delete(node) ? null : `Failed to find node with node-name='${node}'`;
      case 'device_add':
        if (!nodes.has(String(args['drive']))) return `Property 'virtio-blk-device.drive' can't find value`;
        devices.add(device);
        return null;
      case 'device_del':
        if (!devices.has(device)) return `Device '${device}' not found`;
        asked.add(device);
        return null;
      default:
        return null;
    }
  };
  const server = await JsonLinesServer.listen(socketPath, {
    greeting: '{"QMP": {}}',
    onRequest: ({ execute, arguments: given, id }, send) => {
      const desc = perform(execute, members(given) ?? {});
      if (cutsAt.delete(String(execute))) server.cut();
      else send(`${JSON.stringify(desc === null ? { return: {}, id } : { error: { desc }, id })}\n`);
    },
  });
  let qmp: Qmp | null = null;
  const disks = new MachineDisks({
    id: newInstanceId(random),
    disks: before,
    monitor: async () => {
      if (qmp?.isOpen === true) return qmp;
      qmp = await Qmp.connect(socketPath, { clock: systemClock, timeoutMs: 30_000, onEvent: () => {} });
      await disks.compare(devices);
      return qmp;
    },
    onChange: async (changed) => {
      recorded = changed;
    },
    clock: systemClock,
    log: silentLog,
  });
  return {
    ...{ disks, nodes, devices, cutsAt, busyAt, asked },
    recorded: () => recorded,
    [Symbol.asyncDispose]: async () => {
      qmp?.[Symbol.dispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

function newDisk(): MachineDisk {
  const volume = newVolumeId(random);
  return { volume, socketPath: '/s', exportName: volume, device: '/dev/xvdf' };
}

test('a disk that was recorded, and then the server died, is no disk of the guest’s until it is attached', async () => {
  const disk = newDisk();
  await using under = await rig([{ ...disk, place: 6, isLingering: false }]);
  await under.disks.attach(disk);
  assert.deepEqual([...under.devices], [deviceName(disk.volume)]);
  assert.deepEqual([...under.nodes], [nodeName(disk.volume)]);
  assert.deepEqual(under.disks.volumes, [disk.volume]);
});

test('a disk of which QEMU had the volume open already, and no device, is attached', async () => {
  const disk = newDisk();
  await using under = await rig([{ ...disk, place: 6, isLingering: false }]);
  under.nodes.add(nodeName(disk.volume));
  await under.disks.attach(disk);
  assert.deepEqual([...under.devices], [deviceName(disk.volume)]);
});

for (const command of ['blockdev-add', 'device_add']) {
  test(`when nobody knows whether ${command} was done, the disk stays the machine's until that is known`, async () => {
    const disk = newDisk();
    await using under = await rig([]);
    under.cutsAt.add(command);
    await assert.rejects(under.disks.attach(disk), QmpError);
    assert.deepEqual(under.disks.volumes, [disk.volume], 'nobody else may write to it');
    await under.disks.attach(disk);
    assert.deepEqual([...under.devices], [deviceName(disk.volume)]);
    assert.deepEqual(
      under.recorded().map(({ volume }) => volume),
      [disk.volume],
    );
  });
}

test('a disk that QEMU refuses is not the machine’s', async () => {
  const disk = newDisk();
  await using under = await rig([]);
  under.nodes.add(nodeName(disk.volume));
  await rejectsAs('resources', under.disks.attach(disk));
  assert.deepEqual([under.disks.volumes, under.recorded()], [[], []]);
});

test('a disk without a device is let go of by nobody: its volume is closed', async () => {
  const disk = newDisk();
  await using under = await rig([]);
  await under.disks.attach(disk);
  under.devices.clear(); // And QEMU could not close the volume then.
  await under.disks.detach(disk.volume, { graceMs: 30_000, force: false });
  assert.deepEqual([[...under.nodes], under.disks.volumes], [[], []]);
});

test('a volume that QEMU could not close when the guest let go of it is closed later', async () => {
  const disk = newDisk();
  await using under = await rig([]);
  await under.disks.attach(disk);
  under.busyAt.add(nodeName(disk.volume));
  under.devices.clear();
  await under.disks.deviceDeleted(deviceName(disk.volume));
  assert.deepEqual(under.disks.volumes, [disk.volume], 'it is open');
  await under.disks.tend();
  assert.deepEqual([[...under.nodes], under.disks.volumes], [[], []]);
});

test('a guest that booted anew before it let go of what was taken away by force is asked again', async () => {
  const disk = newDisk();
  await using under = await rig([{ ...disk, place: 6, isLingering: true }]);
  under.nodes.add(nodeName(disk.volume));
  under.devices.add(deviceName(disk.volume));
  await under.disks.tend();
  assert.deepEqual([...under.asked], [deviceName(disk.volume)]);
  assert.equal(under.recorded().length, 1, 'it has not let go yet');
  under.devices.clear(); // And its event was missed.
  await under.disks.tend();
  assert.deepEqual([[...under.nodes], under.recorded()], [[], []]);
});
