import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';

import { SeededRandom } from '#base/random.ts';
import { DeviceError, type DeviceErrno } from '#block/device.ts';
import { BLOCK_BYTES, CHUNK_BYTES } from '#domain/geometry.ts';
import type { AccountId, CutId, VolumeId } from '#domain/ids.ts';

import { FragileFiles } from './fragile-files.fake.ts';
import { VolumeHostError } from './host.ts';
import { VolumeDevice, type VolumeDeviceOptions } from './volume-device.ts';
import type { VolumeFile } from './volume-files.ts';
import { decodeVolumeRecord, encodeVolumeRecord } from './volume-file.ts';

const PATH = '/volume';
const NO_FUA = { fua: false };
const PUNCH = { fua: false, punch: true };
/** Rotates after some tens of records. */
const SMALL = { logBytesMin: 2_000, logBytesMax: 2_000, uncommittedBytesMax: 1_000 };

class Scene {
  readonly files: FragileFiles;
  readonly troubles: unknown[] = [];
  bootId = 'boot-1';

  constructor(seed = 1) {
    this.files = new FragileFiles(new SeededRandom(seed));
  }

  async create(): Promise<void> {
    await VolumeDevice.create(
      PATH,
      {
        volume: 'vol-00000001' as VolumeId,
        account: '000000000001' as AccountId,
        sizeBytes: 64 * CHUNK_BYTES,
        origin: null,
      },
      this.files.process(),
    );
  }

  open(options: Partial<VolumeDeviceOptions> = {}): Promise<VolumeDevice> {
    return VolumeDevice.open(PATH, {
      generation: 1,
      bootId: this.bootId,
      files: this.files.process(),
      fetchOrigin: async () => null,
      onTrouble: (error) => this.troubles.push(error),
      ...options,
    });
  }

  /** The process is killed; the next one starts. */
  kill(): void {
    this.files.restart({ powerLost: false });
  }

  losePower(options: { readonly onlyRemovals?: boolean } = {}): void {
    this.files.restart({ powerLost: true, ...options });
    this.bootId = `${this.bootId}'`;
  }

  async names(): Promise<readonly string[]> {
    return (await this.files.process().list(PATH)).toSorted();
  }
}

async function made(): Promise<{ readonly scene: Scene; readonly device: VolumeDevice }> {
  const scene = new Scene();
  scene.files.blocksMax = Number.MAX_SAFE_INTEGER; // Count them.
  await scene.create();
  return { scene, device: await scene.open() };
}

function chunkOf(byte: number): Buffer {
  return Buffer.alloc(CHUNK_BYTES, byte);
}

async function byteAt(device: VolumeDevice, chunk: number): Promise<number | undefined> {
  const target = Buffer.alloc(1);
  await device.read(chunk * CHUNK_BYTES + 77, target);
  return target[0];
}

function isErrno(errno: DeviceErrno): (error: unknown) => boolean {
  return (error) => error instanceof DeviceError && error.errno === errno;
}

function isDamaged(pattern: RegExp): (error: unknown) => boolean {
  return (error) => error instanceof VolumeHostError && error.kind === 'damaged' && pattern.test(error.message);
}

test('a killed process loses nothing that was acknowledged', async () => {
  const { scene, device } = await made();
  await device.write(0, chunkOf(1), NO_FUA);
  await device.write(CHUNK_BYTES, chunkOf(2), NO_FUA);
  await device.zero(0, CHUNK_BYTES, PUNCH);
  void device.beginCut('a' as CutId).durable.catch(() => {});
  scene.kill();
  const again = await scene.open();
  assert.deepEqual([await byteAt(again, 0), await byteAt(again, 1)], [0, 2]);
  assert.deepEqual(again.cuts(), [{ cut: 'a', epoch: 1 }]);
});

test('a loss of power takes what no flush covers, and nothing else', async () => {
  const { scene, device } = await made();
  await device.write(0, chunkOf(1), NO_FUA);
  await device.flush();
  await device.write(CHUNK_BYTES, chunkOf(2), NO_FUA);
  void device.beginCut('a' as CutId).durable.catch(() => {});
  scene.losePower();
  const again = await scene.open();
  assert.deepEqual([await byteAt(again, 0), await byteAt(again, 1)], [1, 0]);
  assert.deepEqual(again.cuts(), []);
  assert.equal(again.slotBytes, CHUNK_BYTES);
});

test('records that a loss of power made void stay void, whatever ends the next process', async () => {
  const { scene, device } = await made();
  await device.flush();
  await device.write(CHUNK_BYTES, chunkOf(2), NO_FUA);
  // The record reached the disk; whether its data did cannot be known.
  scene.kill();
  scene.bootId = 'boot-2';
  assert.equal(await byteAt(await scene.open(), 1), 0);
  scene.kill();
  assert.equal(await byteAt(await scene.open(), 1), 0);
  scene.losePower();
  assert.equal(await byteAt(await scene.open(), 1), 0);
});

test('a flush without new records syncs the data alone, and one without writes nothing', async () => {
  const { scene, device } = await made();
  await device.write(0, chunkOf(1), NO_FUA);
  await device.flush();
  const before = scene.files.syncCount;
  await device.write(5, Buffer.from([1]), NO_FUA);
  await device.flush();
  assert.equal(scene.files.syncCount, before + 1);
  await device.flush();
  assert.equal(scene.files.syncCount, before + 1);
});

test('flushes that come while one runs share the next', async () => {
  const { scene, device } = await made();
  await device.write(0, chunkOf(1), NO_FUA);
  const before = scene.files.syncCount;
  const first = device.flush();
  await device.write(CHUNK_BYTES, chunkOf(1), NO_FUA);
  await Promise.all([first, device.flush(), device.flush(), device.flush()]);
  assert.equal(scene.files.syncCount, before + 4, 'data and log, twice');
});

test('a full disk is ENOSPC to who needs space; others go on, and so does everybody when there is space again', async () => {
  const { scene, device } = await made();
  await device.write(0, chunkOf(1), NO_FUA);
  await device.flush();
  scene.files.blocksMax = 0;
  assert.throws(() => device.write(CHUNK_BYTES, chunkOf(2), NO_FUA), isErrno('ENOSPC'));
  assert.equal(await byteAt(device, 1), 0);
  assert.equal(device.slotBytes, CHUNK_BYTES);
  assert.equal(await byteAt(device, 0), 1);
  await device.write(0, chunkOf(1), { fua: true });
  scene.files.blocksMax = Infinity;
  await device.write(CHUNK_BYTES, chunkOf(2), NO_FUA);
  await device.flush();
  scene.kill();
  assert.equal(await byteAt(await scene.open(), 1), 2);
});

test('a record that cannot be appended changes nothing', async () => {
  const { scene, device } = await made();
  for (const code of ['ENOSPC', 'EIO'] as const) {
    scene.files.failNext = { kind: 'write', path: /log/, code };
    assert.throws(() => device.write(0, chunkOf(1), NO_FUA), isErrno(code));
    assert.equal(await byteAt(device, 0), 0);
    scene.files.failNext = { kind: 'write', path: /log/, code };
    assert.throws(() => device.beginCut('a' as CutId), isErrno(code));
    assert.deepEqual(device.cuts(), []);
    assert.equal(device.epoch, 1);
  }
  await device.write(0, chunkOf(3), NO_FUA);
  scene.kill();
  assert.equal(await byteAt(await scene.open(), 0), 3);
});

test('a commit that cannot be appended fails the flush, not the volume', async () => {
  const { scene, device } = await made();
  await device.write(0, chunkOf(1), NO_FUA);
  scene.files.failNext = { kind: 'write', path: /log/, code: 'ENOSPC' };
  await assert.rejects(device.flush(), isErrno('ENOSPC'));
  await device.flush();
  scene.losePower();
  assert.equal(await byteAt(await scene.open(), 0), 1);
});

test('an end of the data file that could not be cut off is not taken for zeros', async () => {
  const { scene, device } = await made();
  for (let index = 0; index < 4; index += 1) await device.write(index * CHUNK_BYTES, chunkOf(7), NO_FUA);
  await device.zero(0, 4 * CHUNK_BYTES, { fua: true, punch: true });
  scene.files.failNext = { kind: 'truncate', path: /data/, code: 'EIO' };
  await assert.rejects(device.compact(), isErrno('EIO'));
  for (let index = 0; index < 4; index += 1) {
    await device.write(index * CHUNK_BYTES, Buffer.from('x'), NO_FUA);
    assert.equal(await byteAt(device, index), 0);
  }
  assert.equal(device.slotBytes, 4 * CHUNK_BYTES);
  await device.close();
});

test('what moves was read by another thread before, so that a disk holds nobody up', async () => {
  const scene = new Scene();
  await scene.create();
  const files = scene.files.process();
  const reads: string[] = [];
  const told = (path: string, file: VolumeFile): VolumeFile => ({
    ...file,
    read: (target, start, length, position) => {
      if (path.endsWith('data')) reads.push(`at once ${position / CHUNK_BYTES}`);
      return file.read(target, start, length, position);
    },
    readLater: (target, start, length, position) => {
      reads.push(`later ${position / CHUNK_BYTES}`);
      return file.readLater(target, start, length, position);
    },
  });
  const device = await scene.open({ files: { ...files, open: (path, mode) => told(path, files.open(path, mode)) } });
  for (let index = 0; index < 4; index += 1) await device.write(index * CHUNK_BYTES, chunkOf(index), NO_FUA);
  await device.zero(0, 2 * CHUNK_BYTES, { fua: true, punch: true });
  await device.compact();
  assert.deepEqual(reads, ['later 2', 'at once 2', 'later 3', 'at once 3']);
  assert.deepEqual([await byteAt(device, 2), await byteAt(device, 3)], [2, 3]);
  await device.close();
});

test('a full disk leaves room to commit and to release', async () => {
  const { scene, device } = await made();
  for (let index = 0; index < 4; index += 1) await device.write(index * CHUNK_BYTES, chunkOf(1), NO_FUA);
  await device.beginCut('a' as CutId).durable;
  for (let index = 0; index < 4; index += 1) await device.write(index * CHUNK_BYTES, chunkOf(2), NO_FUA);
  scene.files.blocksMax = 0;
  await device.flush();
  await device.release('a' as CutId);
  assert.equal(device.slotBytes, 4 * CHUNK_BYTES);
});

for (const path of ['data', 'log.1']) {
  test(`when a sync of ${path} fails, the volume is EIO until it is opened again`, async () => {
    const { scene, device } = await made();
    await device.write(0, chunkOf(1), NO_FUA);
    scene.files.failNext = { kind: 'sync', path: new RegExp(path), code: 'EIO' };
    const [first, second] = await Promise.allSettled([device.flush(), device.flush()]);
    assert(first.status === 'rejected' && isErrno('EIO')(first.reason));
    assert(second.status === 'rejected' && isErrno('EIO')(second.reason));
    await assert.rejects(async () => device.read(0, Buffer.alloc(1)), isErrno('EIO'));
    await assert.rejects(async () => device.write(0, Buffer.alloc(1), NO_FUA), isErrno('EIO'));
    assert.throws(() => device.beginCut('a' as CutId), isErrno('EIO'));
    await device.close();
    scene.kill();
    // The data was not synced, so the record that points to it does not count; or it was, and the COMMIT does.
    const expected = path === 'data' ? 0 : 1;
    const again = await scene.open();
    assert.equal(await byteAt(again, 0), expected);
    await again.flush();
    scene.losePower();
    assert.equal(await byteAt(await scene.open(), 0), expected);
  });
}

test('what a volume shows and flushes after a failed sync is on the disk, also what was written in place', async () => {
  for (const path of [/data/, /log/]) {
    const { scene, device } = await made();
    await device.write(0, chunkOf(1), { fua: true });
    await device.write(0, chunkOf(2), NO_FUA);
    await device.write(CHUNK_BYTES, chunkOf(3), NO_FUA);
    scene.files.failNext = { kind: 'sync', path, code: 'EIO' };
    await assert.rejects(device.flush(), isErrno('EIO'));
    scene.kill();
    const again = await scene.open();
    await again.write(2 * CHUNK_BYTES, chunkOf(4), { fua: true });
    const shown = await Promise.all([0, 1, 2].map((chunk) => byteAt(again, chunk)));
    scene.losePower();
    const last = await scene.open();
    assert.deepEqual(await Promise.all([0, 1, 2].map((chunk) => byteAt(last, chunk))), shown);
    assert.equal(shown[2], 4);
  }
});

test('a failed sync never shows what a slot held before, and is forgotten when the volume was opened', async () => {
  const { scene, device } = await made();
  await device.write(0, chunkOf(0xaa), { fua: true });
  await device.zero(0, CHUNK_BYTES, { fua: true, punch: true });
  await device.write(CHUNK_BYTES, chunkOf(0xbb), NO_FUA);
  scene.files.failNext = { kind: 'sync', path: /data/, code: 'EIO' };
  await assert.rejects(device.flush(), isErrno('EIO'));
  assert((await scene.names()).includes('sync-failed'));
  scene.kill();
  scene.files.failNext = { kind: 'sync', path: /data/, code: 'EIO' };
  await assert.rejects(scene.open(), isErrno('EIO'));
  assert((await scene.names()).includes('sync-failed'));
  const again = await scene.open();
  await again.flush();
  assert(!(await scene.names()).includes('sync-failed'));
  await again.write(2 * CHUNK_BYTES, chunkOf(5), NO_FUA);
  scene.kill();
  assert.equal(await byteAt(await scene.open(), 2), 5);
  scene.losePower();
  assert.equal(await byteAt(await scene.open(), 1), 0);
});

test('the log stays small, and the directory holds one checkpoint and one log', async () => {
  const scene = new Scene();
  await scene.create();
  const device = await scene.open({ limits: SMALL });
  for (let round = 0; round < 300; round += 1) {
    await device.write((round % 64) * CHUNK_BYTES, Buffer.alloc(BLOCK_BYTES, round), NO_FUA);
    const { durable } = device.beginCut(`cut-${round}` as CutId);
    if (round % 7 === 0) await durable;
    await device.release(`cut-${round}` as CutId);
  }
  await device.close();
  const names = await scene.names();
  assert.equal(names.length, 4);
  const [, log = '', map = ''] = names;
  const number = Number(log.slice(4));
  assert(number > 10, 'it was rotated');
  assert.deepEqual(names, ['data', `log.${number}`, `map.${number}`, 'volume.json']);
  assert(scene.files.content(`${PATH}/${log}`).length < 200_000);
  assert(map.length > 0);
  assert.deepEqual(scene.troubles, []);
  const again = await scene.open();
  assert.equal(again.epoch, 301);
  for (let chunk = 0; chunk < 64; chunk += 1) {
    const target = Buffer.alloc(1);
    await again.read(chunk * CHUNK_BYTES, target);
    assert.equal(target[0], (chunk + 64 * Math.floor((299 - chunk) / 64)) % 256);
  }
});

test('a rotation that ends in silence survives a loss of power', async () => {
  for (let seed = 1; seed <= 16; seed += 1) {
    const scene = new Scene(seed);
    await scene.create();
    const device = await scene.open({ limits: SMALL });
    let chunk = 0;
    while (!(await scene.names()).includes('log.2')) {
      await device.write(chunk * CHUNK_BYTES, Buffer.alloc(BLOCK_BYTES, chunk + 1), { fua: true });
      chunk += 1;
    }
    // Nothing more is asked of the volume; the rotation goes on by itself.
    while (!(await scene.names()).includes('map.2')) await setImmediate();
    for (let turn = seed % 4; turn > 0; turn -= 1) await setImmediate();
    scene.losePower();
    const again = await scene.open();
    for (let index = 0; index < chunk; index += 1) assert.equal(await byteAt(again, index), index + 1);
  }
});

test('every operation may be the last of its process, and power may go after the next one has begun', async () => {
  let crashes = 0;
  for (let run = 0; ; run += 1) {
    const step = 1 + Math.floor(run / 2);
    const scene = new Scene(run);
    await scene.create();
    const flushed = await untilCrash(scene, step);
    if (!scene.files.isCrashed) break;
    crashes += 1;
    scene.kill();
    await scene.open({ limits: ROTATING });
    scene.losePower({ onlyRemovals: run % 2 === 0 });
    const again = await scene.open({ limits: ROTATING });
    for (let chunk = 0; chunk < flushed; chunk += 1) assert.equal(await byteAt(again, chunk), chunk + 1, `run ${run}`);
    await again.close();
  }
  assert(crashes > 100, 'there were two rotations');
});

/** Rotates after every few records. */
const ROTATING = { logBytesMin: 300, logBytesMax: 300, uncommittedBytesMax: 1_000 };

/** Writes chunks until the process dies; answers how many were flushed. */
async function untilCrash(scene: Scene, step: number): Promise<number> {
  const device = await scene.open({ limits: ROTATING });
  scene.files.crashAfter = step;
  let chunk = 0;
  try {
    for (; chunk < 10; chunk += 1) {
      await device.write(chunk * CHUNK_BYTES, Buffer.alloc(BLOCK_BYTES, chunk + 1), { fua: true });
      for (let turn = 0; turn < 5; turn += 1) await setImmediate();
    }
  } catch (error) {
    if (!(error instanceof DeviceError)) throw error;
  }
  return chunk;
}

test('a rotation that fails is told, tried again, and harms nobody', async () => {
  const scene = new Scene();
  await scene.create();
  const device = await scene.open({ limits: SMALL });
  for (let round = 0; round < 400; round += 1) {
    if (round === 60 || round === 150) scene.files.failNext = { kind: 'write', path: /map\..*tmp/, code: 'ENOSPC' };
    await device.write((round % 64) * CHUNK_BYTES, chunkOf(round % 256), NO_FUA);
    if (round % 9 === 0) await device.beginCut(`cut-${round}` as CutId).durable;
    if (round % 9 === 5) await device.release(`cut-${round - 5}` as CutId);
    await setImmediate();
  }
  assert(scene.troubles.length > 0);
  scene.kill();
  const again = await scene.open();
  assert.equal(again.epoch, device.epoch);
  for (let chunk = 0; chunk < 64; chunk += 1) assert.equal(await byteAt(again, chunk), await lastRound(chunk));
  await again.close();
  async function lastRound(chunk: number): Promise<number> {
    return (chunk + 64 * Math.floor((399 - chunk) / 64)) % 256;
  }
});

/** A volume that was used, cut and closed; then one byte of a file is not what it was. */
async function damagedAt(path: string, position: (bytes: Buffer) => number): Promise<Scene> {
  const { scene, device } = await made();
  for (let index = 0; index < 9; index += 1) {
    await device.write(index * CHUNK_BYTES, chunkOf(index), NO_FUA);
    await device.flush();
  }
  await device.close();
  scene.files.damage(`${PATH}/${path}`, position(scene.files.content(`${PATH}/${path}`)), (byte) => byte ^ 0x10);
  return scene;
}

test('a flipped bit in a log is damage, on the same boot and after a loss of power', async () => {
  for (const position of [3, 40, 100, 200, 300]) {
    const scene = await damagedAt('log.1', () => position);
    await assert.rejects(scene.open(), isDamaged(/log\.1/), `at ${position}`);
    scene.bootId = 'boot-2';
    await assert.rejects(scene.open(), isDamaged(/log\.1/), `at ${position}, after a loss of power`);
  }
});

test('a flipped bit in a checkpoint is damage', async () => {
  for (const position of [3, 20, 45, 50, 70]) {
    const scene = await damagedAt('map.1', () => position);
    await assert.rejects(scene.open(), (error) => error instanceof VolumeHostError, `at ${position}`);
  }
});

test('a data file that was cut off is damage', async () => {
  const { scene, device } = await made();
  await device.write(0, chunkOf(1), NO_FUA);
  await device.write(CHUNK_BYTES, chunkOf(1), NO_FUA);
  await device.close();
  const file = scene.files.process().open(`${PATH}/data`, 'existing');
  file.truncate(CHUNK_BYTES);
  await assert.rejects(scene.open(), isDamaged(/slot 1/));
});

test('a torn end of the log is cut off', async () => {
  const { scene, device } = await made();
  await device.write(0, chunkOf(1), NO_FUA);
  await device.flush();
  const { length } = trimmed(scene.files.content(`${PATH}/log.1`));
  await device.write(CHUNK_BYTES, chunkOf(2), NO_FUA);
  scene.files.damage(`${PATH}/log.1`, length + 12, () => 0xaa);
  scene.kill();
  const again = await scene.open();
  assert.deepEqual([await byteAt(again, 0), await byteAt(again, 1)], [1, 0]);
});

/** Without the zeros at the end. */
function trimmed(bytes: Buffer): Buffer {
  let { length } = bytes;
  while (length > 0 && bytes[length - 1] === 0) length -= 1;
  return bytes.subarray(0, Math.ceil(length / 8) * 8);
}

test('the files of another volume are not taken for its own', async () => {
  const { scene, device } = await made();
  await device.close();
  const path = `${PATH}/volume.json`;
  const record = decodeVolumeRecord(scene.files.content(path));
  const other = encodeVolumeRecord({ ...record, volume: 'vol-00000002' as VolumeId });
  for (const [position, byte] of other.entries()) scene.files.damage(path, position, () => byte);
  await assert.rejects(scene.open(), isDamaged(/something else/));
});
