import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';

import { crc32c } from '#base/crc32c.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { BLOCK_BYTES, CHUNK_BYTES } from '#domain/geometry.ts';
import type { AccountId, CutId, VolumeId } from '#domain/ids.ts';

import { VolumeHostError } from './host.ts';
import type { LogRecord } from './log-record.ts';
import { LOG_HEADER_BYTES, LogReader } from './map-log.ts';
import { VolumeDevice } from './volume-device.ts';
import { VolumeDirectory } from './volume-directory.ts';
import { nodeVolumeFiles } from './volume-files.ts';

const volume = 'vol-00000000000000001' as VolumeId;
const account = '000000000001' as AccountId;
const CHUNKS = 4;
const FLUSHED = { fua: true };

function versionOf(path: string, name: string): number {
  return readFileSync(join(path, name)).readUInt32LE(8);
}

/** As another program would have written it. */
function makeLogOfVersion(path: string, version: number): void {
  const log = readFileSync(join(path, 'log.1'));
  log.writeUInt32LE(version, 8);
  let crc = seal(log, 0, LOG_HEADER_BYTES, 0);
  for (let at = LOG_HEADER_BYTES; at < log.length && log[at] !== 0;) {
    const end = at + log.readUInt16LE(at + 2);
    crc = seal(log, at, end, crc);
    at = end;
  }
  writeFileSync(join(path, 'log.1'), log);
}

function makeMapOfVersion(path: string, version: number): void {
  const map = readFileSync(join(path, 'map.1'));
  map.writeUInt32LE(version, 8);
  const headerEnd = map.readUInt32LE(40);
  const seed = seal(map, 0, headerEnd, 0);
  for (let at = headerEnd; at < map.length;) {
    const end = at + 16 + map.readUInt32LE(at + 12) * 4 + 4;
    seal(map, at, end, seed);
    at = end;
  }
  writeFileSync(join(path, 'map.1'), map);
}

/** Puts the CRC of [at, end) into its last four bytes. */
function seal(bytes: Buffer, at: number, end: number, before: number): number {
  const crc = crc32c(bytes.subarray(at, end - 4), before);
  bytes.writeUInt32LE(crc, end - 4);
  return crc;
}

function recordsOf(path: string, number: number): readonly LogRecord[] {
  const identity = new VolumeDirectory(nodeVolumeFiles, path, volume).identity(number);
  const reader = LogReader.of(readFileSync(join(path, `log.${number}`)), identity);
  assert.ok(reader !== null);
  const records: LogRecord[] = [];
  for (let record = reader.next(); record !== null; record = reader.next()) records.push(record);
  return records;
}

async function create(): Promise<string> {
  const path = join(scratchDirectory('format-versions'), volume);
  await VolumeDevice.create(path, { volume, account, sizeBytes: CHUNKS * CHUNK_BYTES, origin: null });
  return path;
}

async function open(path: string, generation: number): Promise<VolumeDevice> {
  return await VolumeDevice.open(path, { generation, fetchOrigin: async () => null });
}

/** All chunks hold ones, and a cut needs them. */
async function fill(device: VolumeDevice): Promise<void> {
  await device.write(0, Buffer.alloc(CHUNKS * CHUNK_BYTES, 1), FLUSHED);
  await device.beginCut('cut' as CutId).durable;
}

async function contentOf(device: VolumeDevice): Promise<readonly number[]> {
  const bytes = Buffer.alloc(CHUNKS * CHUNK_BYTES);
  await device.read(0, bytes);
  return Array.from({ length: CHUNKS }, (_, chunk) => bytes.readUInt8(chunk * CHUNK_BYTES));
}

test('files that may name partial slots are of a version that a program without them refuses', async () => {
  const path = await create();
  const device = await open(path, 1);
  await fill(device);
  await device.write(0, Buffer.alloc(BLOCK_BYTES, 2), FLUSHED);
  await device.close();
  assert.ok(recordsOf(path, 1).some(({ kind }) => kind === 'part'));
  assert.deepEqual([versionOf(path, 'log.1'), versionOf(path, 'map.1')], [2, 2]);
});

test('a log of the first version gets no partial slots; the volume soon has files of the second', async () => {
  const path = await create();
  const old = await open(path, 1);
  await fill(old);
  await old.close();
  // As a program that knows no partial slots leaves them.
  makeLogOfVersion(path, 1);
  makeMapOfVersion(path, 1);

  const device = await open(path, 2);
  assert.equal(versionOf(path, 'log.1'), 1);
  await device.write(0, Buffer.alloc(BLOCK_BYTES, 2), FLUSHED);
  assert.ok(recordsOf(path, 1).every(({ kind }) => kind !== 'part'));
  for (let tries = 0; !existsSync(join(path, 'map.2')) && tries < 100; tries += 1) await setTimeout(20);
  assert.deepEqual([versionOf(path, 'log.2'), versionOf(path, 'map.2')], [2, 2]);
  await device.write(CHUNK_BYTES, Buffer.alloc(BLOCK_BYTES, 3), FLUSHED);
  assert.ok(recordsOf(path, 2).some(({ kind }) => kind === 'part'));
  await device.close();

  const again = await open(path, 3);
  assert.deepEqual(await contentOf(again), [2, 3, 1, 1]);
  await again.close();
});

test('files of a newer program are refused, and are not called damaged', async () => {
  for (const make of [makeLogOfVersion, makeMapOfVersion]) {
    const path = await create();
    make(path, 3);
    await assert.rejects(
      open(path, 1),
      (error) =>
        error instanceof VolumeHostError &&
        error.kind === 'internal' &&
        /has version 3; this program/.test(error.message),
    );
  }
});
