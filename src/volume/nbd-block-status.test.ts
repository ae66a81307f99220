import assert from 'node:assert/strict';
import { test } from 'node:test';

import { DeviceError } from '#block/device.ts';
import { CHUNK, COMMAND, ERRNO } from '#wire/nbd/constants.ts';

import { SessionRig } from './nbd-session-rig.fake.ts';
import { TestDevice } from './nbd-test-device.fake.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

async function opened(device: TestDevice): Promise<SessionRig> {
  const rig = new SessionRig({ device });
  await rig.open();
  return rig;
}

/** A device with 4 KiB of data at 8 KiB, which has to look before it tells. */
function lookingDevice(): TestDevice {
  const device = new TestDevice(MIB);
  void device.write(8192, Buffer.alloc(4096, 7), { fua: false });
  device.looks = true;
  device.slow = true;
  return device;
}

test('block status of a device that has to look is answered when it has, other requests before', async () => {
  const device = lookingDevice();
  const rig = await opened(device);
  rig.request({ command: COMMAND.blockStatus, cookie: 1n, length: MIB });
  rig.request({ command: COMMAND.flush, cookie: 2n });
  device.finish(1);
  await rig.settle();
  assert.deepEqual(rig.answers(), [[2, ERRNO.none]]);
  device.finish();
  await rig.settle();
  const [status] = rig.replies();
  assert.ok(status?.kind === 'chunk' && status.cookie === 1n && status.type === CHUNK.blockStatus && status.done);
  assert.equal(status.payload.toString('hex', 4), '00002000000000030000100000000000000fd00000000003');
});

test('block status that the device cannot find out is an error chunk, and the connection goes on', async () => {
  const device = lookingDevice();
  const rig = await opened(device);
  rig.request({ command: COMMAND.blockStatus, cookie: 1n, length: MIB });
  device.finish(0, new DeviceError('EIO', 'no listing'));
  await rig.settle();
  const [failed] = rig.replies();
  assert.ok(failed?.kind === 'chunk' && failed.cookie === 1n && failed.type === CHUNK.error && failed.done);
  assert.equal(failed.payload.readUInt32BE(0), ERRNO.EIO);
  device.looks = false;
  rig.request({ command: COMMAND.blockStatus, cookie: 2n, length: MIB });
  const [status] = rig.replies();
  assert.ok(status?.kind === 'chunk' && status.type === CHUNK.blockStatus);
});

test('a client that goes while the device looks is waited for', async () => {
  const device = lookingDevice();
  const rig = await opened(device);
  rig.request({ command: COMMAND.blockStatus, cookie: 1n, length: MIB });
  let isDone = false;
  void rig.session.done.then(() => (isDone = true));
  rig.transport.destroy();
  await rig.settle();
  assert.equal(isDone, false);
  device.finish();
  await rig.settle();
  assert.equal(isDone, true);
});

test('a large read does not wait for a look at what is a hole, whether that works or not', async () => {
  for (const error of [null, new DeviceError('EIO', 'no listing')]) {
    const device = lookingDevice();
    const rig = await opened(device);
    rig.request({ command: COMMAND.read, cookie: 1n, length: 64 * KIB });
    assert.deepEqual(device.waiting, [`extents 0 ${64 * KIB}`, `read 0 ${64 * KIB}`]);
    device.finish(1);
    await rig.settle();
    const [read] = rig.replies();
    assert.ok(read?.kind === 'chunk' && read.type === CHUNK.offsetData && read.done);
    assert.ok(read.payload.subarray(8).equals(device.bytes.subarray(0, 64 * KIB)));
    device.finish(0, error);
    await rig.settle();
  }
});
