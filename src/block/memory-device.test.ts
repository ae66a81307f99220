import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CheckedDevice } from './checked.ts';
import { type BlockDevice, DeviceError, type Extent } from './device.ts';
import { deviceSuite } from './device.suite.ts';
import { MemoryDevice } from './memory-device.ts';

deviceSuite('memory device', async (sizeBytes) => {
  const device = new MemoryDevice({ sizeBytes });
  return { device, [Symbol.asyncDispose]: () => device[Symbol.asyncDispose]() };
});

test('a read-only device refuses changes', () => {
  const device = new MemoryDevice({ sizeBytes: 4096, readOnly: true });
  assert.throws(
    () => device.write(0, Buffer.alloc(1), { fua: false }),
    new DeviceError('EPERM', 'the device is read-only'),
  );
  assert.throws(() => device.zero(0, 1, { fua: false, punch: true }), DeviceError);
});

test('the checked layer finds a request outside the device, and one after its end', async () => {
  const device = new CheckedDevice(new MemoryDevice({ sizeBytes: 4096 }));
  assert.throws(() => device.read(4000, Buffer.alloc(97)), /inside the device/);
  assert.throws(() => device.write(-1, Buffer.alloc(1), { fua: false }), /offset is a whole number/);
  assert.throws(() => device.zero(0, 1.5, { fua: false, punch: false }), /length is a whole number/);
  await device[Symbol.asyncDispose]();
  assert.throws(() => device.read(0, Buffer.alloc(1)), /not used after/);
});

test('the checked layer finds a write to a read-only device', () => {
  const device = new CheckedDevice(new MemoryDevice({ sizeBytes: 4096, readOnly: true }));
  assert.throws(() => device.write(0, Buffer.alloc(1), { fua: false }), /read-only device is not changed/);
});

test('the checked layer finds a buffer that is changed while it is lent', async () => {
  const written = Promise.withResolvers<void>();
  const device = new CheckedDevice(
    Object.assign(new MemoryDevice({ sizeBytes: 4096 }), { write: () => written.promise }),
  );
  const source = Buffer.from([1]);
  const answer = device.write(0, source, { fua: false });
  source[0] = 2;
  written.resolve();
  await assert.rejects(async () => answer, /not changed while it is lent/);
});

test('the checked layer finds extents with a gap, or too few, or not merged', () => {
  const answering = (extents: readonly Extent[]): BlockDevice =>
    new CheckedDevice(Object.assign(new MemoryDevice({ sizeBytes: 4096 }), { extents: () => extents }));
  const zero = { zero: true, hole: true };
  const data = { zero: false, hole: false };
  const gap = answering([
    { offset: 0, length: 1, ...zero },
    { offset: 2, length: 2, ...data },
  ]);
  assert.throws(() => gap.extents(0, 4, 9), /begins where/);
  assert.throws(() => answering([{ offset: 0, length: 1, ...zero }]).extents(0, 4, 9), /cover the range/);
  const split = answering([
    { offset: 0, length: 1, ...zero },
    { offset: 1, length: 3, ...zero },
  ]);
  assert.throws(() => split.extents(0, 4, 9), /merged/);
});
