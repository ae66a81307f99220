import assert from 'node:assert/strict';
import { test } from 'node:test';

import { DeviceError } from '#block/device.ts';
import { COMMAND, COMMAND_FLAG, ERRNO } from '#wire/nbd/constants.ts';

import { NbdBudget } from './nbd-budget.ts';
import { NbdBuffers } from './nbd-buffers.ts';
import { NBD_LIMITS, SEGMENT_BYTES } from './nbd-limits.ts';
import { SessionRig } from './nbd-session-rig.fake.ts';
import { TestDevice } from './nbd-test-device.fake.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const READ_BYTES = 8 * MIB;

function patterned(sizeBytes: number): TestDevice {
  const device = new TestDevice(sizeBytes);
  const bytes = Buffer.alloc(sizeBytes);
  for (let at = 0; at < sizeBytes; at += 4) bytes.writeUInt32LE(at, at);
  void device.write(0, bytes, { fua: false });
  return device;
}

async function opened(
  device: TestDevice,
  options: Partial<ConstructorParameters<typeof SessionRig>[0]> & { readonly structured?: boolean } = {},
): Promise<SessionRig> {
  const rig = new SessionRig({ ...options, device });
  await rig.open({ structured: options.structured ?? true });
  return rig;
}

for (const [kind, structured, flags] of [
  ['a simple reply', false, 0],
  ['one chunk', true, COMMAND_FLAG.df],
] as const) {
  test(`a large READ that is answered by ${kind} costs no memory of its size, and arrives whole`, async () => {
    const device = patterned(READ_BYTES);
    const budget = new NbdBudget(NBD_LIMITS.inFlightBytesTotalMax);
    const rig = await opened(device, { budget, structured });
    rig.transport.stall();
    for (const cookie of [1n, 2n]) rig.request({ command: COMMAND.read, flags, cookie, length: READ_BYTES });
    await rig.settle();
    assert.ok(rig.transport.peakUnsentBytes <= MIB, `${rig.transport.peakUnsentBytes} bytes wait for the client`);
    const parts: Buffer[] = [];
    for (let turn = 0; turn < 200; turn += 1) {
      rig.transport.unstall();
      await rig.settle();
      parts.push(rig.transport.take());
    }
    const all = Buffer.concat(parts);
    const headerBytes = structured ? 28 : 16;
    assert.equal(all.length, 2 * (headerBytes + READ_BYTES));
    for (const at of [0, headerBytes + READ_BYTES]) {
      assert.ok(all.subarray(at + headerBytes, at + headerBytes + READ_BYTES).equals(device.bytes));
    }
  });

  test(`a READ that is answered by ${kind} from a slow device is not mixed with other replies`, async () => {
    const device = patterned(2 * MIB);
    const rig = await opened(device, { structured });
    device.slow = true;
    rig.request({ command: COMMAND.flush, cookie: 1n });
    rig.request({ command: COMMAND.read, flags, cookie: 2n, length: 2 * MIB });
    rig.request({ command: COMMAND.flush, cookie: 3n });
    assert.deepEqual(device.waiting, ['flush'], 'the read begins when nothing else is under way');
    device.finish();
    await rig.settle();
    const headerBytes = structured ? 28 : 16;
    const first = rig.transport.take();
    assert.equal(first.length, 16);
    const parts: Buffer[] = [];
    while (device.waiting.some((what) => what.startsWith('read'))) {
      assert.equal(device.waiting.length, 1);
      device.finish();
      await rig.settle();
      parts.push(rig.transport.take());
    }
    const reply = Buffer.concat(parts);
    assert.equal(reply.length, headerBytes + 2 * MIB);
    assert.ok(reply.subarray(headerBytes).equals(device.bytes));
    assert.deepEqual(device.waiting, ['flush']);
  });

  test(`trouble in ${kind}: told where the header is, and the end of the connection behind it`, async () => {
    for (const slow of [false, true]) {
      const device = patterned(2 * MIB);
      const rig = await opened(device, { structured });
      device.slow = slow;
      device.failure = new DeviceError('EIO', 'damaged');
      rig.request({ command: COMMAND.read, flags, cookie: 1n, length: 2 * MIB });
      await rig.settle();
      const error = rig.transport.take();
      assert.equal(structured ? error.readUInt32BE(20) : error.readUInt32BE(4), ERRNO.EIO);
      assert.equal(rig.transport.destroyed, false);
      device.slow = true;
      rig.request({ command: COMMAND.read, flags, cookie: 2n, length: 2 * MIB });
      device.finish();
      await rig.settle();
      device.finish(0, new DeviceError('EIO', 'damaged'));
      await rig.settle();
      assert.equal(rig.transport.destroyed, true);
      await rig.session.done;
    }
  });
}

test('32 connections that read nothing of what they ask for keep a bounded share, and give it back', async () => {
  const device = patterned(READ_BYTES);
  const budget = new NbdBudget(NBD_LIMITS.inFlightBytesTotalMax);
  const buffers = new NbdBuffers();
  const rigs: SessionRig[] = [];
  for (let index = 0; index < 32; index += 1) {
    const rig = await opened(device, { budget, buffers, structured: index % 2 === 0 });
    rig.transport.stall();
    for (let cookie = 1n; cookie <= 8n; cookie += 1n) {
      rig.request({ command: COMMAND.read, cookie, length: index % 3 === 0 ? 64 * KIB : READ_BYTES });
    }
    rigs.push(rig);
  }
  await rigs[0]?.settle();
  assert.equal(budget.hasRoom(NBD_LIMITS.inFlightBytesTotalMax - 40 * MIB, READ_BYTES), true, 'less than 40 MiB held');
  assert.equal(budget.hasRoom(NBD_LIMITS.inFlightBytesTotalMax - 5 * MIB, READ_BYTES), false, 'what waits is counted');
  for (const rig of rigs) rig.transport.destroy();
  await Promise.all(rigs.map((rig) => rig.session.done));
  assert.equal(budget.hasRoom(NBD_LIMITS.inFlightBytesTotalMax, READ_BYTES), true, 'all was given back');
});

test('many small replies that nobody takes share segments', async () => {
  const device = patterned(MIB);
  const rig = await opened(device);
  rig.transport.stall();
  for (let cookie = 0n; cookie < 2_000n; cookie += 1n) rig.request({ command: COMMAND.flush, cookie });
  for (let cookie = 0n; cookie < 2_000n; cookie += 1n) {
    rig.request({ command: COMMAND.read, cookie, length: 16 });
    await Promise.resolve();
  }
  await rig.settle();
  const budget = new NbdBudget(4 * SEGMENT_BYTES);
  const other = await opened(device, { budget });
  other.transport.stall();
  for (let cookie = 0n; cookie < 3_000n; cookie += 1n) other.request({ command: COMMAND.read, cookie, length: 16 });
  await other.settle();
  assert.equal(budget.hasRoom(0, READ_BYTES), true, 'a reply of 16 bytes does not keep a segment of its own');
  other.transport.unstall();
  await other.settle();
  other.transport.unstall();
  await other.settle();
  assert.equal(other.replies().length, 3_000);
});

test('a client that takes nothing is cut after a minute or two, and one that takes a little is not', async () => {
  const device = patterned(READ_BYTES);
  const budget = new NbdBudget(NBD_LIMITS.inFlightBytesTotalMax);
  const silent = await opened(device, { budget });
  silent.transport.stall();
  silent.request({ command: COMMAND.read, cookie: 1n, length: READ_BYTES });
  await silent.settle();
  await silent.clock.advance(NBD_LIMITS.stallMs - 1);
  assert.equal(silent.transport.destroyed, false);
  await silent.clock.advance(NBD_LIMITS.stallMs);
  assert.equal(silent.transport.destroyed, true);
  await silent.session.done;
  assert.equal(budget.hasRoom(NBD_LIMITS.inFlightBytesTotalMax, READ_BYTES), true);

  const slow = await opened(device);
  slow.transport.stall();
  slow.request({ command: COMMAND.read, cookie: 1n, length: READ_BYTES });
  for (let minute = 0; minute < 10; minute += 1) {
    await slow.clock.advance(NBD_LIMITS.stallMs / 2);
    slow.transport.unstall();
    slow.transport.stall();
    await slow.settle();
  }
  assert.equal(slow.transport.destroyed, false);
  slow.transport.unstall();
});

test('what waited is not begun when its client went meanwhile, though the end of its input was not seen', async () => {
  for (const gone of [false, true]) {
    const device = patterned(4 * MIB);
    const rig = await opened(device, { limits: { inFlightBytesMax: 512 * KIB } });
    device.slow = true;
    rig.request({ command: COMMAND.write, cookie: 1n, length: 512 * KIB }, Buffer.alloc(512 * KIB, 1));
    rig.request({ command: COMMAND.write, cookie: 2n, offset: MIB, length: 512 * KIB }, Buffer.alloc(512 * KIB, 2));
    assert.deepEqual(device.waiting, [`write 0 ${512 * KIB}`]);
    rig.transport.clientGone = gone;
    device.finish();
    await rig.settle();
    assert.deepEqual(device.waiting, gone ? [] : [`write ${MIB} ${512 * KIB}`]);
    assert.equal(rig.transport.destroyed, gone);
    if (!gone) device.finish();
  }
});
