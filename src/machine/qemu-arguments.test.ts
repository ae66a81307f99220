import assert from 'node:assert/strict';
import { test } from 'node:test';

import { SeededRandom } from '#base/random.ts';
import { newInstanceId, newVolumeId } from '#domain/ids.ts';

import { diskSerial, PLACE_MAX, placeFor, SEED_PLACE, SYSTEM_PLACE } from './disk-places.ts';
import { HypervisorError } from './hypervisor.ts';
import { machinePaths } from './machine-record.ts';
import { forwardRule, type Launch, macAddress, qemuArguments } from './qemu-arguments.ts';

const random = new SeededRandom(1);
const id = newInstanceId(random);
const volume = newVolumeId(random);
const launch: Launch = {
  id,
  cpuCount: 2,
  memoryMib: 512,
  accelerator: 'tcg',
  disks: [{ volume, socketPath: '/run/a,b".sock', exportName: volume, device: '/dev/xvda', place: SYSTEM_PLACE }],
  forwards: [{ protocol: 'tcp', hostAddress: '127.0.0.1', hostPort: 2222, guestPort: 22 }],
  network: { mode: 'user', outbound: false },
  paths: machinePaths(id, { machinesDirectory: '/srv/a,b "c"/machines', socketDirectory: '/srv/a,b "c"/run' }),
};

function valuesOf(args: readonly string[], option: string): readonly string[] {
  return args.flatMap((arg, index) => (arg === option ? [args[index + 1] ?? ''] : []));
}

test('what is not a constant of ours is an escaped value of one option', () => {
  const args = qemuArguments(launch);
  const json = ['-device', '-blockdev', '-netdev', '-object'].flatMap((option) => valuesOf(args, option));
  const parsed = json.map((text): unknown => JSON.parse(text));
  const find = (members: object): unknown =>
    parsed.find((value) => Object.entries(members).every(([key, wanted]) => Object(value)[key] === wanted));
  assert.deepEqual(Object(find({ driver: 'nbd' })).server, { type: 'unix', path: '/run/a,b".sock' });
  assert.equal(Object(find({ 'node-name': 'seed' })).file.filename, `/srv/a,b "c"/machines/${id}/seed.iso`);
  assert.deepEqual(Object(find({ type: 'user' })), {
    type: 'user',
    id: 'net0',
    restrict: true,
    hostfwd: [{ str: 'tcp:127.0.0.1:2222-:22' }],
  });
  for (const chardev of valuesOf(args, '-chardev')) {
    assert.match(chardev, /path=\/srv\/a,,b "c"\/run\/i-0/);
    assert.match(chardev.replaceAll(',,', ''), /^socket,id=\w+,path=[^,]+,server=on,wait=off/);
  }
});

test('a guest has its disks and its seed in ports of their own, and room for more', () => {
  const devices = valuesOf(qemuArguments(launch), '-device').map((text) => Object(JSON.parse(text)));
  const ports = devices.filter(({ driver }) => driver === 'pcie-root-port');
  assert.equal(ports.length, SEED_PLACE);
  assert.deepEqual(
    ports.map(({ addr }) => Number.parseInt(addr, 16)),
    ports.map((_, index) => index + 1),
    'slots, and so buses, are in order',
  );
  const disk = devices.find(({ drive }) => drive === `node-${diskSerial(volume)}`);
  assert.equal(disk.bus, 'port1');
  assert.equal(disk.bootindex, 0);
  assert.equal(disk.serial.length, 20, 'all that virtio has room for');
  const slots = devices.map(({ bus, addr }) => (bus === 'pcie.0' ? addr : bus)).filter((slot) => slot !== undefined);
  assert.equal(new Set(slots).size, slots.length, 'no two devices are in one slot');
});

test('a bridge needs a helper, and user networking none', () => {
  const bridged = qemuArguments({ ...launch, network: { mode: 'bridge', bridge: 'br0' } });
  assert.match(valuesOf(bridged, '-sandbox')[0] ?? '', /spawn=allow/);
  assert.match(valuesOf(qemuArguments(launch), '-sandbox')[0] ?? '', /spawn=deny/);
  assert.equal(JSON.parse(valuesOf(bridged, '-netdev')[0] ?? '').br, 'br0');
});

test('forwarded ports are numbers and addresses, and nothing else', () => {
  const forward = { protocol: 'tcp', hostAddress: '127.0.0.1', hostPort: 80, guestPort: 8080 } as const;
  assert.equal(forwardRule(forward), 'tcp:127.0.0.1:80-:8080');
  assert.throws(() => forwardRule({ ...forward, hostAddress: '0.0.0.0:1-:2\nquit' }), HypervisorError);
  assert.throws(() => forwardRule({ ...forward, hostAddress: '::1' }), HypervisorError);
  for (const hostPort of [0, -1, 65_536, 1.5, Number.NaN]) assert.throws(() => forwardRule({ ...forward, hostPort }));
  assert.throws(() => forwardRule({ ...forward, guestPort: 70_000 }));
});

test('a disk is plugged in where its letter says, or where there is room', () => {
  const none = new Set<number>();
  assert.equal(placeFor('/dev/xvdf', none), 6);
  assert.equal(placeFor('/dev/sdb', none), 2);
  assert.equal(placeFor('/dev/xvdz', none), 26);
  assert.equal(placeFor('/dev/xvdf', new Set([6])), 26);
  assert.equal(placeFor('/dev/sda1', none), 26, 'the first is the system volume');
  assert.equal(placeFor('/dev/nvme1n1', new Set([26])), 25);
  const all = new Set(Array.from({ length: PLACE_MAX }, (_, index) => index + 1));
  assert.throws(() => placeFor('/dev/xvdf', all), HypervisorError);
});

test('a network address is one machine’s, not a group’s, and local', () => {
  const mac = macAddress(id);
  assert.match(mac, /^02(?::[0-9a-f]{2}){5}$/);
  assert.equal(macAddress(id), mac);
  assert.notEqual(macAddress(newInstanceId(random)), mac);
});
