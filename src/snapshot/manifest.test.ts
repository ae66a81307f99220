import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';

import { DamageError } from '#chunk/errors.ts';
import type { AccountId, RegionName, SnapshotId, VolumeId } from '#domain/ids.ts';

import {
  decodeManifest,
  encodeManifest,
  manifestKey,
  manifestObjectKey,
  parseManifestObjectKey,
  type Manifest,
} from './manifest.ts';

const key = manifestKey(Buffer.alloc(32, 3));
const snapshot = 'snap-00000000000000001' as SnapshotId;
const manifest: Manifest = {
  label: {
    snapshot,
    account: '000000000001' as AccountId,
    region: 'us-east-1' as RegionName,
    volume: 'vol-00000000000000001' as VolumeId,
    sizeBytes: 2 ** 30,
    description: 'line\nbreak, "quotes", ünïcode 🗄',
    startedAtMs: 1_700_000_000_000,
    tags: JSON.parse('{"__proto__":"a","constructor":"b","1":"c"}') as Record<string, string>,
    parent: 'snap-00000002' as SnapshotId,
  },
  completedAtMs: 1_700_000_001_000,
  root: { key: 'ab'.repeat(32), depth: 2, chunkCount: 2048, presentCount: 17 },
  fullBytes: 17 * 524_288,
  changedBytes: 524_288,
  storedBytes: 1234,
};

test('a manifest comes back as it was, whatever its words are', () => {
  const bytes = encodeManifest(key, manifest);
  assert.deepEqual(decodeManifest(key, snapshot, bytes), manifest);
  const first = { ...manifest, label: { ...manifest.label, parent: null, tags: {} } };
  assert.deepEqual(decodeManifest(key, snapshot, encodeManifest(key, first)), first);
});

test('names are there where they were given, and a reader that does not know them reads the rest', () => {
  const named = { ...manifest, label: { ...manifest.label, name: 'before "it"', volumeName: 'disk\n1' } };
  assert.deepEqual(decodeManifest(key, snapshot, encodeManifest(key, named)), named);
  const one = { ...manifest, label: { ...manifest.label, volumeName: '' } };
  assert.deepEqual(decodeManifest(key, snapshot, encodeManifest(key, one)), one);
  // Only members are added: without them the bytes are those of before.
  const line = (bytes: Buffer) => JSON.parse(bytes.toString('utf8').split('\n')[0] ?? '') as Record<string, unknown>;
  const { name, volumeName, ...rest } = line(encodeManifest(key, named));
  assert.deepEqual([name, volumeName], ['before "it"', 'disk\n1']);
  assert.equal(JSON.stringify(rest), JSON.stringify(line(encodeManifest(key, manifest))));
});

test('any one wrong bit, and any cut, is found', () => {
  const bytes = encodeManifest(key, manifest);
  for (let bit = 0; bit < bytes.length * 8; bit += 1) {
    const wrong = Buffer.from(bytes);
    wrong.writeUInt8(wrong.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
    assert.throws(() => decodeManifest(key, snapshot, wrong), DamageError, `bit ${bit}`);
  }
  for (let length = 0; length < bytes.length; length += 1) {
    assert.throws(() => decodeManifest(key, snapshot, bytes.subarray(0, length)), DamageError);
  }
});

test('a manifest of another snapshot, or made with another key, is refused', () => {
  const bytes = encodeManifest(key, manifest);
  assert.throws(() => decodeManifest(key, 'snap-00000002' as SnapshotId, bytes), /another snapshot/);
  assert.throws(() => decodeManifest(manifestKey(Buffer.alloc(32, 4)), snapshot, bytes), DamageError);
});

test('a manifest of a later format is refused by its version', () => {
  const line = `${JSON.stringify({ format: 'varve-manifest', version: 3 })}\n`;
  const mac = createHmac('sha256', key).update(line).digest('hex');
  assert.throws(() => decodeManifest(key, snapshot, Buffer.from(`${line}${mac}\n`)), /of format 3/);
});

test('a snapshot and its object key are one', () => {
  assert.equal(parseManifestObjectKey(manifestObjectKey(snapshot)), snapshot);
  assert.equal(parseManifestObjectKey('snapshots/other'), null);
  assert.equal(parseManifestObjectKey('packs/x'), null);
});
