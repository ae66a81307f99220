import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { singleExport } from '#volume/nbd-export.ts';
import { NbdServer } from '#volume/nbd-server.ts';
import { nbdUri } from '#volume/nbd-uri.ts';
import { requireTool, requireTools } from '../clients.ts';
import { runOk } from '../run.ts';
import { FileDevice } from './file-device.ts';

const MIB = 1024 * 1024;
const SIZE = 64 * MIB;

interface Served {
  readonly uri: string;
  readonly tcpUri: string;
  readonly directory: string;
  readonly device: FileDevice;
}

/** A device of 64 MiB, empty, served over a unix socket and TCP until the test is over. */
async function served(t: TestContext, options: { readonly readOnly?: boolean } = {}): Promise<Served> {
  const directory = await mkdtemp(join(tmpdir(), 'varve-clients-'));
  const device = new FileDevice({ path: join(directory, 'disk.img'), sizeBytes: SIZE, ...options });
  const server = new NbdServer({ clock: systemClock, log: silentLog });
  const exports = singleExport({ id: 'vol-1', device, description: 'a disk of a test' });
  const socketPath = join(directory, 'nbd.sock');
  await server.listen({ socketPath, exports });
  const { port } = await server.listenTcp({ port: 0, exports });
  t.after(async () => {
    await server.stop();
    await device[Symbol.asyncDispose]();
    await rm(directory, { recursive: true });
  });
  return { uri: nbdUri('', socketPath), tcpUri: `nbd://127.0.0.1:${port}/vol-1`, directory, device };
}

/** nbdsh takes the first python3 of the path, and its module belongs to the system's. */
const NBDSH_ENV = { ...(process.env as Record<string, string>), PATH: `/usr/bin:${process.env['PATH'] ?? ''}` };

async function nbdsh(uri: string | null, script: readonly string[]): Promise<string> {
  const connecting = uri === null ? [] : ['--base-allocation', '-u', uri];
  const { stdout } = await runOk('nbdsh', [...connecting, '-c', script.join('\n')], { env: NBDSH_ENV });
  return stdout;
}

/** An image of the device's size: random, zeros, and holes. */
async function someImage(path: string): Promise<Buffer> {
  const image = Buffer.alloc(SIZE);
  randomBytes(5 * MIB).copy(image, 1 * MIB);
  randomBytes(3 * MIB + 1234).copy(image, 20 * MIB + 511);
  randomBytes(4096).copy(image, SIZE - 4096);
  await writeFile(path, image);
  return image;
}

test('nbdinfo sees what the export can do', async (t) => {
  if (!requireTool(t, 'nbdinfo')) return;
  const { uri, tcpUri } = await served(t);
  for (const address of [uri, tcpUri]) {
    const { stdout } = await runOk('nbdinfo', ['--json', address]);
    const info = JSON.parse(stdout) as {
      readonly protocol: string;
      readonly exports: readonly Record<string, unknown>[];
    };
    assert.equal(info.protocol, 'newstyle-fixed');
    const [only] = info.exports;
    assert.deepEqual(
      [only?.['export-size'], only?.['description'], only?.['is_read_only'], only?.['can_multi_conn']],
      [SIZE, 'a disk of a test', false, true],
    );
    const able = ['can_flush', 'can_fua', 'can_trim', 'can_zero', 'can_fast_zero', 'can_df', 'can_cache'];
    assert.deepEqual(
      able.filter((what) => only?.[what] !== true),
      [],
    );
    assert.deepEqual(only?.['contexts'], ['base:allocation']);
    assert.deepEqual(
      [only?.['block_size_minimum'], only?.['block_size_preferred'], only?.['block_size_maximum']],
      [1, 4096, 32 * MIB],
    );
  }
});

test('nbdinfo lists the export and maps what is written', async (t) => {
  if (!requireTool(t, 'nbdinfo')) return;
  const { uri, device } = await served(t);
  await device.write(8 * MIB, Buffer.alloc(MIB, 1), { fua: false });
  const list = await runOk('nbdinfo', ['--list', '--json', uri]);
  assert.match(list.stdout, /"export-name": "vol-1"/);
  const map = await runOk('nbdinfo', ['--map', '--json', uri]);
  assert.deepEqual(
    (JSON.parse(map.stdout) as readonly { offset: number; length: number; type: number }[]).map((extent) => [
      extent.offset,
      extent.length,
      extent.type,
    ]),
    [
      [0, 8 * MIB, 3],
      [8 * MIB, MIB, 0],
      [9 * MIB, SIZE - 9 * MIB, 3],
    ],
  );
});

test('nbdcopy copies in and out over four connections, holes as holes', async (t) => {
  if (!requireTool(t, 'nbdcopy')) return;
  const { uri, tcpUri, directory, device } = await served(t);
  const image = await someImage(join(directory, 'in.img'));
  for (const address of [uri, tcpUri]) {
    await runOk('nbdcopy', ['--connections=4', '--flush', join(directory, 'in.img'), address]);
    await runOk('nbdcopy', ['--connections=4', address, join(directory, 'out.img')]);
    assert.ok((await readFile(join(directory, 'out.img'))).equals(image));
  }
  assert.ok(device.flushCount > 0);
  assert.ok(device.extents(0, SIZE, 100).some(({ hole }) => hole));
});

test('nbdcopy copies one export to another', async (t) => {
  if (!requireTool(t, 'nbdcopy')) return;
  const from = await served(t);
  const to = await served(t);
  const image = await someImage(join(from.directory, 'in.img'));
  await runOk('nbdcopy', [join(from.directory, 'in.img'), from.uri]);
  await runOk('nbdcopy', ['--connections=4', from.tcpUri, to.uri]);
  assert.ok((await readFile(join(to.directory, 'disk.img'))).equals(image));
});

test('qemu-img knows the export, converts to and from it, compares and maps it', async (t) => {
  if (!requireTool(t, 'qemu-img')) return;
  const { uri, tcpUri, directory, device } = await served(t);
  const input = join(directory, 'in.img');
  const output = join(directory, 'out.qcow2');
  await someImage(input);
  const info = await runOk('qemu-img', ['info', '--output=json', uri]);
  assert.equal((JSON.parse(info.stdout) as { 'virtual-size': number })['virtual-size'], SIZE);
  await runOk('qemu-img', ['convert', '-n', '-f', 'raw', '-O', 'raw', '-m', '8', '-W', input, uri]);
  await runOk('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', input, tcpUri]);
  await runOk('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', tcpUri, output]);
  await runOk('qemu-img', ['compare', '-f', 'raw', '-F', 'qcow2', uri, output]);
  const map = await runOk('qemu-img', ['map', '--output=json', '-f', 'raw', uri]);
  const extents = JSON.parse(map.stdout) as readonly { start: number; length: number; zero: boolean }[];
  const data = extents.filter(({ zero }) => !zero).reduce((sum, { length }) => sum + length, 0);
  const own = device.extents(0, SIZE, 1000).filter(({ zero }) => !zero);
  assert.equal(
    data,
    own.reduce((sum, { length }) => sum + length, 0),
  );
});

test('qemu-io writes, discards, zeroes and flushes, and reads what it should', async (t) => {
  if (!requireTool(t, 'qemu-io')) return;
  const { uri, tcpUri, device } = await served(t);
  for (const address of [uri, tcpUri]) {
    const commands = [
      'write -P 0x11 0 4M',
      'write -f -P 0x22 1234 5678', // FUA
      'aio_write -P 0x33 8M 1M',
      'aio_write -P 0x44 9M 1M',
      'aio_flush',
      'discard 2M 1M',
      'write -z 512k 64k',
      'write -z -u 768k 64k',
      'flush',
      'read -P 0x11 0 1234',
      'read -P 0x22 1234 5678',
      'read -P 0 2M 1M',
      'read -P 0 512k 64k',
      'read -P 0 768k 64k',
      'read -P 0x33 8M 1M',
      'read -P 0x44 9M 1M',
      'read -P 0 32M 16M',
    ];
    const { stdout } = await runOk('qemu-io', [
      '-f',
      'raw',
      ...commands.flatMap((command) => ['-c', command]),
      address,
    ]);
    assert.doesNotMatch(stdout, /failed|error/i, stdout);
  }
  assert.ok(device.flushCount >= 4);
});

test('fio verifies what it wrote, at random and over several connections', async (t) => {
  if (!requireTool(t, 'fio')) return;
  const { uri, tcpUri } = await served(t);
  for (const [address, blocks] of [
    [uri, '--bsrange=512-64k'],
    [tcpUri, '--bs=4k'],
    [uri, '--bs=1M'],
  ] as const) {
    await runOk('fio', [
      ...['--name=verify', '--ioengine=nbd', `--uri=${address}`, '--rw=randwrite', blocks, '--iodepth=32'],
      ...['--size=32M', '--verify=crc32c', '--verify_fatal=1', '--verify_state_save=0', '--fsync=50'],
    ]);
  }
  await runOk('fio', [
    ...['--name=many', '--ioengine=nbd', `--uri=${uri}`, '--rw=randrw', '--bs=8k', '--iodepth=16', '--numjobs=4'],
    ...['--size=16M', '--offset_increment=16M', '--verify=crc32c', '--verify_fatal=1', '--verify_state_save=0'],
  ]);
});

test('FUA, trim, zeroes and block status do what their flags say', async (t) => {
  if (!requireTool(t, 'nbdsh')) return;
  const { uri, device } = await served(t);
  const out = await nbdsh(uri, [
    'h.pwrite(b"A" * 65536, 0, nbd.CMD_FLAG_FUA)',
    'h.pwrite(b"B" * 65536, 65536)',
    'h.trim(4096, 4096, nbd.CMD_FLAG_FUA)',
    'h.zero(4096, 16384)',
    'h.zero(4096, 32768, nbd.CMD_FLAG_NO_HOLE)',
    'h.zero(4096, 40960, nbd.CMD_FLAG_FAST_ZERO | nbd.CMD_FLAG_FUA)',
    'h.cache(1048576, 0)',
    'assert h.pread(4096, 0) == b"A" * 4096',
    'assert h.pread(4096, 4096) == bytes(4096)',
    'whole = []',
    'h.pread_structured(131072, 65536, lambda data, o, s, e: whole.append(bytes(data)) or 0, nbd.CMD_FLAG_DF)',
    'assert whole == [b"B" * 65536 + bytes(65536)]',
    'assert h.pread(1, 131071) == b"B"',
    'got = []',
    'h.block_status(262144, 0, lambda context, offset, entries, error: got.extend(entries) or 0)',
    'print(got)',
    'one = []',
    'h.block_status(262144, 0, lambda c, o, entries, e: one.extend(entries) or 0, nbd.CMD_FLAG_REQ_ONE)',
    'print(one)',
    'h.flush()',
  ]);
  const [all, one] = out.trim().split('\n');
  const data = (bytes: number): number[] => [bytes, 0];
  const hole = (bytes: number): number[] => [bytes, 3];
  // The zeroes with NO_HOLE stay allocated.
  const expected = [data(4096), hole(4096), data(8192), hole(4096), data(20480), hole(4096), data(86016), hole(131072)];
  assert.equal(all, JSON.stringify(expected.flat()).replaceAll(',', ', '));
  assert.equal(one, '[4096, 0]');
  assert.ok(device.flushCount >= 4);
});

test('chunks of a sparse read tell data from holes', async (t) => {
  if (!requireTool(t, 'nbdsh')) return;
  const { uri } = await served(t);
  const out = await nbdsh(uri, [
    'h.pwrite(b"A" * 65536, 1048576)',
    'seen = []',
    'def chunk(data, offset, status, error):',
    '    seen.append((offset, len(data), status))',
    '    return 0',
    'h.pread_structured(4194304, 0, chunk)',
    'print(sorted(seen))',
  ]);
  assert.equal(out.trim(), '[(0, 1048576, 2), (1048576, 65536, 1), (1114112, 3080192, 2)]');
});

test('wrong requests get the errors of the protocol, and the connection goes on', async (t) => {
  if (!requireTool(t, 'nbdsh')) return;
  const { uri } = await served(t);
  const out = await nbdsh(uri, [
    'import errno',
    'h.set_strict_mode(0)',
    'def errno_of(call):',
    '    try:',
    '        call()',
    '        return "OK"',
    '    except nbd.Error as error:',
    '        return errno.errorcode[error.errnum]',
    'size = h.get_size()',
    'print(errno_of(lambda: h.pread(512, size - 511)))',
    'print(errno_of(lambda: h.pwrite(bytes(512), size - 511)))',
    'print(errno_of(lambda: h.zero(512, size - 511)))',
    'print(errno_of(lambda: h.trim(512, size - 511)))',
    'print(errno_of(lambda: h.cache(512, size - 511)))',
    'print(errno_of(lambda: h.pread(512, 2**63)))',
    'print(errno_of(lambda: h.pwrite(bytes(8192), 2**63)))',
    'print(errno_of(lambda: h.pread(0, 0)))',
    'print(errno_of(lambda: h.pwrite(bytes(512), 0, nbd.CMD_FLAG_REQ_ONE)))',
    'print(errno_of(lambda: h.flush(nbd.CMD_FLAG_DF)))',
    'print(errno_of(lambda: h.pread(32 * 1024 * 1024, 0)))',
    'print(errno_of(lambda: h.pwrite(bytes(32 * 1024 * 1024), 0)))',
    'print(errno_of(lambda: h.flush()))',
  ]);
  assert.deepEqual(out.trim().split('\n'), [
    ...['EINVAL', 'ENOSPC', 'ENOSPC', 'EINVAL', 'EINVAL', 'EINVAL', 'ENOSPC', 'EINVAL', 'EINVAL', 'EINVAL'],
    ...['OK', 'OK', 'OK'],
  ]);
});

test('a read-only export is read, and refuses every change', async (t) => {
  if (!requireTools(t, ['nbdsh', 'nbdinfo'])) return;
  const { uri } = await served(t, { readOnly: true });
  const out = await nbdsh(uri, [
    'import errno',
    'h.set_strict_mode(0)',
    'for call in (lambda: h.pwrite(bytes(512), 0), lambda: h.trim(512, 0), lambda: h.zero(512, 0)):',
    '    try:',
    '        call()',
    '    except nbd.Error as error:',
    '        print(errno.errorcode[error.errnum])',
    'assert h.pread(512, 0) == bytes(512)',
    'h.flush()',
  ]);
  assert.equal(out.trim(), 'EPERM\nEPERM\nEPERM');
  const { stdout } = await runOk('nbdinfo', ['--can', 'write', uri]).catch(() => ({ stdout: 'no' }));
  assert.equal(stdout, 'no');
});

test('clients that know less are served: without structured replies, and by the oldest option', async (t) => {
  if (!requireTool(t, 'nbdsh')) return;
  const { directory } = await served(t);
  const socket = join(directory, 'nbd.sock');
  for (const setting of ['h.set_request_structured_replies(False)', 'h.set_handshake_flags(0)']) {
    const script = [
      setting,
      `h.connect_unix(${JSON.stringify(socket)})`,
      'data = bytes(range(256)) * 8192',
      'h.pwrite(data, 12345)',
      'assert h.pread(len(data), 12345) == data',
      'assert h.pread(100000, 30000000) == bytes(100000)',
      'h.flush()',
      'h.shutdown()',
    ];
    await nbdsh(null, script);
  }
});

test('an unknown export is refused', async (t) => {
  if (!requireTool(t, 'nbdinfo')) return;
  const { tcpUri } = await served(t);
  await assert.rejects(runOk('nbdinfo', [tcpUri.replace('vol-1', 'vol-2')]), /no export of this name|No such file/);
});

test('writes through nbdkit as a client arrive, and are seen by others', async (t) => {
  if (!requireTools(t, ['nbdkit', 'nbdcopy'])) return;
  const { uri, directory } = await served(t);
  const image = await someImage(join(directory, 'in.img'));
  const copy = `nbdcopy --connections=4 ${join(directory, 'in.img')} "$uri" && nbdcopy "$uri" ${join(directory, 'out.img')}`;
  await runOk('nbdkit', ['-U', '-', 'nbd', `uri=${uri}`, '--run', copy]);
  assert.ok((await readFile(join(directory, 'out.img'))).equals(image));
  assert.ok((await readFile(join(directory, 'disk.img'))).equals(image));
});

test('many requests in flight at once on one connection are all answered with their own data', async (t) => {
  if (!requireTool(t, 'nbdsh')) return;
  const { tcpUri } = await served(t);
  await nbdsh(tcpUri, [
    'import random',
    'random.seed(7)',
    'blocks = {}',
    'for number in range(3000):',
    '    offset = number * 20000',
    '    data = random.randbytes(random.randint(1, 20000))',
    '    blocks[offset] = data',
    '    h.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(data)), offset)',
    '    while h.aio_in_flight() > 200: h.poll(-1)',
    'while h.aio_in_flight() > 0: h.poll(-1)',
    'reads = []',
    'for offset, data in blocks.items():',
    '    buffer = nbd.Buffer(len(data))',
    '    h.aio_pread(buffer, offset)',
    '    reads.append((buffer, data))',
    '    while h.aio_in_flight() > 200: h.poll(-1)',
    'while h.aio_in_flight() > 0: h.poll(-1)',
    'for buffer, data in reads: assert buffer.to_bytearray() == data',
  ]);
});
