import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { cpioArchive, DIRECTORY, FILE, LINK, PROGRAM } from './cpio.ts';
import { parseList, parseSources, sourceLines } from './debian-mirror.ts';
import { elfNeeds } from './elf.ts';
import { loadOrder, moduleDepends } from './kernel-modules.ts';
import { BlueprintError, runTool } from './tool.ts';

const scratch = scratchDirectory('blueprint');
const AWK = join(import.meta.dirname, 'guest/cloud-config.awk');

test('apt sources are read in both forms', () => {
  const list = parseList(
    '# deb http://no/ x main\ndeb [arch=amd64 signed-by=/a b] http://a/debian bookworm main contrib # end\ndeb-src http://a/ bookworm main\n',
  );
  assert.deepEqual(list, [{ uri: 'http://a/debian', suite: 'bookworm', components: ['main', 'contrib'] }]);
  const sources = parseSources(
    'Types: deb deb-src\n# a comment\nURIs: http://b/debian\n http://c/debian\nSuites: bookworm bookworm-updates\nComponents: main\n\nEnabled: no\nTypes: deb\nURIs: http://d\nSuites: bookworm\nComponents: main\n',
  );
  assert.deepEqual(
    sources.map(({ uri, suite }) => `${uri} ${suite}`),
    [
      'http://b/debian bookworm',
      'http://b/debian bookworm-updates',
      'http://c/debian bookworm',
      'http://c/debian bookworm-updates',
    ],
  );
});

test('packages come from where the machine has them, or from a mirror that is named', () => {
  const uris = (lines: readonly string[]): readonly string[] => lines.map((line) => line.split(' ')[2] ?? '');
  const main = ['main'];
  const machine = [
    { uri: 'http://a/debian', suite: 'bookworm', components: main },
    { uri: 'http://s/debian-security', suite: 'bookworm-security', components: main },
    { uri: 'http://other', suite: 'bookworm-updates', components: ['contrib'] },
  ];
  const security = 'http://s/debian-security';
  assert.deepEqual(uris(sourceLines(machine, null)), ['http://a/debian', 'http://a/debian', security]);
  assert.deepEqual(uris(sourceLines(machine, 'http://m/d')), ['http://m/d', 'http://m/d', security]);
  assert.deepEqual(uris(sourceLines([], 'http://m/debian/')), [
    'http://m/debian/',
    'http://m/debian/',
    'http://m/debian-security',
  ]);
  assert.throws(() => sourceLines([], null), /--mirror URL/);
});

test('modules are loaded after what they need, each once', () => {
  const depends = new Map<string, readonly string[]>([
    ['virtio_pci', ['virtio_ring', 'virtio']],
    ['virtio_blk', ['virtio', 'virtio_ring']],
    ['virtio', ['virtio_ring']],
    ['virtio_ring', []],
    ['a', ['b']],
    ['b', ['a']],
  ]);
  const dependsOf = (name: string): readonly string[] | null => depends.get(name) ?? null;
  assert.deepEqual(loadOrder(['virtio-blk', 'virtio_pci'], dependsOf), [
    'virtio_ring',
    'virtio',
    'virtio_blk',
    'virtio_pci',
  ]);
  assert.throws(() => loadOrder(['a'], dependsOf), /needs itself/);
  assert.throws(() => loadOrder(['c'], dependsOf), /no module c/);
  assert.deepEqual(moduleDepends(Buffer.from('x\0license=GPL\0depends=virtio_ring,virtio\0name=a\0')), [
    'virtio_ring',
    'virtio',
  ]);
  assert.deepEqual(moduleDepends(Buffer.from('x\0depends=\0name=a\0')), []);
});

test('what a program needs is read from the program itself', () => {
  // Node itself is a program with libraries and a loader on every Linux that these tests run on.
  const needs = elfNeeds(readFileSync(process.execPath));
  assert.ok(needs !== null && needs.libraries.includes('libc.so.6'));
  assert.match(needs.loader ?? '', /^\/lib.*\/ld-linux/);
  assert.equal(elfNeeds(Buffer.from('#!/bin/sh\n'.repeat(20))), null);
  assert.equal(elfNeeds(Buffer.alloc(3)), null);
});

test('an archive holds what was put into it', () => {
  const archive = cpioArchive([
    { path: 'bin', mode: DIRECTORY, content: Buffer.alloc(0) },
    { path: 'bin/a', mode: PROGRAM, content: Buffer.from('12345') },
    { path: 'b', mode: FILE, content: Buffer.alloc(0) },
    { path: 'c', mode: LINK, content: Buffer.from('bin/a') },
  ]);
  const path = join(scratch, 'archive');
  writeFileSync(path, archive);
  const reader = `
import sys
bytes = open(sys.argv[1], 'rb').read()
at = 0
while True:
    assert bytes[at:at + 6] == b'070701'
    fields = [int(bytes[at + 6 + 8 * n:at + 14 + 8 * n], 16) for n in range(13)]
    name = bytes[at + 110:at + 109 + fields[11]].decode()
    at = (at + 110 + fields[11] + 3) // 4 * 4
    content = bytes[at:at + fields[6]].decode()
    at = (at + fields[6] + 3) // 4 * 4
    if name == 'TRAILER!!!': break
    print(name, oct(fields[1]), content)
assert at == len(bytes)
`;
  const read = spawnSync('python3', ['-c', reader, path], { encoding: 'utf8' });
  assert.equal(read.stderr, '');
  assert.equal(read.stdout, 'bin 0o40755 \nbin/a 0o100755 12345\nb 0o100644 \nc 0o120777 bin/a\n');
});

test('a program that is not there, or fails, says what to do', async () => {
  await assert.rejects(runTool('sh', ['-c', 'echo why >&2; exit 3']), (error: unknown) => {
    assert.ok(error instanceof BlueprintError);
    assert.match(error.message, /exit 3.*why/);
    return true;
  });
  await assert.rejects(runTool('mmdebstrap', [], { env: { PATH: '/nowhere' } }), /apt-get install .* mmdebstrap/);
  assert.equal(await runTool('cat', [], { input: 'in' }), 'in');
});

/** Runs the script that the guest would, of a cloud-config, in a directory that stands for its root. */
function applied(config: string): { readonly root: string; readonly script: string } {
  const root = mkdtempSync(join(scratch, 'guest-'));
  const made = spawnSync('awk', ['-f', AWK], { input: config.replaceAll('ROOT', root), encoding: 'utf8' });
  assert.equal(made.stderr, '');
  const ran = spawnSync('sh', ['-e'], { input: made.stdout, encoding: 'utf8', cwd: root });
  assert.equal(ran.status, 0, `${made.stdout}\n${ran.stderr}`);
  return { root, script: made.stdout };
}

test('a cloud-config is done by the guest: files and commands, in every way of writing them', () => {
  const { root } = applied(`#cloud-config
# a comment
write_files:
  - path: ROOT/d/it's
    permissions: '0640'
    content: |
      first
        indented "and" 'quoted' \\n

      last
  - content: aGkK
    encoding: b64
    path: "ROOT/b64"
  - path: ROOT/d/it's
    append: true
    content: more
runcmd:
  - echo one > ROOT/one   # said
  - [ sh, -c, "printf '%s, %s' \\"a b\\" c > ROOT/two" ]
  - |
    if true; then
      echo three > ROOT/three
    fi
- 'echo ''four'' > ROOT/four'
`);
  const read = (name: string): string => readFileSync(join(root, name), 'utf8');
  assert.equal(read("d/it's"), 'first\n  indented "and" \'quoted\' \\n\n\nlast\nmore');
  assert.equal(read('b64'), 'hi\n');
  assert.equal(read('one'), 'one\n');
  assert.equal(read('two'), 'a b, c');
  assert.equal(read('three'), 'three\n');
  assert.equal(read('four'), 'four\n');
});

test('what the guest does not know of a cloud-config it says, and nothing of it runs', () => {
  const made = spawnSync('awk', ['-f', AWK], {
    input: '#cloud-config\npackages:\n  - vim\n  - touch x\nruncmd:\n  - true\n',
    encoding: 'utf8',
  });
  assert.match(made.stdout, /echo 'tiny-init: cloud-config: packages is not known here'/);
  assert.doesNotMatch(made.stdout, /vim|touch/);
});

test('the letter of a disk is where it is plugged in', () => {
  const letterOf = (path: string): string => {
    const { status, stdout } = spawnSync('sh', [join(import.meta.dirname, 'guest/disk-letter'), path], {
      encoding: 'utf8',
    });
    return status === 0 ? stdout.trim() : 'none';
  };
  const at = (bus: string): string => `/devices/pci0000:00/0000:00:${bus}.0/0000:${bus}:00.0/virtio3/block/vdb`;
  assert.deepEqual(
    [at('01'), `${at('06')}/vdb1`, at('1a'), at('1b'), '/devices/pci0000:00/0000:00:02.0/virtio0/block/vda'].map(
      letterOf,
    ),
    ['a', 'f', 'z', 'none', 'none'],
  );
});
