import assert from 'node:assert/strict';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { SeededRandom } from '#base/random.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { MemoryDevice } from '#block/memory-device.ts';
import { singleExport } from '#volume/nbd-export.ts';
import { NbdServer } from '#volume/nbd-server.ts';
import { nbdUri } from '#volume/nbd-uri.ts';
import { encodeHello } from '#wire/nbd/handshake.ts';
import { CommandError } from './command-error.ts';
import { NbdClient } from './image-nbd-client.ts';

const MIB = 1024 * 1024;
const scratch = scratchDirectory('nbd-client');
let sockets = 0;
const freshSocket = (): string => join(scratch, `${(sockets += 1)}.sock`);

async function served(sizeBytes: number): Promise<{ readonly uri: string } & AsyncDisposable> {
  const socketPath = freshSocket();
  const server = new NbdServer({ clock: systemClock, log: silentLog });
  const device = new MemoryDevice({ sizeBytes });
  await server.listen({ socketPath, exports: singleExport({ id: 'a disk', device, description: '' }) });
  return { uri: nbdUri('a disk', socketPath), [Symbol.asyncDispose]: () => server.stop() };
}

/** A server that says `bytes` as soon as somebody comes, `after` more of what it hears, and hangs up. */
async function liar(t: TestContext, say: (socket: Socket) => void): Promise<string> {
  const socketPath = freshSocket();
  const server = createServer((socket) => {
    socket.on('error', () => {});
    say(socket);
  });
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  t.after(() => server.close());
  return nbdUri('x', socketPath);
}

test('reads, writes, maps and flushes are those of a model, with many in flight', async () => {
  const seed = Number(process.env['VARVE_SEED'] ?? 11);
  const random = new SeededRandom(seed);
  await using server = await served(16 * MIB);
  await using client = await NbdClient.connect(server.uri);
  assert.deepEqual([client.sizeBytes, client.readOnly], [16 * MIB, false]);
  const model = Buffer.alloc(16 * MIB);
  for (let round = 0; round < 12; round += 1) {
    // Writes of a round do not overlap; reads may lie anywhere.
    const lane = MIB;
    await Promise.all(
      Array.from({ length: 16 }, async (_, at) => {
        const offset = at * lane + random.below(lane / 2);
        const bytes = Buffer.alloc(1 + random.below(lane / 2), 1 + random.below(255));
        model.set(bytes, offset);
        await client.write(offset, bytes);
      }),
    );
    await client.flush();
    await Promise.all(
      Array.from({ length: 16 }, async () => {
        const offset = random.below(model.length - 1);
        const length = 1 + random.below(Math.min(2 * MIB, model.length - offset - 1));
        const read = await client.read(offset, length);
        assert.ok(read.equals(model.subarray(offset, offset + length)), `seed ${seed}, round ${round}`);
      }),
    );
    let at = 0;
    while (at < model.length) {
      for (const { length, zero } of await client.runs(at, model.length - at)) {
        if (zero) assert.ok(model.subarray(at, at + length).every((byte) => byte === 0));
        at += length;
      }
    }
    assert.equal(at, model.length);
  }
});

test('what the server refuses is said, and the connection goes on', async () => {
  await using server = await served(MIB);
  await using client = await NbdClient.connect(server.uri);
  await assert.rejects(client.read(MIB - 10, 20), /answered EINVAL to a read of 20 bytes at 1048566/);
  await assert.rejects(client.write(MIB - 10, Buffer.alloc(20)), /answered ENOSPC to a write/);
  assert.equal((await client.read(0, 10)).length, 10);
});

test('an export that is not there, a server that is none, and one that hangs up are errors in words', async (t) => {
  await using server = await served(MIB);
  await assert.rejects(NbdClient.connect(server.uri.replace('a%20disk', 'other')), CommandError);
  await assert.rejects(NbdClient.connect(nbdUri('x', join(scratch, 'nobody'))), /cannot open/);
  await assert.rejects(NbdClient.connect('nbd://127.0.0.1/x'), /no NBD address on a unix socket/);
  for (const say of [
    (socket: Socket): void => void socket.end(),
    (socket: Socket): void => void socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'),
    (socket: Socket): void => void socket.end(encodeHello()),
    (socket: Socket): void => void socket.write(Buffer.concat([encodeHello(), Buffer.alloc(20, 0xff)])),
  ]) {
    await assert.rejects(NbdClient.connect(await liar(t, say)), CommandError);
  }
});

test('when the server goes, whatever waits and whatever comes fails', async () => {
  const server = await served(4 * MIB);
  await using client = await NbdClient.connect(server.uri);
  await client.write(0, Buffer.alloc(MIB, 1));
  await server[Symbol.asyncDispose]();
  await assert.rejects(client.read(0, MIB), /the NBD connection broke/);
  await assert.rejects(client.flush(), /the NBD connection broke/);
});
