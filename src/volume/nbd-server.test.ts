import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { test, type TestContext } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { VirtualClock } from '#base/virtual-clock.ts';
import { COMMAND, OPTION, OPTION_REPLY } from '#wire/nbd/constants.ts';
import { encodeRequest } from '#wire/nbd/request.ts';
import { NbdBudget } from './nbd-budget.ts';
import { NbdBuffers } from './nbd-buffers.ts';
import { singleExport, type NbdExport } from './nbd-export.ts';
import { NBD_LIMITS } from './nbd-limits.ts';
import { NbdServer } from './nbd-server.ts';
import { NbdPoll } from './nbd-poll.ts';
import { clientFlags, infoRequest, option, parseOptionReplies } from './nbd-session-rig.fake.ts';
import { NbdSession } from './nbd-session.ts';
import { NbdStream } from './nbd-stream.ts';
import { TestDevice } from './nbd-test-device.fake.ts';

const MIB = 1024 * 1024;

async function temporary(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'varve-nbd-'));
  t.after(() => rm(directory, { recursive: true }));
  return directory;
}

function exportOf(id: string, device = new TestDevice(MIB)): NbdExport & { readonly device: TestDevice } {
  return { id, device, description: '' };
}

/** A client that only a test would write: sends bytes, and reads a number of them. */
class RawClient {
  readonly socket: Socket;
  #received = Buffer.alloc(0);
  #more = Promise.withResolvers<void>();

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#more.resolve();
    });
    socket.on('close', () => this.#more.resolve());
    socket.on('error', () => {});
  }

  static async connect(address: { path: string } | { port: number; host: string }): Promise<RawClient> {
    const client = new RawClient(connect(address));
    await once(client.socket, 'connect');
    return client;
  }

  async read(count: number): Promise<Buffer> {
    while (this.#received.length < count) {
      assert.equal(this.socket.closed, false, `${count} bytes expected, ${this.#received.length} came`);
      this.#more = Promise.withResolvers();
      await this.#more.promise;
    }
    const bytes = this.#received.subarray(0, count);
    this.#received = this.#received.subarray(count);
    return bytes;
  }

  /** The last reply to GO. */
  async go(name = ''): Promise<number> {
    await this.read(18);
    this.socket.write(Buffer.concat([clientFlags(3), option(OPTION.go, infoRequest(name, []))]));
    for (;;) {
      const header = await this.read(20);
      const data = await this.read(header.readUInt32BE(16));
      const [reply] = parseOptionReplies(Buffer.concat([header, data]));
      if (reply?.reply !== OPTION_REPLY.info) return reply?.reply ?? 0;
    }
  }

  async write(data: Buffer, offset = 0): Promise<number> {
    this.socket.write(
      Buffer.concat([encodeRequest({ command: COMMAND.write, cookie: 1n, offset, length: data.length }), data]),
    );
    return (await this.read(16)).readUInt32BE(4);
  }

  async readData(offset: number, length: number): Promise<Buffer> {
    this.socket.write(encodeRequest({ command: COMMAND.read, cookie: 2n, offset, length }));
    assert.equal((await this.read(16)).readUInt32BE(4), 0);
    return await this.read(length);
  }

  async closed(): Promise<void> {
    if (!this.socket.closed) await once(this.socket, 'close');
  }
}

test('one device is served by its id and as the default, over a unix socket and TCP', async (t) => {
  const directory = await temporary(t);
  await using server = new NbdServer({ clock: systemClock, log: silentLog });
  const exports = singleExport(exportOf('vol-1'));
  const path = join(directory, 'nbd.sock');
  const unix = await server.listen({ socketPath: path, exports });
  const tcp = await server.listenTcp({ port: 0, exports });
  assert.equal(unix.port, null);
  assert.ok(tcp.port !== null && tcp.port > 0);
  const byPath = await RawClient.connect({ path });
  const byPort = await RawClient.connect({ host: '127.0.0.1', port: tcp.port });
  assert.equal(await byPath.go(''), OPTION_REPLY.ack);
  assert.equal(await byPort.go('vol-1'), OPTION_REPLY.ack);
  assert.equal(server.clientCount('vol-1'), 2);
  const data = Buffer.alloc(700_000, 'stratum');
  assert.equal(await byPath.write(data, 12_345), 0);
  assert.ok((await byPort.readData(12_345, data.length)).equals(data));
  byPath.socket.destroy();
  byPort.socket.write(encodeRequest({ command: COMMAND.disconnect, cookie: 3n }));
  await byPort.closed();
  await unix.close();
  assert.deepEqual(await readdir(directory), []);
});

test('the connections of an export are limited, and so are all together', async (t) => {
  const path = join(await temporary(t), 'nbd.sock');
  await using server = new NbdServer({
    clock: systemClock,
    log: silentLog,
    limits: { connectionsMax: 3, connectionsPerExportMax: 1 },
  });
  await server.listen({ socketPath: path, exports: singleExport(exportOf('vol-1')) });
  const first = await RawClient.connect({ path });
  const second = await RawClient.connect({ path });
  assert.equal(await first.go(), OPTION_REPLY.ack);
  assert.equal(await second.go(), OPTION_REPLY.policy);
  const third = await RawClient.connect({ path });
  const fourth = await RawClient.connect({ path });
  await fourth.closed();
  await third.read(18);
  first.socket.destroy();
  third.socket.destroy();
  second.socket.end();
  await second.closed();
  const fifth = await RawClient.connect({ path });
  assert.equal(await fifth.go(), OPTION_REPLY.ack);
});

test('closing an export answers what its clients began, disconnects them, and leaves others alone', async (t) => {
  const directory = await temporary(t);
  await using server = new NbdServer({ clock: systemClock, log: silentLog });
  const going = exportOf('vol-1');
  const staying = exportOf('vol-2');
  const paths = [join(directory, '1.sock'), join(directory, '2.sock')] as const;
  await server.listen({ socketPath: paths[0], exports: singleExport(going) });
  await server.listen({ socketPath: paths[1], exports: singleExport(staying) });
  const one = await RawClient.connect({ path: paths[0] });
  const two = await RawClient.connect({ path: paths[1] });
  await one.go();
  await two.go();
  going.device.slow = true;
  const written = one.write(Buffer.alloc(4096, 1));
  while (going.device.waiting.length === 0) await new Promise((resolve) => setImmediate(resolve));
  const late = await RawClient.connect({ path: paths[0] });
  const closing = server.close('vol-1');
  assert.equal(await late.go(), OPTION_REPLY.policy, 'nobody new meanwhile');
  going.device.finish();
  assert.equal(await written, 0);
  await one.closed();
  await closing;
  assert.equal(server.clientCount('vol-1'), 0);
  assert.equal(await two.write(Buffer.alloc(512, 2)), 0);
});

test('a client that came before its listener closed opens nothing afterwards', async (t) => {
  const path = join(await temporary(t), 'nbd.sock');
  await using server = new NbdServer({ clock: systemClock, log: silentLog });
  const listener = await server.listen({ socketPath: path, exports: singleExport(exportOf('vol-1')) });
  const client = await RawClient.connect({ path });
  await client.read(18);
  await listener.close();
  client.socket.write(Buffer.concat([clientFlags(3), option(OPTION.go, infoRequest('', []))]));
  const header = await client.read(20);
  assert.equal(header.readUInt32BE(12), OPTION_REPLY.policy);
});

test('stopping waits for what clients began, but not for ever', async (t) => {
  const path = join(await temporary(t), 'nbd.sock');
  const clock = new VirtualClock();
  const server = new NbdServer({ clock, log: silentLog });
  const served = exportOf('vol-1');
  await server.listen({ socketPath: path, exports: singleExport(served) });
  const client = await RawClient.connect({ path });
  await client.go();
  const idle = await RawClient.connect({ path });
  served.device.slow = true;
  client.socket.write(encodeRequest({ command: COMMAND.flush, cookie: 1n }));
  while (served.device.waiting.length === 0) await new Promise((resolve) => setImmediate(resolve));
  let stopped = false;
  const stopping = server.stop().then(() => (stopped = true));
  await idle.closed();
  await clock.advance(NBD_LIMITS.lingerMs);
  await client.closed();
  assert.equal(stopped, false, 'the device still has something to do for it');
  await clock.advance(NBD_LIMITS.lingerMs);
  await stopping;
  served.device.finish();
});

test('a client that never reads its replies cannot hold up a stop', async (t) => {
  const path = join(await temporary(t), 'nbd.sock');
  const clock = new VirtualClock();
  const server = new NbdServer({ clock, log: silentLog });
  const served = exportOf('vol-1', new TestDevice(8 * MIB));
  await server.listen({ socketPath: path, exports: singleExport(served) });
  const client = await RawClient.connect({ path });
  await client.go();
  client.socket.pause();
  for (let count = 0; count < 8; count += 1) {
    client.socket.write(encodeRequest({ command: COMMAND.read, cookie: BigInt(count), length: 4 * MIB }));
  }
  while (served.device.calls.length === 0) await new Promise((resolve) => setImmediate(resolve));
  const stopping = server.stop();
  await new Promise((resolve) => setImmediate(resolve)); // Now the time to linger has begun.
  await clock.advance(NBD_LIMITS.lingerMs);
  await stopping;
  client.socket.destroy();
});

test('a socket that is taken already is refused', async (t) => {
  const path = join(await temporary(t), 'nbd.sock');
  await using server = new NbdServer({ clock: systemClock, log: silentLog });
  const exports = singleExport(exportOf('vol-1'));
  await server.listen({ socketPath: path, exports });
  await assert.rejects(server.listen({ socketPath: path, exports }), /EADDRINUSE/);
});

test('a session runs over any duplex stream, with back-pressure both ways', async () => {
  const served = exportOf('vol-1', new TestDevice(8 * MIB));
  const session = new NbdSession({
    poll: new NbdPoll(systemClock),
    clock: systemClock,
    log: silentLog,
    limits: NBD_LIMITS,
    buffers: new NbdBuffers(),
    budget: new NbdBudget(NBD_LIMITS.inFlightBytesTotalMax),
    exports: singleExport(served),
    admit: () => true,
  });
  const [ours, theirs] = pipes();
  session.start(new NbdStream(ours, session));
  const data = Buffer.alloc(3 * MIB, 'sediment');
  theirs.write(Buffer.concat([clientFlags(3), option(OPTION.go, infoRequest('', []))]));
  theirs.write(encodeRequest({ command: COMMAND.write, cookie: 1n, offset: 77, length: data.length }));
  theirs.write(data);
  for (let cookie = 2n; cookie < 6n; cookie += 1n) {
    theirs.write(encodeRequest({ command: COMMAND.read, cookie, offset: 77, length: data.length }));
  }
  theirs.end(encodeRequest({ command: COMMAND.disconnect, cookie: 6n }));
  const received: Buffer[] = [];
  for await (const chunk of theirs) received.push(chunk as Buffer);
  await session.done;
  const all = Buffer.concat(received);
  for (let index = 0; index < 4; index += 1) {
    const end = all.length - index * (16 + data.length);
    assert.ok(all.subarray(end - data.length, end).equals(data));
  }
});

test('a socket that cannot be adopted is served as a stream', async (t) => {
  const path = join(await temporary(t), 'plain.sock');
  const session = new NbdSession({
    poll: new NbdPoll(systemClock),
    clock: systemClock,
    log: silentLog,
    limits: NBD_LIMITS,
    buffers: new NbdBuffers(),
    budget: new NbdBudget(NBD_LIMITS.inFlightBytesTotalMax),
    exports: singleExport(exportOf('vol-1')),
    admit: () => true,
  });
  const listener = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) =>
    session.start(new NbdStream(socket, session)),
  ).listen(path);
  const client = await RawClient.connect({ path });
  assert.equal(await client.go(), OPTION_REPLY.ack);
  const data = Buffer.alloc(600_000, 'varve');
  assert.equal(await client.write(data, 5), 0);
  assert.ok((await client.readData(5, data.length)).equals(data));
  client.socket.end();
  await session.done;
  listener.close();
});

/** Two ends of a connection in memory. */
function pipes(): readonly [Duplex, Duplex] {
  const end = (other: () => Duplex): Duplex => {
    let resume: (() => void) | null = null;
    return new Duplex({
      write(chunk: Buffer, _encoding, done) {
        if (other().push(Buffer.from(chunk))) done();
        else resumers.set(other(), done);
      },
      final(done) {
        other().push(null);
        done();
      },
      read() {
        resume = resumers.get(this) ?? null;
        resumers.delete(this);
        resume?.();
      },
    });
  };
  const resumers = new Map<Duplex, () => void>();
  const left: Duplex = end(() => right);
  const right: Duplex = end(() => left);
  return [left, right];
}

test('an export that was found and then removed is not opened', async (t) => {
  const directory = await temporary(t);
  await using server = new NbdServer({ clock: systemClock, log: silentLog });
  const served = { is: true };
  const entry = { ...exportOf('vol'), isServed: () => served.is };
  const socketPath = join(directory, 'vol.sock');
  const exports = singleExport(entry);
  // As it is found, it is removed, before it is opened.
  const resolve = async (name: string): Promise<NbdExport | null> => {
    const found = await exports.resolve(name);
    served.is = false;
    return found;
  };
  await server.listen({ socketPath, exports: { ...exports, resolve } });
  const client = await RawClient.connect({ path: socketPath });
  assert.equal(await client.go('vol'), OPTION_REPLY.policy);
  assert.equal(server.clientCount('vol'), 0);
  client.socket.destroy();
});
