import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ConfigError } from '#src/config.ts';

import { formatOfName, outputFormat } from './image-format.ts';
import { Words } from './words.ts';

function formatFor(path: string, ...words: readonly string[]): string {
  const { format, note } = outputFormat(new Words('export', words, { format: { type: 'string' } }), path);
  return note === null ? format : `${format}: ${note}`;
}

test('the end of a name tells the format, in either case, and only the end', () => {
  const named = { 'a.raw': 'raw', 'a.IMG': 'raw', 'a.qcow2': 'qcow2', 'a.vhd': 'vhd', 'a.VPC': 'vhd', 'a.vdi': 'vdi' };
  for (const [path, format] of Object.entries(named)) assert.equal(formatOfName(path), format, path);
  for (const path of ['a', 'qcow2', '.qcow2', 'a.qcow2.gz', 'a.qcow2/b', 'a.', 'a.constructor']) {
    assert.equal(formatOfName(path), null, path);
  }
});

test('--format decides, the name proposes, and what may surprise is said', () => {
  assert.equal(formatFor('x.vmdk'), 'vmdk');
  assert.equal(formatFor('x.vhdx', '--format', 'vhdx'), 'vhdx');
  assert.equal(formatFor('x.vhd', '--format', 'vpc'), 'vhd');
  assert.equal(formatFor('-'), 'raw');
  assert.equal(formatFor('-', '--format', 'raw'), 'raw');
  assert.match(formatFor('x.disk'), /^raw: x\.disk is written as a raw image: its name tells no format/);
  assert.match(formatFor('x.qcow2', '--format', 'raw'), /^raw: x\.qcow2 is written as raw, as --format says/);
  assert.equal(formatFor('x.disk', '--format', 'raw'), 'raw');
  assert.throws(() => formatFor('-', '--format', 'qcow2'), ConfigError);
  assert.throws(() => formatFor('x', '--format', 'iso'), /--format is one of raw, qcow2, vmdk, vhd, vpc, vhdx, vdi/);
});
