import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { singleExport } from '#volume/nbd-export.ts';
import { NbdServer } from '#volume/nbd-server.ts';
import { nbdUri } from '#volume/nbd-uri.ts';
import { requireFuse, requireTools } from '../clients.ts';
import { MountedVolume } from '../mounted-volume.ts';
import { FileDevice } from './file-device.ts';

const MIB = 1024 * 1024;
const SIZE = 64 * MIB;

test('nbdfuse shows the export as a file that is read, written and synced: unix socket, TCP and TLS', async (t) => {
  if (!requireTools(t, ['nbdfuse', 'nbdkit']) || !requireFuse(t)) return;
  const directory = scratchDirectory('fuse');
  const device = new FileDevice({ path: join(directory, 'disk.img'), sizeBytes: SIZE });
  const server = new NbdServer({ clock: systemClock, log: silentLog });
  const exports = singleExport({ id: 'vol-1', device, description: 'a disk of a test' });
  const socketPath = join(directory, 'nbd.sock');
  await server.listen({ socketPath, exports });
  const plain = await server.listenTcp({ port: 0, exports });
  const key = randomBytes(32);
  const tls = { mode: 'require', keyOf: () => key, exportsOf: () => exports } as const;
  const secure = await server.listenTcp({ port: 0, exports, tls });
  t.after(async () => {
    await server.stop();
    await device[Symbol.asyncDispose]();
  });
  const pskPath = join(directory, 'keys.psk');
  await writeFile(pskPath, `alice:${key.toString('hex')}\n`, { mode: 0o600 });
  // nbdfuse does not let libnbd read a key file, so nbdkit does TLS for it.
  const proxyPath = join(directory, 'proxy.sock');
  const proxy = spawn(
    'nbdkit',
    [
      ...['-f', '-U', proxyPath, 'nbd', 'hostname=127.0.0.1', `port=${secure.port}`, 'export=vol-1'],
      ...['tls=require', `tls-psk=${pskPath}`, 'tls-username=alice'],
    ],
    { stdio: 'ignore' },
  );
  t.after(() => proxy.kill());
  while (!existsSync(proxyPath)) {
    assert.equal(proxy.exitCode, null, 'nbdkit runs');
    await systemClock.sleep(20);
  }
  const uris = [nbdUri('', socketPath), `nbd://127.0.0.1:${plain.port}/vol-1`, nbdUri('', proxyPath)];
  for (const [index, uri] of uris.entries()) {
    const here = join(directory, String(index));
    await mkdir(here);
    const volume = await MountedVolume.attach(uri, here);
    try {
      const flushCount = device.flushCount;
      const data = randomBytes(3 * MIB + 17);
      await using file = await open(volume.devicePath, 'r+');
      await file.write(data, 0, data.length, index * 8 * MIB + 1234);
      await file.sync();
      assert.ok(device.flushCount > flushCount, 'fsync is a flush');
      const own = Buffer.alloc(data.length);
      device.read(index * 8 * MIB + 1234, own);
      assert.ok(own.equals(data), uri);
      const whole = await readFile(volume.devicePath);
      assert.equal(whole.length, SIZE);
      assert.ok(
        whole
          .subarray(index * 8 * MIB + 1234)
          .subarray(0, data.length)
          .equals(data),
      );
    } finally {
      await volume.detach();
    }
  }
});
