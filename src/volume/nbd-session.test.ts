import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DeviceError } from '#block/device.ts';
import { CHUNK, COMMAND, COMMAND_FLAG, ERRNO, REQUEST_BYTES_MAX } from '#wire/nbd/constants.ts';
import { encodeRequest } from '#wire/nbd/request.ts';
import { assemble, type ChunkReply } from './nbd-replies.fake.ts';
import { SessionRig } from './nbd-session-rig.fake.ts';
import { TestDevice } from './nbd-test-device.fake.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const CHUNK_KIB = 512;

async function opened(
  device: TestDevice,
  options: Omit<ConstructorParameters<typeof SessionRig>[0], 'device'> & { readonly structured?: boolean } = {},
): Promise<SessionRig> {
  const rig = new SessionRig({ ...options, device });
  await rig.open({ structured: options.structured ?? true });
  return rig;
}

function chunksOf(rig: SessionRig, cookie: bigint): readonly ChunkReply[] {
  return rig.replies().filter((reply): reply is ChunkReply => reply.kind === 'chunk' && reply.cookie === cookie);
}

function pattern(length: number, seed = 1): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let index = 0; index < length; index += 1) bytes[index] = index * 31 + seed * 7 + (index >> 8);
  return bytes;
}

test('what is written is read, in one chunk, however the bytes arrive', async () => {
  for (const pieceBytes of [1, 27, 28, 29, 4096, Number.MAX_SAFE_INTEGER]) {
    const device = new TestDevice(MIB);
    const rig = await opened(device);
    const data = pattern(5000);
    const stream = Buffer.concat([
      encodeRequest({ command: COMMAND.write, cookie: 1n, offset: 777, length: data.length }),
      data,
      encodeRequest({ command: COMMAND.read, cookie: 2n, offset: 777, length: data.length }),
    ]);
    rig.transport.feed(stream, pieceBytes);
    await rig.settle();
    const [written, read] = rig.replies();
    assert.ok(written?.kind === 'simple' && written.errno === 0 && written.cookie === 1n);
    assert.ok(read?.kind === 'chunk' && read.done && read.type === CHUNK.offsetData);
    assert.ok(assemble([read], 777, data.length).equals(data));
  }
});

test('a client without structured replies gets simple ones, also of a large read and of a failed one', async () => {
  const device = new TestDevice(4 * MIB);
  pattern(4 * MIB).copy(device.bytes);
  const rig = await opened(device, { structured: false });
  rig.request({ command: COMMAND.read, cookie: 1n, offset: 1, length: 100 });
  rig.request({ command: COMMAND.read, cookie: 2n, offset: 3, length: 3 * MIB });
  device.failure = new DeviceError('EIO', 'damaged');
  rig.request({ command: COMMAND.read, cookie: 3n, offset: 0, length: 100 });
  device.failure = new DeviceError('EIO', 'damaged');
  rig.request({ command: COMMAND.read, cookie: 4n, offset: 0, length: MIB });
  const [small, large, failed, failedLarge] = rig.replies();
  assert.ok(small?.kind === 'simple' && small.data.equals(device.bytes.subarray(1, 101)));
  assert.ok(large?.kind === 'simple' && large.data.equals(device.bytes.subarray(3, 3 + 3 * MIB)));
  assert.ok(failed?.kind === 'simple' && failed.errno === ERRNO.EIO && failed.data.length === 0);
  assert.ok(failedLarge?.kind === 'simple' && failedLarge.errno === ERRNO.EIO);
});

test('holes are told, not sent, unless the client wants one piece', async () => {
  const device = new TestDevice(8 * MIB);
  const data = pattern(64 * KIB);
  void device.write(MIB, data, { fua: false });
  const rig = await opened(device);
  rig.request({ command: COMMAND.read, cookie: 1n, offset: 0, length: 4 * MIB });
  const chunks = chunksOf(rig, 1n);
  assert.deepEqual(
    chunks.map(({ type }) => type),
    [CHUNK.offsetHole, CHUNK.offsetData, CHUNK.offsetHole],
  );
  assert.ok(assemble(chunks, 0, 4 * MIB).equals(device.bytes.subarray(0, 4 * MIB)));
  rig.request({ command: COMMAND.read, flags: COMMAND_FLAG.df, cookie: 2n, offset: 0, length: 4 * MIB });
  const whole = chunksOf(rig, 2n);
  assert.equal(whole.length, 1);
  assert.ok(assemble(whole, 0, 4 * MIB).equals(device.bytes.subarray(0, 4 * MIB)));
});

test('a large write reaches the device in pieces that end where chunks end', async () => {
  const device = new TestDevice(8 * MIB);
  const rig = await opened(device);
  const data = pattern(2 * MIB);
  const stream = Buffer.concat([
    encodeRequest({ command: COMMAND.write, cookie: 1n, offset: 100 * KIB, length: data.length }),
    data,
  ]);
  rig.transport.feed(stream, 100_000);
  await rig.settle();
  assert.deepEqual(rig.answers(), [[1, 0]]);
  assert.deepEqual(device.calls, [
    `write ${100 * KIB} ${(CHUNK_KIB - 100) * KIB}`,
    `write ${CHUNK_KIB * KIB} ${CHUNK_KIB * KIB}`,
    `write ${2 * CHUNK_KIB * KIB} ${CHUNK_KIB * KIB}`,
    `write ${3 * CHUNK_KIB * KIB} ${CHUNK_KIB * KIB}`,
    `write ${4 * CHUNK_KIB * KIB} ${100 * KIB}`,
  ]);
  assert.ok(device.bytes.subarray(100 * KIB, 100 * KIB + data.length).equals(data));
});

test('requests that the device does later are answered as they finish, and not before', async () => {
  const device = new TestDevice(MIB);
  pattern(MIB).copy(device.bytes);
  const rig = await opened(device);
  device.slow = true;
  rig.request({ command: COMMAND.read, cookie: 1n, offset: 0, length: 512 });
  rig.request({ command: COMMAND.read, cookie: 2n, offset: 512, length: 512 });
  rig.request({ command: COMMAND.write, cookie: 3n, offset: 4096, length: 512 }, pattern(512, 2));
  rig.request({ command: COMMAND.flush, cookie: 4n });
  device.slow = false;
  rig.request({ command: COMMAND.read, cookie: 5n, offset: 1024, length: 512 });
  assert.deepEqual(device.waiting, ['read 0 512', 'read 512 512', 'write 4096 512', 'flush']);
  await rig.settle();
  assert.ok(assemble(chunksOf(rig, 5n), 1024, 512).equals(device.bytes.subarray(1024, 1536)));
  for (const [index, cookie] of [
    [2, 3n],
    [1, 2n],
    [0, 1n],
    [0, 4n],
  ] as const) {
    device.finish(index);
    await rig.settle();
    const replies = rig.replies();
    assert.deepEqual(
      replies.map((reply) => reply.cookie),
      [cookie],
    );
    if (cookie === 2n) assert.ok(assemble(replies as ChunkReply[], 512, 512).equals(device.bytes.subarray(512, 1024)));
    if (cookie === 1n) assert.ok(assemble(replies as ChunkReply[], 0, 512).equals(device.bytes.subarray(0, 512)));
  }
  assert.deepEqual(device.bytes.subarray(4096, 4608), pattern(512, 2));
});

test('data of a write that goes on stay as they were, whatever arrives after them', async () => {
  for (const [length, pieceBytes] of [
    [60 * KIB, 50_000],
    [5000, 4000],
    [300_000, 123_457],
  ] as const) {
    const device = new TestDevice(16 * MIB);
    const rig = await opened(device);
    device.slow = true;
    const writes = Array.from({ length: 40 }, (_, index) => pattern(length, index));
    const stream = writes.flatMap((data, index) => [
      encodeRequest({ command: COMMAND.write, cookie: BigInt(index), offset: index * length, length }),
      data,
    ]);
    rig.transport.feed(Buffer.concat(stream), pieceBytes);
    await rig.settle();
    while (device.waiting.length > 0) device.finish(device.waiting.length - 1);
    await rig.settle();
    assert.equal(rig.answers().length, 40);
    for (const [index, data] of writes.entries()) {
      assert.ok(
        device.bytes.subarray(index * length, (index + 1) * length).equals(data),
        `write ${index} of ${length}`,
      );
    }
  }
});

test('a large read of a slow device is put together whatever the order of its pieces', async () => {
  const device = new TestDevice(2 * MIB);
  void device.write(0, pattern(2 * MIB), { fua: false });
  const rig = await opened(device);
  device.slow = true;
  rig.request({ command: COMMAND.read, cookie: 1n, offset: 0, length: 2 * MIB });
  assert.equal(device.waiting.length, 8);
  while (device.waiting.length > 0) device.finish(device.waiting.length > 3 ? 3 : device.waiting.length - 1);
  await rig.settle();
  assert.ok(assemble(chunksOf(rig, 1n), 0, 2 * MIB).equals(device.bytes));
});

test('a piece that fails makes the read fail once, after the pieces that were under way', async () => {
  const device = new TestDevice(2 * MIB);
  void device.write(0, pattern(2 * MIB), { fua: false });
  const rig = await opened(device);
  device.slow = true;
  rig.request({ command: COMMAND.read, cookie: 1n, offset: 0, length: MIB });
  device.finish(1, new DeviceError('EIO', 'damaged'));
  device.finish(0);
  device.finish(1, new DeviceError('EIO', 'damaged'));
  device.finish(0);
  await rig.settle();
  const chunks = chunksOf(rig, 1n);
  assert.deepEqual(
    chunks.map(({ type, done }) => [type, done]),
    [
      [CHUNK.offsetData, false],
      [CHUNK.offsetData, false],
      [CHUNK.error, true],
    ],
  );
});

test('a device in trouble is told by errno, and the connection goes on', async () => {
  const device = new TestDevice(4 * MIB);
  const rig = await opened(device);
  const troubles = [
    [new DeviceError('ENOSPC', 'full'), ERRNO.ENOSPC],
    [new DeviceError('EPERM', 'fenced'), ERRNO.EPERM],
    [new DeviceError('ESHUTDOWN', 'closed'), ERRNO.ESHUTDOWN],
    [new Error('who knows'), ERRNO.EIO],
  ] as const;
  for (const slow of [false, true]) {
    device.slow = slow;
    for (const [failure, errno] of troubles) {
      device.failure = failure;
      rig.request({ command: COMMAND.write, cookie: 1n, length: 2 * MIB }, pattern(2 * MIB));
      device.failure = failure;
      rig.request({ command: COMMAND.trim, cookie: 2n, length: MIB });
      device.failure = failure;
      rig.request({ command: COMMAND.flush, cookie: 3n });
      while (device.waiting.length > 0) device.finish();
      await rig.settle();
      const sorted = rig.answers().toSorted(([a], [b]) => a - b);
      assert.deepEqual(sorted, [
        [1, errno],
        [2, errno],
        [3, errno],
      ]);
    }
  }
});

test('a bad write is answered after its data, and the next request is understood', async () => {
  const device = new TestDevice(MIB);
  const rig = await opened(device);
  const data = encodeRequest({ command: COMMAND.write, cookie: 66n, offset: 0, length: 4 }); // Looks like a request.
  const long = Buffer.concat(Array.from({ length: 40_000 }, () => data));
  rig.request({ command: COMMAND.write, cookie: 1n, offset: MIB - 4, length: long.length }, long);
  rig.request({ command: COMMAND.write, flags: 1 << 9, cookie: 2n, offset: 0, length: data.length }, data);
  rig.request({ command: COMMAND.write, cookie: 3n, offset: 2n ** 63n, length: data.length }, data);
  rig.request({ command: COMMAND.flush, cookie: 4n });
  await rig.settle();
  assert.deepEqual(rig.answers(), [
    [1, ERRNO.ENOSPC],
    [2, ERRNO.EINVAL],
    [3, ERRNO.ENOSPC],
    [4, 0],
  ]);
  assert.deepEqual(device.calls, ['flush']);
});

test('a write over the limit and a wrong magic end the connection', async () => {
  for (const bytes of [
    encodeRequest({ command: COMMAND.write, cookie: 1n, length: REQUEST_BYTES_MAX + 1 }),
    Buffer.alloc(28),
  ]) {
    const device = new TestDevice(MIB);
    const rig = await opened(device);
    rig.transport.feed(bytes);
    rig.request({ command: COMMAND.flush, cookie: 2n });
    await rig.settle();
    assert.equal(rig.transport.destroyed, true);
    assert.deepEqual(device.calls, []);
    await rig.session.done;
  }
});

test('a read-only export refuses changes and reads on', async () => {
  const device = new TestDevice(MIB, { readOnly: true });
  const rig = await opened(device);
  rig.request({ command: COMMAND.write, cookie: 1n, length: 512 }, pattern(512));
  rig.request({ command: COMMAND.trim, cookie: 2n, length: 512 });
  rig.request({ command: COMMAND.writeZeroes, cookie: 3n, length: 512 });
  assert.deepEqual(rig.answers(), [
    [1, ERRNO.EPERM],
    [2, ERRNO.EPERM],
    [3, ERRNO.EPERM],
  ]);
  assert.deepEqual(device.calls, []);
});

test('FUA, NO_HOLE and TRIM reach the device as they were meant', async () => {
  const device = new TestDevice(MIB);
  const rig = await opened(device);
  const { fua, noHole, fastZero } = COMMAND_FLAG;
  rig.request({ command: COMMAND.write, flags: fua, cookie: 1n, length: 512 }, pattern(512));
  rig.request({ command: COMMAND.trim, flags: fua, cookie: 2n, length: 4096 });
  rig.request({ command: COMMAND.writeZeroes, flags: noHole | fastZero, cookie: 3n, length: 4096 });
  rig.request({ command: COMMAND.writeZeroes, cookie: 4n, length: 4096 });
  rig.request({ command: COMMAND.cache, cookie: 5n, length: MIB });
  await rig.settle(); // CACHE lets others work between its pieces.
  await rig.settle();
  assert.equal(rig.answers().length, 5);
  assert.deepEqual(device.calls, [
    'write 0 512 fua',
    'zero 0 4096 fua punch',
    'zero 0 4096 fast',
    'zero 0 4096 punch',
    ...[0, 1, 2, 3].map((piece) => `read ${piece * 256 * KIB} ${256 * KIB}`),
  ]);
});

test('block status covers the range, or its first part when one is asked for', async () => {
  const device = new TestDevice(MIB);
  void device.write(8192, pattern(4096), { fua: false });
  const rig = await opened(device);
  rig.request({ command: COMMAND.blockStatus, cookie: 1n, length: MIB });
  rig.request({
    command: COMMAND.blockStatus,
    flags: COMMAND_FLAG.reqOne,
    cookie: 2n,
    offset: 8193,
    length: MIB - 8193,
  });
  const [all, one] = rig.replies();
  assert.ok(all?.kind === 'chunk' && one?.kind === 'chunk');
  assert.equal(all.payload.toString('hex', 4), '00002000000000030000100000000000000fd00000000003');
  assert.equal(one.payload.toString('hex', 4), '00000fff00000000');
});
