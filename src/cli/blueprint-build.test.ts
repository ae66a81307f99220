import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { removeLeftBuilds } from './blueprint-build.ts';
import { downloadName } from './blueprint-import.ts';

test('what builds that were killed left is removed, and nothing else', async () => {
  const cache = scratchDirectory('builds');
  for (const name of ['apt', 'build-x1', 'build-x2']) {
    mkdirSync(join(cache, name));
    writeFileSync(join(cache, name, 'image.raw'), 'left');
  }
  writeFileSync(join(cache, 'build.lock'), '');
  await removeLeftBuilds(cache);
  assert.deepEqual(readdirSync(cache).toSorted(), ['apt', 'build.lock']);
});

test('a download has a name of ours, whatever the address says', () => {
  const names = new Map([
    ['https://example.org/images/debian-12.qcow2?token=/x.raw', 'download.qcow2'],
    ['https://example.org/disk.tar.xz', 'download.tar.xz'],
    ['https://example.org/Machine.OVA', 'download.OVA'],
    ['https://example.org/', 'download'],
    ['https://example.org/%zz%00', 'download'],
    ['https://example.org/..%2f..%2fetc%2fpasswd', 'download'],
    [`https://example.org/${'a'.repeat(1000)}.raw`, 'download.raw'],
    ['https://example.org/a.b%2f.%2e', 'download'],
  ]);
  for (const [address, name] of names) assert.equal(downloadName(new URL(address)), name, address);
});
