import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { parseInstanceId } from '#domain/ids.ts';
import { present } from '#base/assert.ts';

import { encodeIso9660, SECTOR_BYTES } from './iso9660.ts';
import { encodeSeed, metaData } from './seed-image.ts';

const instance = present(parseInstanceId('i-0123456789abcdef0'), 'an id');
const scratch = scratchDirectory('seed');

/** A reader of its own, for Rock Ridge's names alone. */
function filesOf(image: Buffer): ReadonlyMap<string, Buffer> {
  const root = image.readUInt32LE(16 * SECTOR_BYTES + 156 + 2) * SECTOR_BYTES;
  assert.equal(image.readUInt32BE(16 * SECTOR_BYTES + 156 + 6) * SECTOR_BYTES, root, 'both byte orders agree');
  const files = new Map<string, Buffer>();
  for (let at = root; (image[at] ?? 0) > 0; at += image[at] ?? 0) {
    const record = image.subarray(at, at + (image[at] ?? 0));
    const nameLength = record[32] ?? 0;
    let field = 33 + nameLength + ((nameLength + 1) % 2);
    while (field + 4 <= record.length && (record[field + 2] ?? 0) > 0) {
      const length = record[field + 2] ?? 0;
      if (record.toString('latin1', field, field + 2) === 'NM') {
        const from = record.readUInt32LE(2) * SECTOR_BYTES;
        const name = record.toString('latin1', field + 5, field + length);
        files.set(name, image.subarray(from, from + record.readUInt32LE(10)));
      }
      field += length;
    }
  }
  return files;
}

test('a seed has the files of NoCloud, under their names, with the bytes of the user data as they were', () => {
  const userData = Buffer.from([0, 255, 10, 13, ...Buffer.from('#!/bin/sh\n'), 0]);
  const image = encodeSeed({ instance, hostName: 'one', publicKeys: [], userData });
  const files = filesOf(image);
  assert.deepEqual([...files.keys()], ['meta-data', 'user-data']);
  assert.equal(String(files.get('meta-data')), `instance-id: ${instance}\nlocal-hostname: one\n`);
  assert.deepEqual(files.get('user-data'), userData);
  assert.ok(image.length >= 0x11000, 'who looks for file systems reads so much');
  assert.equal(
    filesOf(encodeSeed({ instance, hostName: 'one', publicKeys: [], userData: null })).get('user-data')?.length,
    0,
  );
});

test('every size of user data is kept, at the edges of sectors and beyond', () => {
  for (const size of [1, 2047, 2048, 2049, 16_384, 300_000]) {
    const userData = Buffer.alloc(size, 'x');
    const image = encodeSeed({ instance, hostName: 'one', publicKeys: [], userData });
    assert.deepEqual(filesOf(image).get('user-data'), userData);
    assert.equal(image.readUInt32LE(16 * SECTOR_BYTES + 80) * SECTOR_BYTES, image.length);
  }
});

test('nothing in a key becomes another line or key of the meta-data', () => {
  const hostile = 'ssh-ed25519 AAAA ": x\\ {}\tinstance-id: i-0\u0000#';
  const text = metaData({ instance, hostName: 'one', publicKeys: [hostile, 'ssh-rsa BBBB=='], userData: null });
  assert.deepEqual(text.split('\n').slice(2), [
    'public-keys:',
    '  - ssh-ed25519 AAAA x-instance-id-i-0',
    '  - ssh-rsa BBBB==',
    '',
  ]);
  const rejects = (seed: { readonly hostName?: string; readonly publicKeys?: readonly string[] }): void => {
    assert.throws(() => metaData({ instance, hostName: 'one', publicKeys: [], userData: null, ...seed }));
  };
  rejects({ hostName: 'one\nuser-data: x' });
  rejects({ publicKeys: ['ssh-rsa AAAA\nssh-rsa BBBB'] });
  rejects({ publicKeys: ['no-key!'] });
});

test('other readers find the same', (t) => {
  const path = join(scratch, 'seed.iso');
  writeFileSync(path, encodeSeed({ instance, hostName: 'one', publicKeys: [], userData: Buffer.from('hello') }));
  try {
    execFileSync('xorriso', ['-version'], { stdio: 'ignore' });
  } catch (error) {
    if (process.env['VARVE_REQUIRE_CLIENTS'] === '1') throw error;
    t.skip('xorriso is not installed');
    return;
  }
  const out = join(scratch, 'out');
  execFileSync('xorriso', ['-osirrox', 'on', '-indev', path, '-extract', '/', out], { stdio: 'ignore' });
  assert.equal(readFileSync(join(out, 'user-data'), 'utf8'), 'hello');
  assert.match(readFileSync(join(out, 'meta-data'), 'utf8'), /^instance-id: i-0123456789abcdef0\n/);
});

test('an image of names that are not plain is a mistake of ours', () => {
  assert.throws(() => encodeIso9660('a label', []));
  assert.throws(() => encodeIso9660('label', [{ name: '../x', content: new Uint8Array() }]));
});
