import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readlinkSync } from 'node:fs';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';

import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { systemRandom } from '#base/random.ts';
import { openRunDirectory } from '#base/run-directory.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { AccountId, VolumeId } from '#domain/ids.ts';
import { composeHost } from '#src/compose-host.ts';

import { VolumeDevice } from './volume-device.ts';
import { nodeVolumeFiles, type VolumeFiles } from './volume-files.ts';

const base = scratchDirectory('closing');
let count = 0;

/** Files below a directory that this process has open. */
function openBelow(directory: string): readonly string[] {
  const links = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ''; // Of the listing itself.
    }
  });
  return links.filter((path) => path.startsWith(`${directory}/`));
}

async function made(): Promise<string> {
  const path = join(base, `volume-${(count += 1)}`);
  await VolumeDevice.create(path, {
    volume: 'vol-00000001' as VolumeId,
    account: '000000000001' as AccountId,
    sizeBytes: 4 * CHUNK_BYTES,
    origin: null,
  });
  return path;
}

test('an opening that fails, at whatever file, leaves none open', { skip: process.platform !== 'linux' }, async () => {
  const path = await made();
  let opens = 0;
  for (let failing = 1; ; failing += 1) {
    opens = 0;
    const files: VolumeFiles = {
      ...nodeVolumeFiles,
      open: (file, mode) => {
        opens += 1;
        if (opens === failing) throw Object.assign(new Error('too many open files'), { code: 'EMFILE' });
        return nodeVolumeFiles.open(file, mode);
      },
    };
    const opening = VolumeDevice.open(path, { generation: 1 + failing, fetchOrigin: async () => null, files });
    const device = await opening.catch(() => null);
    if (device === null) {
      assert.deepEqual(openBelow(path), [], `the ${failing}th file could not be opened`);
      continue;
    }
    assert(failing > 5, 'an opening opens several files');
    assert(openBelow(path).length > 0);
    await device.close();
    assert.deepEqual(openBelow(path), []);
    return;
  }
});

test('who closes a volume once more waits until it is closed', async () => {
  const device = await VolumeDevice.open(await made(), { generation: 1, fetchOrigin: async () => null });
  await device.write(0, Buffer.alloc(4096, 1), { fua: false });
  const first = device.close();
  let isClosed = false;
  void first.then(() => (isClosed = true));
  await device.close();
  assert(isClosed);
});

test('a host that cannot be put together leaves no store open', { skip: process.platform !== 'linux' }, async () => {
  const dataDirectory = join(base, `data-${(count += 1)}`);
  mkdirSync(dataDirectory);
  const { socketDirectory } = openRunDirectory(dataDirectory);
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const address = taken.address();
  assert(address !== null && typeof address === 'object');
  const options = { dataDirectory, socketDirectory, clock: systemClock, random: systemRandom, log: silentLog };
  {
    await using scope = new AsyncDisposableStack();
    const nbdTcp = { host: '127.0.0.1', port: address.port };
    await assert.rejects(composeHost({ ...options, nbdTcp }, scope), /cannot be served over TCP|EADDRINUSE/);
  }
  assert.deepEqual(openBelow(dataDirectory), []);
  taken.close();
  await using scope = new AsyncDisposableStack();
  await composeHost({ ...options, nbdTcp: null }, scope);
  assert(openBelow(dataDirectory).length > 0, 'an index is open as long as a host is');
});
