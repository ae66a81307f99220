import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test, type TestContext } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { GIB_BYTES } from '#domain/geometry.ts';
import { requireTools } from '../clients.ts';
import { run, runOk, type RunResult } from '../run.ts';
import { RunningServer } from '../running-server.ts';

const CLI = join(import.meta.dirname, '..', '..', 'src', 'cli.ts');
const MIB = 1024 * 1024;
const scratch = scratchDirectory('cli-images');

let started: Promise<RunningServer> | null = null;
/** One server for all tests of the file. */
function theServer(): Promise<RunningServer> {
  return (started ??= RunningServer.start());
}
after(async () => {
  await (await started)?.[Symbol.asyncDispose]();
});

let names = 0;
function freshName(): string {
  return `image-${(names += 1)}`;
}

/** A raw image of 200 MiB and some bytes: some data, some zeros that are written, and holes. */
async function makeImage(name: string): Promise<string> {
  const path = join(scratch, name);
  await using file = await open(path, 'w');
  await file.truncate(200 * MIB + 5000);
  await file.write(randomBytes(3 * MIB), 0, 3 * MIB, 0);
  await file.write(Buffer.alloc(8 * MIB), 0, 8 * MIB, 16 * MIB);
  await file.write(randomBytes(4096), 0, 4096, 100 * MIB + 512);
  await file.write(randomBytes(1000), 0, 1000, 200 * MIB + 4000);
  return path;
}

/** What an import says that it made: `vol-…`. */
function volumeIn(result: RunResult): string {
  assert.equal(result.code, 0, result.stderr);
  return /vol-[0-9a-f]+/.exec(result.stdout)?.[0] ?? '';
}

/** Says whether a disk's content is that of the image, by qemu's own comparison; behind the image there are zeros. */
async function assertSame(server: RunningServer, nameOrId: string, image: string, format = 'raw'): Promise<void> {
  await runOk('qemu-img', ['compare', '-f', format, '-F', 'raw', image, await server.uri(nameOrId)]);
}

async function disks(server: RunningServer): Promise<readonly string[]> {
  const { disks: found } = await server.awsJson<{ readonly disks: readonly { readonly name: string }[] }>([
    ...['lightsail', 'get-disks'],
  ]);
  return found.map(({ name }) => name);
}

const ready = (t: TestContext): boolean => requireTools(t, ['aws', 'qemu-img', 'nbdcopy', 'cmp']);

test('a raw image becomes a Lightsail disk, its zeros are not sent, and the snapshot of it exports the same', async (t) => {
  if (!ready(t)) return;
  const server = await theServer();
  const image = await makeImage('raw.img');
  const name = freshName();
  const imported = await server.varve(['import', image, '--name', name, '--snapshot']);
  volumeIn(imported);
  assert.match(
    imported.stdout,
    new RegExp(`^${name}: Lightsail disk vol-[0-9a-f]+, 8 GiB, from a raw image of 200 MiB`),
  );
  assert.match(imported.stdout, /\(3 MiB sent, the rest is zeros\)/);
  await assertSame(server, name, image);

  const out = join(scratch, 'exported.raw');
  const exported = await server.varve(['export', `${name}-snapshot`, out]);
  assert.deepEqual([exported.code, exported.stdout, exported.stderr], [0, '', '']);
  const { size, blocks } = await stat(out);
  assert.equal(size, 8 * GIB_BYTES);
  assert.ok(blocks * 512 < 8 * MIB, 'holes are holes');
  await runOk('cmp', ['-n', String(200 * MIB + 5000), image, out]);
  await runOk('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', image, out]);
  // Another program's copy of the same export.
  const copied = join(scratch, 'copied.raw');
  await runOk('nbdcopy', [await server.uri(`${name}-snapshot`), copied]);
  await runOk('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', copied, out]);
  await rm(copied);
  await rm(out);
});

test('qcow2 and vmdk images come in and go out', async (t) => {
  if (!ready(t)) return;
  const server = await theServer();
  const raw = await makeImage('other.img');
  for (const format of ['qcow2', 'vmdk'] as const) {
    const image = join(scratch, `image.${format}`);
    await runOk('qemu-img', ['convert', '-f', 'raw', '-O', format, raw, image]);
    const name = freshName();
    const imported = await server.varve(['import', image, '--name', name, '--ec2']);
    const volume = volumeIn(imported);
    assert.match(imported.stdout, new RegExp(`^${name}: EC2 volume ${volume}, 1 GiB, from a ${format} image`));
    await assertSame(server, volume, raw);

    const out = join(scratch, `out.${format}`);
    const exported = await server.varve(['export', volume, out]);
    assert.equal(exported.code, 0, exported.stderr);
    assert.match(exported.stderr, /may change while it is read/);
    await assertSame(server, volume, out, format);
    const info = await runOk('qemu-img', ['info', '--output=json', out]);
    assert.equal((JSON.parse(info.stdout) as { readonly format: string }).format, format);
    if (format === 'vmdk') {
      // VMware's programs look for the name in the description.
      const described = (await readFile(out)).subarray(0, 64 * 1024).toString('latin1');
      assert.match(described, /SPARSE "out\.vmdk"/);
      assert.doesNotMatch(described, /partial/);
    }
    await rm(out);
  }
});

test('standard input and standard output: a pipe needs a size, a file has one', async (t) => {
  if (!ready(t)) return;
  const server = await theServer();
  const image = await makeImage('stream.img');
  const shell = (script: string): Promise<RunResult> =>
    run('sh', ['-c', `varve() { "${process.execPath}" "${CLI}" "$@" --data "${server.dataDirectory}"; }; ${script}`]);

  const sizeless = await shell(`cat "${image}" | varve import - --name ${freshName()}`);
  assert.equal(sizeless.code, 1);
  assert.match(sizeless.stderr, /--size-in-gb N/);

  const piped = await shell(`cat "${image}" | varve import - --name ${freshName()} --ec2 --size-in-gb 2`);
  const volume = volumeIn(piped);
  await assertSame(server, volume, image);
  const out = await shell(`varve export ${volume} - | cmp -n ${200 * MIB + 5000} - "${image}"`);
  assert.deepEqual([out.code, out.stdout], [0, ''], out.stderr);
  const bytes = await shell(`varve export ${volume} - | wc -c`);
  assert.equal(Number(bytes.stdout), 2 * GIB_BYTES);

  await assertSame(server, volumeIn(await shell(`varve import - --name ${freshName()} --ec2 < "${image}"`)), image);

  const before = await disks(server);
  const large = await shell(`head -c 1100M /dev/zero | varve import - --name ${freshName()} --ec2 --size-in-gb 1`);
  assert.equal(large.code, 1);
  assert.match(large.stderr, /was removed: the image on standard input is larger than the disk/);
  const nothing = await shell(`: | varve import - --name ${freshName()} --size-in-gb 8`);
  assert.match(nothing.stderr, /was removed: standard input is empty/);
  assert.deepEqual(await disks(server), before);

  const closed = await shell(`varve export ${volume} - | head -c 100 >/dev/null; exit 0`);
  assert.match(closed.stderr, /has stopped reading/);
});

test('with --rm only the snapshot stays', async (t) => {
  if (!ready(t)) return;
  const server = await theServer();
  const image = await makeImage('gone.img');
  const name = freshName();
  const words = ['import', image, '--name', name, '--snapshot-name', `${name}-kept`, '--rm'];
  const imported = await server.varve(words);
  assert.equal(imported.code, 0, imported.stderr);
  assert.match(imported.stdout, /removed; its snapshot stays\n$/);
  assert.ok(!(await disks(server)).includes(name));
  await runOk('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', image, await server.uri(`${name}-kept`)]);

  const again = await server.varve([...words.with(3, freshName()).with(5, `${name}-again`), '--json']);
  const made = JSON.parse(again.stdout) as { readonly id: string; readonly isKept: boolean; readonly snapshot: string };
  assert.match(`${made.id} ${made.snapshot}`, /^vol-[0-9a-f]{17} snap-[0-9a-f]{17}$/);
  assert.equal(made.isKept, false);
  const file = join(scratch, 'again.qcow2');
  const written = await server.varve(['export', made.snapshot, file, '--json']);
  assert.deepEqual(JSON.parse(written.stdout), { file, format: 'qcow2', sizeBytes: 8192 * MIB });
});

test('a name that a snapshot cannot get is refused before anything is copied', async (t) => {
  if (!ready(t)) return;
  const server = await theServer();
  const image = await makeImage('named.img');
  const taken = freshName();
  const zone = ['--availability-zone', 'us-east-1a', '--size-in-gb', '8'];
  await server.awsJson(['lightsail', 'create-disk', '--disk-name', taken, ...zone]);
  const before = await disks(server);
  const name = freshName();
  for (const [more, expected] of [
    [['--snapshot-name', '-no'], /--snapshot-name: its value is missing/],
    [['--snapshot-name=-no'], /"-no" is no name of Lightsail: 2 to 255 letters/],
    [['--snapshot-name', taken], /there is something of the name "[^"]+" already/],
    [['--snapshot-name', name], /is the disk's name; give another/],
    [['--ec2', '--snapshot-name', 'x'.repeat(256)], /a description has 1 to 255 characters/],
  ] as const) {
    const refused = await server.varve(['import', image, '--name', name, ...more]);
    assert.notEqual(refused.code, 0);
    assert.match(refused.stderr, expected);
  }
  assert.deepEqual(await disks(server), before);
});

test('an image that names other files is refused before anything is made', async (t) => {
  if (!ready(t)) return;
  const server = await theServer();
  const directory = join(scratch, 'disclosure');
  await mkdir(directory);
  const secret = join(directory, 'secret');
  await writeFile(secret, randomBytes(MIB));
  const at = (name: string): string => join(directory, name);
  await runOk('qemu-img', ['create', '-f', 'qcow2', '-b', secret, '-F', 'raw', at('backed.qcow2'), '1M']);
  await runOk('qemu-img', [
    'create',
    '-f',
    'qcow2',
    '-o',
    `data_file=${secret},data_file_raw=on`,
    at('data.qcow2'),
    '1M',
  ]);
  await runOk('qemu-img', ['create', '-f', 'vmdk', at('parent.vmdk'), '1M']);
  await runOk('qemu-img', ['create', '-f', 'vmdk', '-b', at('parent.vmdk'), '-F', 'vmdk', at('child.vmdk')]);
  await runOk('qemu-img', ['create', '-f', 'vmdk', '-o', 'subformat=monolithicFlat', at('flat.vmdk'), '1M']);
  await writeFile(
    at('text.vmdk'),
    `# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="monolithicFlat"\nRW 2048 FLAT "${secret}" 0\n`,
  );
  const before = await disks(server);
  for (const [file, message] of [
    ['backed.qcow2', /has a backing file/],
    ['data.qcow2', /keeps its data in another file/],
    ['child.vmdk', /has a parent image/],
    ['flat.vmdk', /only describes other files/],
    ['text.vmdk', /only describes other files/],
  ] as const) {
    const refused = await server.varve(['import', at(file), '--name', freshName()]);
    assert.equal(refused.code, 1, file);
    assert.match(refused.stderr, message, file);
  }
  // The content of a raw disk is its owner's, whatever it looks like: it is asked about, and never probed.
  await runOk('cp', [at('backed.qcow2'), at('looks.img')]);
  const asked = await server.varve(['import', at('looks.img'), '--name', freshName()]);
  assert.equal(asked.code, 1);
  assert.match(asked.stderr, /begins like a qcow2 image: say --format/);
  assert.deepEqual(await disks(server), before);
  const told = await server.varve(['import', at('looks.img'), '--name', freshName(), '--format', 'raw', '--ec2']);
  await assertSame(server, volumeIn(told), at('looks.img'));
});

test('without qemu-img raw images come and go, and for others its package is named', async (t) => {
  if (!ready(t)) return;
  const server = await theServer();
  const image = await makeImage('plain.img');
  const bare = { ...server.environment(), PATH: join(scratch, 'no-such-directory') };
  const varve = (...words: readonly string[]): Promise<RunResult> =>
    run(process.execPath, [CLI, ...words, '--data', server.dataDirectory], { env: bare });
  const volume = volumeIn(await varve('import', image, '--name', freshName(), '--ec2'));
  await assertSame(server, volume, image);
  const out = join(scratch, 'plain.out');
  assert.equal((await varve('export', volume, out)).code, 0);
  await runOk('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', image, out]);
  await rm(out);
  const qcow2 = join(scratch, 'plain.qcow2');
  await runOk('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', image, qcow2]);
  for (const result of [
    await varve('import', qcow2, '--name', freshName()),
    await varve('export', volume, join(scratch, 'none.qcow2')),
  ]) {
    assert.equal(result.code, 1);
    assert.match(result.stderr, /qemu-img is not installed.*package qemu-utils/);
  }
  assert.deepEqual(
    (await readdir(scratch)).filter((name) => name.startsWith('none.')),
    [],
  );
});

test('an export that is interrupted leaves no file, an import no disk, and both say so', async (t) => {
  if (!ready(t)) return;
  const server = await theServer();
  const image = join(scratch, 'large.img');
  await runOk('sh', ['-c', 'head -c 900M /dev/urandom > "$1"', 'sh', image]);
  const before = await disks(server);
  const volume = volumeIn(await server.varve(['import', image, '--name', freshName(), '--ec2']));

  /** Runs until `isBusy` says that it is at work, and then interrupts it, twice, as terminal and launcher do. */
  async function interrupted(words: readonly string[], isBusy: () => Promise<boolean>): Promise<string> {
    const child = spawn(process.execPath, [CLI, ...words, '--data', server.dataDirectory], {
      stdio: ['pipe', 'ignore', 'pipe'],
    });
    // What is read from here begins, and never ends by itself.
    child.stdin.on('error', () => {}); // It was interrupted.
    child.stdin.write(Buffer.alloc(MIB, 'x'));
    let errors = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
    const exited = new Promise<number | null>((resolve) => child.on('exit', resolve));
    while (!(await isBusy())) {
      assert.equal(child.exitCode, null, `it ended before it was interrupted: ${errors}`);
      await systemClock.sleep(2);
    }
    child.kill('SIGINT');
    child.kill('SIGINT');
    assert.equal(await exited, 130, errors);
    return errors;
  }
  const sizeOf = async (path: string): Promise<number> => (await stat(path).catch(() => null))?.size ?? 0;

  for (const out of [join(scratch, 'half.raw'), join(scratch, 'half.qcow2')]) {
    const said = await interrupted(['export', volume, out], async () => (await sizeOf(`${out}.partial`)) > MIB);
    assert.match(said, /was not made, and .*\.partial was removed: interrupted/);
    assert.deepEqual([await sizeOf(out), await sizeOf(`${out}.partial`)], [0, 0]);
  }
  const name = freshName();
  const words = ['import', '-', '--name', name, '--size-in-gb', '8'];
  const said = await interrupted(words, async () => (await disks(server)).includes(name));
  assert.match(said, /was not imported, and the disk .* was removed: interrupted/);
  assert.deepEqual(await disks(server), before);
});

test('what cannot be done is said in a sentence', async (t) => {
  if (!ready(t)) return;
  const server = await theServer();
  const image = await makeImage('wrong.img');
  const name = freshName();
  volumeIn(await server.varve(['import', image, '--name', name]));
  const there = join(scratch, 'there.raw');
  await writeFile(there, 'mine');
  const cases: readonly [readonly string[], number, RegExp][] = [
    [['import', image], 2, /--name: what shall the disk be called/],
    [['import'], 2, /which image/],
    [['import', image, '--name', 'a', '--format', 'vhd'], 2, /one of raw, qcow2, vmdk/],
    [['import', image, '--name', 'a', '--rm'], 2, /goes with --snapshot/],
    [['import', image, '--name', 'a', '--ec2', '--lightsail'], 2, /exclude each other/],
    [['import', image, '--name', 'a', '--size-in-gb', 'x'], 2, /not a number of GiB/],
    [['import', '-', '--name', 'a', '--format', 'qcow2'], 2, /cannot be read from a stream/],
    [['import', image, '--name', name], 1, /name/i],
    [['import', join(scratch, 'nothing'), '--name', 'a'], 1, /there is no file/],
    [['import', scratch, '--name', 'a'], 1, /no regular file/],
    [['import', image, '--name', 'a', '--format', 'qcow2'], 1, /is no qcow2 image/],
    [['import', image, '--name', 'a', '--region', 'mars-1'], 2, /there is no region/],
    [['export', name], 2, /where to/],
    [['export', name, '-', '--format', 'qcow2'], 2, /cannot be written to a stream/],
    [['export', 'nobody', join(scratch, 'x.raw')], 1, /there is no disk, volume or snapshot "nobody"/],
    [['export', name, there], 1, /is there already/],
    [['export', name, join(scratch, 'no', 'x.raw')], 1, /cannot write/],
  ];
  for (const [words, code, message] of cases) {
    const result = await server.varve(words);
    assert.equal(result.code, code, `${words.join(' ')}: ${result.stderr}`);
    assert.match(result.stderr, message);
  }
  const away = await run(process.execPath, [CLI, 'import', image, '--name', 'a', '--data', join(scratch, 'no-server')]);
  assert.equal(away.code, 1);
  assert.match(away.stderr, /no server runs on/);
  for (const command of ['import', 'export', 'rescue']) {
    const help = await run(process.execPath, [CLI, command, '--help']);
    assert.equal(help.code, 0);
    assert.match(help.stdout, new RegExp(`usage: varve ${command} `));
  }
});
