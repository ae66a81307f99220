import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { singleExport } from '#volume/nbd-export.ts';
import { NbdServer } from '#volume/nbd-server.ts';
import { requireTool, requireTools } from '../clients.ts';
import { run, runOk } from '../run.ts';
import { FileDevice } from './file-device.ts';

const MIB = 1024 * 1024;
const SIZE = 64 * MIB;

interface Served {
  readonly port: number;
  readonly directory: string;
  readonly device: FileDevice;
  /** With the right key. */
  readonly uri: string;
  /** The same on a unix socket. */
  readonly unixUri: string;
  readonly qemu: readonly string[];
  readonly qemuImage: string;
}

/** A device served with TLS, to `alice` and nobody else. */
async function served(t: TestContext, options: { readonly mode?: 'allow' | 'require' } = {}): Promise<Served> {
  const directory = await mkdtemp(join(tmpdir(), 'varve-tls-'));
  const device = new FileDevice({ path: join(directory, 'disk.img'), sizeBytes: SIZE });
  const server = new NbdServer({ clock: systemClock, log: silentLog });
  const exports = singleExport({ id: 'vol-1', device, description: 'a disk of a test' });
  const key = randomBytes(32);
  const tls = {
    mode: options.mode ?? 'require',
    keyOf: (identity: string) => (identity === 'alice' ? key : null),
    exportsOf: () => exports,
  };
  const { port } = await server.listenTcp({ port: 0, exports, tls });
  const socket = join(directory, 'nbd.sock');
  await server.listen({ socketPath: socket, exports, tls });
  t.after(async () => {
    await server.stop();
    await device[Symbol.asyncDispose]();
    await rm(directory, { recursive: true });
  });
  const keys = join(directory, 'keys.psk');
  await writeFile(keys, `alice:${key.toString('hex')}\nmallory:${key.toString('hex')}\n`);
  await writeFile(join(directory, 'wrong.psk'), `alice:${randomBytes(32).toString('hex')}\n`);
  assert.ok(port !== null);
  return {
    port,
    directory,
    device,
    uri: `nbds://alice@127.0.0.1:${port}/vol-1?tls-psk-file=${keys}`,
    unixUri: `nbds+unix://alice@/vol-1?socket=${socket}&tls-psk-file=${keys}`,
    qemu: ['--object', `tls-creds-psk,id=tls,endpoint=client,dir=${directory},username=alice`],
    qemuImage: `driver=nbd,host=127.0.0.1,port=${port},export=vol-1,tls-creds=tls`,
  };
}

async function someImage(path: string): Promise<Buffer> {
  const image = Buffer.alloc(SIZE);
  randomBytes(5 * MIB).copy(image, 1 * MIB);
  randomBytes(3 * MIB + 1234).copy(image, 20 * MIB + 511);
  await writeFile(path, image);
  return image;
}

/** nbdsh takes the first python3 of the path, and its module belongs to the system's. */
const NBDSH_ENV = { ...(process.env as Record<string, string>), PATH: `/usr/bin:${process.env['PATH'] ?? ''}` };

test('nbdinfo comes in with its key over TCP and a unix socket, and sees and maps what is there', async (t) => {
  if (!requireTool(t, 'nbdinfo')) return;
  const { uri, unixUri, device } = await served(t);
  await device.write(8 * MIB, Buffer.alloc(MIB, 1), { fua: false });
  for (const address of [uri, unixUri]) {
    const { stdout } = await runOk('nbdinfo', ['--json', '--list', address]);
    const info = JSON.parse(stdout) as { TLS: boolean; exports: { 'export-name': string; 'export-size': number }[] };
    assert.equal(info.TLS, true);
    assert.deepEqual(
      info.exports.map((one) => [one['export-name'], one['export-size']]),
      [['vol-1', SIZE]],
    );
    const map = await runOk('nbdinfo', ['--map', '--totals', address]);
    assert.match(map.stdout, new RegExp(`^ *${MIB} +1\\.6% +0 data`, 'm'));
  }
});

test('nobody comes in with a wrong key, as somebody else, or without TLS', async (t) => {
  if (!requireTools(t, ['nbdinfo', 'qemu-img'])) return;
  const { uri, port, directory } = await served(t);
  const wrong = [
    uri.replace('keys.psk', 'wrong.psk'),
    uri.replace('alice@', 'mallory@'),
    `nbd://127.0.0.1:${port}/vol-1`,
    `nbd://127.0.0.1:${port}/`,
  ];
  for (const address of wrong) {
    const result = await run('nbdinfo', [address]);
    assert.notEqual(result.code, 0, address);
    assert.doesNotMatch(result.stdout, /export-size/);
  }
  const list = await run('nbdinfo', ['--list', `nbd://127.0.0.1:${port}/`]);
  assert.notEqual(list.code, 0);
  assert.doesNotMatch(list.stdout, /vol-1/);
  const plain = await run('qemu-img', ['info', `nbd://127.0.0.1:${port}/vol-1`]);
  assert.notEqual(plain.code, 0);
  assert.match(plain.stderr, /TLS/i);
  const mallory = await run('qemu-img', [
    'info',
    ...['--object', `tls-creds-psk,id=tls,endpoint=client,dir=${directory},username=mallory`],
    ...['--image-opts', `driver=nbd,host=127.0.0.1,port=${port},export=vol-1,tls-creds=tls`],
  ]);
  assert.notEqual(mallory.code, 0);
});

test('where TLS is allowed and not required, both kinds of client are served', async (t) => {
  if (!requireTools(t, ['nbdinfo', 'nbdcopy'])) return;
  const { uri, port, directory } = await served(t, { mode: 'allow' });
  const plain = `nbd://127.0.0.1:${port}/vol-1`;
  assert.match((await runOk('nbdinfo', [uri])).stdout, /with TLS/);
  assert.match((await runOk('nbdinfo', [plain])).stdout, /without TLS/);
  const image = await someImage(join(directory, 'in.img'));
  await runOk('nbdcopy', [join(directory, 'in.img'), plain]);
  await runOk('nbdcopy', ['--connections=4', uri, join(directory, 'out.img')]);
  assert.ok((await readFile(join(directory, 'out.img'))).equals(image));
});

test('nbdcopy copies in and out over four encrypted connections, holes as holes', async (t) => {
  if (!requireTool(t, 'nbdcopy')) return;
  const { uri, unixUri, directory, device } = await served(t);
  const image = await someImage(join(directory, 'in.img'));
  for (const address of [uri, unixUri]) {
    await runOk('nbdcopy', ['--connections=4', '--flush', join(directory, 'in.img'), address]);
    await runOk('nbdcopy', ['--connections=4', address, join(directory, 'out.img')]);
    assert.ok((await readFile(join(directory, 'out.img'))).equals(image));
    assert.ok((await stat(join(directory, 'out.img'))).blocks * 512 < 20 * MIB, 'the copy is as sparse');
  }
  assert.ok(device.extents(0, SIZE, 100).some(({ hole }) => hole));
});

test('qemu-img converts to and from, compares and maps, and qemu-io writes and reads, over TLS', async (t) => {
  if (!requireTools(t, ['qemu-img', 'qemu-io'])) return;
  const { qemu, qemuImage, directory, device } = await served(t);
  const input = join(directory, 'in.img');
  const output = join(directory, 'out.qcow2');
  await someImage(input);
  const from = ['--image-opts', ...qemu];
  await runOk('qemu-img', ['convert', '-n', '--target-image-opts', ...qemu, '-f', 'raw', '-W', input, qemuImage]);
  await runOk('qemu-img', ['convert', ...from, '-O', 'qcow2', qemuImage, output]);
  await runOk('qemu-img', ['compare', ...from, qemuImage, `driver=qcow2,file.driver=file,file.filename=${output}`]);
  const { stdout } = await runOk('qemu-img', ['map', '--output=json', ...from, qemuImage]);
  const data = (JSON.parse(stdout) as readonly { length: number; zero: boolean }[]).filter(({ zero }) => !zero);
  const own = device.extents(0, SIZE, 1000).filter(({ zero }) => !zero);
  const sum = (extents: readonly { readonly length: number }[]): number =>
    extents.reduce((total, { length }) => total + length, 0);
  assert.equal(sum(data), sum(own));
  const commands = ['write -P 0x11 0 4M', 'write -f -P 0x22 1234 5678', 'discard 2M 1M', 'write -z 512k 64k', 'flush'];
  const checks = ['read -P 0x22 1234 5678', 'read -P 0 2M 1M', 'read -P 0 512k 64k', 'read -P 0x11 3M 1M'];
  const io = await runOk('qemu-io', [
    ...from,
    ...[...commands, ...checks].flatMap((command) => ['-c', command]),
    qemuImage,
  ]);
  assert.doesNotMatch(io.stdout, /failed|error/i, io.stdout);
});

test('nbdsh does a thousand requests at once over TLS, and large ones', async (t) => {
  if (!requireTool(t, 'nbdsh')) return;
  const { uri } = await served(t);
  const script = [
    'import random',
    'random.seed(7)',
    'h.pwrite(b"A" * 33554432, 0)',
    'assert h.pread(33554432, 0) == b"A" * 33554432',
    'blocks = {}',
    'for number in range(1000):',
    '    offset = number * 20000',
    '    data = random.randbytes(random.randint(1, 20000))',
    '    blocks[offset] = data',
    '    h.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(data)), offset)',
    '    while h.aio_in_flight() > 200: h.poll(-1)',
    'while h.aio_in_flight() > 0: h.poll(-1)',
    'h.flush()',
    'reads = []',
    'for offset, data in blocks.items():',
    '    buffer = nbd.Buffer(len(data))',
    '    h.aio_pread(buffer, offset)',
    '    reads.append((buffer, data))',
    'while h.aio_in_flight() > 0: h.poll(-1)',
    'for buffer, data in reads: assert buffer.to_bytearray() == data',
    'print(h.get_tls_negotiated())',
  ];
  const connecting = ['-c', 'h.set_uri_allow_local_file(True)', '-c', `h.connect_uri(${JSON.stringify(uri)})`];
  const { stdout } = await runOk('nbdsh', [...connecting, '-c', script.join('\n')], { env: NBDSH_ENV });
  assert.equal(stdout.trim(), 'True');
});

test('fio verifies what it wrote through nbdkit as the TLS client', async (t) => {
  if (!requireTools(t, ['fio', 'nbdkit'])) return;
  // fio's engine does not let libnbd read a key file, so nbdkit does TLS for it.
  const { port, directory } = await served(t);
  const fio = [
    ...[
      'fio',
      '--name=verify',
      '--ioengine=nbd',
      '"--uri=$uri"',
      '--rw=randwrite',
      '--bsrange=512-64k',
      '--iodepth=32',
    ],
    ...['--size=32M', '--verify=crc32c', '--verify_fatal=1', '--verify_state_save=0', '--fsync=50'],
  ].join(' ');
  await runOk('nbdkit', [
    ...['-U', '-', 'nbd', 'hostname=127.0.0.1', `port=${port}`, 'export=vol-1', 'tls=require', 'tls-username=alice'],
    ...[`tls-psk=${join(directory, 'keys.psk')}`, '--run', fio],
  ]);
});
