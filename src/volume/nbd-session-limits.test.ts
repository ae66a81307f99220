import assert from 'node:assert/strict';
import { test } from 'node:test';
import { COMMAND, ERRNO } from '#wire/nbd/constants.ts';
import { NbdBudget } from './nbd-budget.ts';
import type { ChunkReply } from './nbd-replies.fake.ts';
import { SessionRig } from './nbd-session-rig.fake.ts';
import { TestDevice } from './nbd-test-device.fake.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

async function opened(
  device: TestDevice,
  options: Omit<ConstructorParameters<typeof SessionRig>[0], 'device'> & { readonly structured?: boolean } = {},
): Promise<SessionRig> {
  const rig = new SessionRig({ ...options, device });
  await rig.open({ structured: options.structured ?? true });
  return rig;
}

function pattern(length: number, seed = 1): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let index = 0; index < length; index += 1) bytes[index] = index * 31 + seed * 7 + (index >> 8);
  return bytes;
}

test('a client that takes no replies is not read from, and costs no more than the limit', async () => {
  const device = new TestDevice(4 * MIB);
  void device.write(0, pattern(4 * MIB), { fua: false });
  const rig = await opened(device, { limits: { unsentBytesMax: 512 * KIB } });
  rig.transport.stall();
  for (let index = 0; index < 100; index += 1) {
    rig.request({ command: COMMAND.read, cookie: BigInt(index), offset: 0, length: MIB });
  }
  await rig.settle();
  assert.ok(rig.transport.peakUnsentBytes <= MIB, `${rig.transport.peakUnsentBytes} bytes wait`);
  const done = new Set<bigint>();
  while (done.size < 100) {
    rig.transport.unstall();
    rig.transport.stall();
    await rig.settle();
    for (const reply of rig.replies()) if (reply.kind === 'chunk' && reply.done) done.add(reply.cookie);
  }
});

test('a device that takes its time is not given more than the limit at once', async () => {
  const device = new TestDevice(4 * MIB);
  const rig = await opened(device, { limits: { inFlightBytesMax: MIB } });
  device.slow = true;
  for (let index = 0; index < 30; index += 1) {
    rig.request({ command: COMMAND.write, cookie: BigInt(index), offset: 0, length: 256 * KIB }, pattern(256 * KIB));
  }
  assert.equal(device.waiting.length, 4);
  let answered = 0;
  while (answered < 30) {
    device.finish();
    await rig.settle();
    answered += rig.answers().length;
    assert.ok(device.waiting.length <= 4);
  }
});

test('connections that find the memory of all used up go on in small steps, and wait for large ones', async () => {
  const budget = new NbdBudget(MIB + 16 * KIB);
  const greedy = new TestDevice(16 * MIB);
  const modest = new TestDevice(16 * MIB);
  const first = await opened(greedy, { budget, structured: false });
  const second = await opened(modest, { budget, structured: false });
  greedy.slow = true;
  modest.slow = true;
  first.request({ command: COMMAND.read, cookie: 1n, length: MIB });
  second.request({ command: COMMAND.read, cookie: 1n, length: 512 });
  second.request({ command: COMMAND.read, cookie: 2n, length: MIB });
  assert.equal(greedy.waiting.length, 1);
  assert.deepEqual(modest.waiting, ['read 0 512']);
  greedy.finish();
  await second.settle();
  assert.deepEqual(modest.waiting, ['read 0 512', `read 0 ${MIB}`]);
  modest.finish();
  modest.finish();
  await second.settle();
  assert.equal(second.replies().length, 2);
});

test('a disconnecting client gets its replies first, and what it sends after is dropped', async () => {
  const device = new TestDevice(MIB);
  const rig = await opened(device);
  device.slow = true;
  rig.request({ command: COMMAND.write, cookie: 1n, length: 512 }, pattern(512));
  rig.request({ command: COMMAND.disconnect, cookie: 2n });
  rig.request({ command: COMMAND.write, cookie: 3n, length: 512 }, pattern(512));
  await rig.settle();
  assert.equal(rig.transport.finished, false);
  device.finish();
  await rig.session.done;
  assert.deepEqual(rig.answers(), [[1, 0]]);
  assert.deepEqual(device.calls, ['write 0 512']);
});

test('a session is done only when the device has finished what it began for it', async () => {
  const device = new TestDevice(MIB);
  const rig = await opened(device);
  device.slow = true;
  rig.request({ command: COMMAND.write, cookie: 1n, length: 512 }, pattern(512));
  rig.request({ command: COMMAND.write, cookie: 2n, length: 512 }, pattern(512).subarray(0, 100)); // Not all of it.
  rig.transport.destroy();
  let done = false;
  void rig.session.done.then(() => (done = true));
  await rig.settle();
  assert.equal(done, false);
  device.finish();
  await rig.settle();
  assert.equal(done, true);
  assert.deepEqual(device.calls, ['write 0 512'], 'half a write is none');
});

test('a client that closes its side still gets the replies to what it sent', async () => {
  const device = new TestDevice(4 * MIB);
  const rig = await opened(device, { limits: { unsentBytesMax: 64 * KIB } });
  void device.write(0, pattern(MIB), { fua: false });
  rig.transport.stall();
  for (const cookie of [1n, 2n, 3n]) rig.request({ command: COMMAND.read, cookie, length: MIB });
  rig.transport.endInput();
  await rig.settle();
  const chunks: ChunkReply[] = [];
  while (!rig.transport.finished) {
    rig.transport.unstall();
    await rig.settle();
    chunks.push(...rig.replies().filter((reply) => reply.kind === 'chunk'));
  }
  assert.equal(chunks.filter(({ done }) => done).length, 3);
});

test('a write that waits when its client closes without a word changes nothing; after a disconnect request it does', async () => {
  for (const disconnects of [false, true]) {
    const device = new TestDevice(MIB);
    const rig = await opened(device);
    device.slow = true;
    rig.request({ command: COMMAND.write, cookie: 1n, length: 512 }, pattern(512));
    rig.request({ command: COMMAND.writeZeroes, cookie: 2n, offset: 4096, length: 512 });
    if (disconnects) rig.request({ command: COMMAND.disconnect, cookie: 3n });
    rig.transport.endInput();
    device.finish();
    device.finish();
    await rig.session.done;
    assert.equal(device.bytes.subarray(0, 512).equals(pattern(512)), disconnects);
    const errno = disconnects ? ERRNO.none : ERRNO.ESHUTDOWN;
    assert.deepEqual(rig.answers(), [
      [1, errno],
      [2, errno],
    ]);
  }
});

test('a session told to finish answers what is under way, and is cut when that takes too long', async () => {
  const device = new TestDevice(MIB);
  const rig = await opened(device);
  device.slow = true;
  rig.request({ command: COMMAND.flush, cookie: 1n });
  rig.session.finish();
  rig.request({ command: COMMAND.flush, cookie: 2n });
  await rig.clock.advance(4_999);
  assert.equal(rig.transport.destroyed, false);
  await rig.clock.advance(1);
  assert.equal(rig.transport.destroyed, true);
  device.finish();
  await rig.session.done;
  assert.deepEqual(device.calls, ['flush']);
});
