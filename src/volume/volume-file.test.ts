import assert from 'node:assert/strict';
import { test } from 'node:test';

import { crc32c } from '#base/crc32c.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { AccountId, SnapshotId, VolumeId } from '#domain/ids.ts';
import { parseOutpostId } from '#domain/outpost.ts';

import { VolumeHostError } from './host.ts';
import { decodeVolumeRecord, encodeVolumeRecord, type VolumeRecord } from './volume-file.ts';

const RECORD: VolumeRecord = {
  volume: 'vol-00000001' as VolumeId,
  account: '000000000001' as AccountId,
  sizeBytes: 8 * CHUNK_BYTES,
  origin: {
    snapshot: 'snap-00000001' as SnapshotId,
    root: { key: 'ab'.repeat(32), depth: 1, chunkCount: 8, presentCount: 8 },
    chunkCount: 8,
  },
  detached: false,
  hydrationBytesPerSecond: null,
  generation: 3,
  sealedKey: null,
};

test('volume.json is read as it was written', () => {
  assert.deepEqual(decodeVolumeRecord(encodeVolumeRecord(RECORD)), RECORD);
  assert.deepEqual(decodeVolumeRecord(encodeVolumeRecord({ ...RECORD, origin: null })), { ...RECORD, origin: null });
  const encrypted = { ...RECORD, sealedKey: 'QUJD' };
  assert.deepEqual(decodeVolumeRecord(encodeVolumeRecord(encrypted)), encrypted);
  const detached = { ...RECORD, detached: true, hydrationBytesPerSecond: 100 * 1024 ** 2 };
  assert.deepEqual(decodeVolumeRecord(encodeVolumeRecord(detached)), detached);
});

test('a volume that is detached is not read by a program that knows only version 1', () => {
  assert.match(encodeVolumeRecord(RECORD).toString(), /"version": 1,/);
  assert.match(encodeVolumeRecord({ ...RECORD, detached: true }).toString(), /"version": 2,/);
});

test('a volume whose origin is on an Outpost is not read by a program that would look for it in the region', () => {
  const { origin } = RECORD;
  assert.ok(origin !== null);
  const outpost = parseOutpostId('op-0123456789abcdef0') ?? assert.fail();
  const placed = { ...RECORD, origin: { ...origin, root: { ...origin.root, outpost } } };
  for (const record of [placed, { ...placed, detached: true }]) {
    assert.match(encodeVolumeRecord(record).toString(), /"version": 4,/);
    assert.deepEqual(decodeVolumeRecord(encodeVolumeRecord(record)), record);
  }
});

test('no flipped bit and no cut in volume.json goes unnoticed', () => {
  const bytes = encodeVolumeRecord(RECORD);
  for (let bit = 0; bit < bytes.length * 8; bit += 1) {
    const flipped = Buffer.from(bytes);
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.throws(() => decodeVolumeRecord(flipped), VolumeHostError, `bit ${bit}`);
  }
  for (let length = 0; length < bytes.length; length += 1) {
    assert.throws(() => decodeVolumeRecord(bytes.subarray(0, length)), isDamaged, `${length} bytes`);
  }
});

test('an origin that contradicts itself is damage, whatever the checksum says', () => {
  for (const [from, to] of [
    ['"presentCount": 8', '"presentCount": 9'],
    ['"depth": 1', '"depth": 2'],
    ['"key": "ab', '"key": "zz'],
    ['"chunkCount": 8\n  }', '"chunkCount": 0\n  }'],
    ['"detached": false', '"detached": true'],
    ['"hydrationBytesPerSecond": null', '"hydrationBytesPerSecond": 0'],
    [`"sizeBytes": ${8 * CHUNK_BYTES}`, `"sizeBytes": ${8 * CHUNK_BYTES + 1}`],
  ] as const) {
    const text = encodeVolumeRecord(RECORD).toString('utf8');
    assert(text.includes(from), from);
    const body = text.slice(0, text.indexOf(',\n  "crc32c"')).replace(from, to);
    const crc = crc32c(Buffer.from(body)).toString(16).padStart(8, '0');
    assert.throws(() => decodeVolumeRecord(Buffer.from(`${body},\n  "crc32c": "${crc}"\n}\n`)), isDamaged, to);
  }
});

function isDamaged(error: unknown): boolean {
  return error instanceof VolumeHostError && error.kind === 'damaged';
}
