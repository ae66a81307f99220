import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { present } from '#base/assert.ts';
import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import type { AccountId, SnapshotId, VolumeId } from '#domain/ids.ts';
import { COMMAND } from '#wire/nbd/constants.ts';
import { encodeRequest } from '#wire/nbd/request.ts';

import { PlainNbdClient } from './host-nbd.fake.ts';
import { singleExport } from './nbd-export.ts';
import type { NbdLimits } from './nbd-limits.ts';
import { NbdServer } from './nbd-server.ts';
import { clientFlags, infoRequest, option } from './nbd-session-rig.fake.ts';
import { VolumeDevice } from './volume-device.ts';

const CHUNK_COUNT = 8;
const ORIGIN_BYTE = 0x11;

/** A volume of an origin whose chunk 0 comes when `gate` resolves, and its server. `fetching` resolves when it is waited for. */
async function served(scope: AsyncDisposableStack, gate: Promise<void>, limits: Partial<NbdLimits> = {}) {
  const base = await mkdtemp(join(tmpdir(), 'varve-reconnect-'));
  scope.defer(() => rm(base, { recursive: true }));
  const root = { key: 'cd'.repeat(32), depth: 1, chunkCount: CHUNK_COUNT, presentCount: CHUNK_COUNT };
  await VolumeDevice.create(join(base, 'volume'), {
    volume: 'vol-00000001' as VolumeId,
    account: '000000000001' as AccountId,
    sizeBytes: CHUNK_COUNT * CHUNK_BYTES,
    origin: { snapshot: 'snap-00000001' as SnapshotId, root, chunkCount: CHUNK_COUNT },
  });
  const fetching = Promise.withResolvers<void>();
  const device = await VolumeDevice.open(join(base, 'volume'), {
    generation: 1,
    fetchOrigin: async (index) => {
      if (index === 0) {
        fetching.resolve();
        await gate;
      }
      return Buffer.alloc(CHUNK_BYTES, ORIGIN_BYTE);
    },
  });
  scope.use(device);
  const server = scope.use(new NbdServer({ clock: systemClock, log: silentLog, limits }));
  const path = join(base, 'vol.sock');
  const exports = singleExport({ id: 'vol', device, description: 'a disk' });
  await server.listen({ socketPath: path, exports });
  const { port } = await server.listenTcp({ port: 0, exports });
  const addresses = { unix: { path }, TCP: { host: '127.0.0.1', port: present(port, 'a port was taken') } };
  return { path, addresses, server, fetching: fetching.promise };
}

type Address = { readonly path: string } | { readonly host: string; readonly port: number };

/** A client that asks for one thing and dies before it is answered. */
async function askAndDie(address: Address, bytes: Buffer, when: Promise<void>): Promise<void> {
  const socket = createConnection(address);
  await once(socket, 'connect');
  socket.on('data', () => {});
  socket.write(Buffer.concat([clientFlags(3), option(7, infoRequest('', [])), bytes]));
  await when;
  socket.destroy();
  await once(socket, 'close');
}

const requests = {
  WRITE_ZEROES: encodeRequest({
    command: COMMAND.writeZeroes,
    cookie: 1n,
    offset: 4096,
    length: 3 * CHUNK_BYTES - 4096,
  }),
  TRIM: encodeRequest({ command: COMMAND.trim, cookie: 1n, offset: 4096, length: 3 * CHUNK_BYTES - 4096 }),
  WRITE: Buffer.concat([
    encodeRequest({ command: COMMAND.write, cookie: 1n, offset: 4096, length: 4096 }),
    Buffer.alloc(4096, 0x22),
  ]),
};

for (const [name, request] of Object.entries(requests)) {
  test(`a ${name} that waits for the origin when its client dies changes nothing that the next client wrote`, async () => {
    await using scope = new AsyncDisposableStack();
    const gate = Promise.withResolvers<void>();
    const { path, server, fetching } = await served(scope, gate.promise);
    await askAndDie({ path }, request, fetching);
    using next = await PlainNbdClient.connect({ path });
    // The first chunk is written whole, and so needs no fetch.
    await next.write(0, Buffer.alloc(2 * CHUNK_BYTES, 0x77));
    await next.flush();
    gate.resolve();
    while (server.clientCount('vol') > 1) await new Promise((resolve) => setImmediate(resolve));
    const all = await next.read(0, 3 * CHUNK_BYTES);
    assert(all.subarray(0, 2 * CHUNK_BYTES).equals(Buffer.alloc(2 * CHUNK_BYTES, 0x77)), 'acknowledged and flushed');
    assert(all.subarray(2 * CHUNK_BYTES).equals(Buffer.alloc(CHUNK_BYTES, ORIGIN_BYTE)), 'as it was');
  });
}

for (const kind of ['unix', 'TCP'] as const) {
  test(`a request that waits for its turn when its client dies is not begun, though the end of input lies behind more input (${kind})`, async () => {
    await using scope = new AsyncDisposableStack();
    const gate = Promise.withResolvers<void>();
    // The first request fills what a connection may have in flight.
    const { addresses, server, fetching } = await served(scope, gate.promise, { inFlightBytesMax: 16 * 1024 });
    const late = Array.from({ length: 20 }, (_, index) => [
      encodeRequest({ command: COMMAND.write, cookie: 2n, offset: CHUNK_BYTES + index * 4096, length: 4096 }),
      Buffer.alloc(4096, 0x33),
    ]);
    await askAndDie(addresses[kind], Buffer.concat([requests.WRITE, ...late.flat()]), fetching);
    using next = await PlainNbdClient.connect(addresses[kind]);
    await next.write(0, Buffer.alloc(2 * CHUNK_BYTES, 0x77));
    await next.flush();
    gate.resolve();
    while (server.clientCount('vol') > 1) await new Promise((resolve) => setImmediate(resolve));
    assert(
      (await next.read(0, 2 * CHUNK_BYTES)).equals(Buffer.alloc(2 * CHUNK_BYTES, 0x77)),
      'acknowledged and flushed',
    );
  });
}
