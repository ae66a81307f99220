import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { DeviceError } from '#block/device.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { AccountId, VolumeId } from '#domain/ids.ts';

import { VolumeDevice } from './volume-device.ts';

const CHUNK_COUNT = 64;
const ALL = CHUNK_COUNT * CHUNK_BYTES;

/** A volume of which every chunk is written. */
async function full(scope: AsyncDisposableStack): Promise<VolumeDevice> {
  const base = await mkdtemp(join(tmpdir(), 'varve-zero-'));
  scope.defer(() => rm(base, { recursive: true }));
  const path = join(base, 'volume');
  const volume = 'vol-00000001' as VolumeId;
  await VolumeDevice.create(path, { volume, account: '000000000001' as AccountId, sizeBytes: ALL, origin: null });
  const device = scope.use(await VolumeDevice.open(path, { generation: 1, fetchOrigin: async () => null }));
  await device.write(0, Buffer.alloc(ALL, 7), { fua: false });
  return device;
}

async function zeroChunks(device: VolumeDevice): Promise<number> {
  const target = Buffer.alloc(ALL);
  await device.read(0, target);
  return Array.from({ length: CHUNK_COUNT }, (_, index) => target[index * CHUNK_BYTES]).filter((byte) => byte === 0)
    .length;
}

test('zeros that have to be written are written 8 MiB a turn', async () => {
  await using scope = new AsyncDisposableStack();
  const device = await full(scope);
  const zeroing = device.zero(0, ALL, { fua: false, punch: false });
  assert.equal(await zeroChunks(device), 16);
  await zeroing;
  assert.equal(await zeroChunks(device), CHUNK_COUNT);
  assert.equal(device.slotBytes, ALL, 'the space stays');
});

test('a long zero stops between two turns when whoever asked is gone', async () => {
  await using scope = new AsyncDisposableStack();
  const device = await full(scope);
  const gone = new AbortController();
  const zeroing = device.zero(0, ALL, { fua: false, punch: false, signal: gone.signal });
  gone.abort();
  await assert.rejects(async () => zeroing, { errno: 'ESHUTDOWN' });
  assert.equal(await zeroChunks(device), 16);
});

test('a fast zero that would have to write changes nothing and says ENOTSUP', async () => {
  await using scope = new AsyncDisposableStack();
  const device = await full(scope);
  const options = { fua: false, punch: false, fast: true };
  assert.throws(() => device.zero(0, CHUNK_BYTES, options), DeviceError);
  assert.throws(() => device.zero(10, 10, options), { errno: 'ENOTSUP' });
  assert.equal(await zeroChunks(device), 0);
  await device.zero(0, ALL, { ...options, punch: true });
  await device.zero(0, ALL, options);
  assert.equal(await zeroChunks(device), CHUNK_COUNT);
});
