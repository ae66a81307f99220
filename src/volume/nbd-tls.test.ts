import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { test } from 'node:test';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import { present } from '#base/assert.ts';
import { type Clock, systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { VirtualClock } from '#base/virtual-clock.ts';
import { COMMAND, OPTION, OPTION_REPLY } from '#wire/nbd/constants.ts';
import { encodeRequest } from '#wire/nbd/request.ts';
import { singleExport } from './nbd-export.ts';
import { NBD_LIMITS, type NbdLimits } from './nbd-limits.ts';
import { NbdServer } from './nbd-server.ts';
import { clientFlags, infoRequest, metaContexts, option, parseOptionReplies } from './nbd-session-rig.fake.ts';
import { TestDevice } from './nbd-test-device.fake.ts';

const KEY = Buffer.alloc(32, 5);
const PSK_CIPHERS = 'TLS_AES_128_GCM_SHA256:ECDHE-PSK-AES128-CBC-SHA256:ECDHE-PSK-CHACHA20-POLY1305';

/** Reads a number of bytes after another. */
class Reader {
  readonly stream: Socket;
  #held = Buffer.alloc(0);
  #more = Promise.withResolvers<void>();

  constructor(stream: Socket) {
    this.stream = stream;
    stream.on('data', (bytes: Buffer) => {
      this.#held = Buffer.concat([this.#held, bytes]);
      this.#more.resolve();
    });
    stream.on('close', () => this.#more.resolve());
    stream.on('error', () => {});
  }

  async take(count: number): Promise<Buffer> {
    while (this.#held.length < count) {
      assert.equal(this.stream.closed, false, `${count} bytes expected, ${this.#held.length} came`);
      this.#more = Promise.withResolvers();
      await this.#more.promise;
    }
    const bytes = this.#held.subarray(0, count);
    this.#held = this.#held.subarray(count);
    return bytes;
  }

  /** The next reply to an option. */
  async reply(): Promise<number> {
    const header = await this.take(20);
    const [one] = parseOptionReplies(Buffer.concat([header, await this.take(header.readUInt32BE(16))]));
    return present(one, 'a reply came').reply;
  }

  /** The last reply to an option that is answered by several. */
  async lastReply(): Promise<number> {
    for (;;) {
      const reply = await this.reply();
      if (reply === OPTION_REPLY.ack || reply >= 0x8000_0000) return reply;
    }
  }

  async ended(): Promise<void> {
    // `once` of events would reject with the error that may come before.
    if (!this.stream.closed) await new Promise<void>((resolve) => this.stream.once('close', () => resolve()));
  }
}

async function served(
  t: { after(end: () => Promise<void>): void },
  options: { readonly limits?: Partial<NbdLimits>; readonly clock?: Clock } = {},
) {
  const device = new TestDevice(1024 * 1024);
  const server = new NbdServer({ clock: options.clock ?? systemClock, log: silentLog, limits: options.limits ?? {} });
  const exports = singleExport({ id: 'vol', device, description: '' });
  const keys = new Map([['alice', KEY]]);
  const tls = {
    mode: 'require' as const,
    keyOf: (identity: string) => keys.get(identity) ?? null,
    exportsOf: () => exports,
  };
  const listener = await server.listenTcp({ port: 0, exports, tls });
  t.after(() => server.stop());
  const port = present(listener.port, 'a port was taken');
  const connect = async (): Promise<Reader> => {
    const reader = new Reader(connectTcp({ host: '127.0.0.1', port }));
    await once(reader.stream, 'connect');
    return reader;
  };
  return { device, server, keys, connect, port };
}

/** Greets, says `before`, and asks for TLS. */
async function askForTls(reader: Reader, ...before: readonly Buffer[]): Promise<void> {
  await reader.take(18);
  reader.stream.write(Buffer.concat([clientFlags(3), ...before, option(OPTION.startTls)]));
  for (let index = 0; index < before.length; index += 1) assert.equal(await reader.reply(), OPTION_REPLY.tlsRequired);
  assert.equal(await reader.reply(), OPTION_REPLY.ack);
}

async function encrypt(reader: Reader, options: ConnectionOptions & { readonly identity?: string } = {}) {
  reader.stream.removeAllListeners('data');
  const secure: TLSSocket = connectTls({
    socket: reader.stream,
    pskCallback: () => ({ psk: KEY, identity: options.identity ?? 'alice' }),
    ciphers: PSK_CIPHERS,
    checkServerIdentity: () => undefined,
    ...options,
  });
  const encrypted = new Reader(secure);
  await once(secure, 'secureConnect');
  return encrypted;
}

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`a client opens an export and reads and writes under ${version}; what it said before counts for nothing`, async (t) => {
    const { connect, device, server } = await served(t);
    const plain = await connect();
    await askForTls(plain, option(OPTION.structuredReply), option(OPTION.go, infoRequest('', [])));
    const secure = await encrypt(plain, { minVersion: version, maxVersion: version });
    assert.equal((secure.stream as TLSSocket).getProtocol(), version);
    secure.stream.write(option(OPTION.startTls));
    assert.equal(await secure.reply(), OPTION_REPLY.invalid, 'there is TLS already');
    // Structured replies were asked for before, in the clear: not agreed on.
    secure.stream.write(option(OPTION.setMetaContext, metaContexts('', ['base:allocation'])));
    assert.equal(await secure.reply(), OPTION_REPLY.invalid);
    secure.stream.write(option(OPTION.go, infoRequest('', [])));
    assert.equal(await secure.lastReply(), OPTION_REPLY.ack);
    assert.equal(server.clientCount('vol'), 1);
    const data = Buffer.alloc(300_000, 'stratum');
    const write = encodeRequest({ command: COMMAND.write, cookie: 1n, offset: 5000, length: data.length });
    secure.stream.write(Buffer.concat([write, data]));
    assert.equal((await secure.take(16)).readUInt32BE(4), 0);
    assert.ok(device.bytes.subarray(5000, 5000 + data.length).equals(data));
    secure.stream.write(encodeRequest({ command: COMMAND.read, cookie: 2n, offset: 5000, length: data.length }));
    assert.equal((await secure.take(16)).readUInt32BE(4), 0);
    assert.ok((await secure.take(data.length)).equals(data));
    secure.stream.write(encodeRequest({ command: COMMAND.disconnect, cookie: 3n }));
    await secure.ended();
  });
}

test('a handshake without the key of a known identity fails, whatever else the client offers', async (t) => {
  const { connect, server } = await served(t);
  const attempts: readonly ConnectionOptions[] = [
    { pskCallback: () => ({ psk: Buffer.alloc(32, 6), identity: 'alice' }) },
    { pskCallback: () => ({ psk: KEY, identity: 'mallory' }) },
    { pskCallback: () => ({ psk: KEY, identity: '' }) },
    { pskCallback: () => null, ciphers: 'TLS_AES_128_GCM_SHA256', rejectUnauthorized: false },
    { ciphers: 'TLS_AES_256_GCM_SHA384:ECDHE-PSK-AES256-GCM-SHA384', rejectUnauthorized: false },
    { ciphers: 'PSK-AES128-CBC-SHA256', maxVersion: 'TLSv1.2' },
    { maxVersion: 'TLSv1.1', minVersion: 'TLSv1', ciphers: 'ALL@SECLEVEL=0' },
  ];
  for (const attempt of attempts) {
    const plain = await connect();
    await askForTls(plain);
    await assert.rejects(encrypt(plain, attempt));
    plain.stream.destroy(); // Some fail before they have said anything.
  }
  assert.equal(server.clientCount('vol'), 0);
});

test('a session is not resumed: the key is asked for each time, so that it can be taken away', async (t) => {
  const { connect, keys } = await served(t);
  const first = await connect();
  await askForTls(first);
  const tickets: Buffer[] = [];
  const plain = first.stream;
  plain.removeAllListeners('data');
  const secure = connectTls({
    socket: plain,
    pskCallback: () => ({ psk: KEY, identity: 'alice' }),
    ciphers: PSK_CIPHERS,
    checkServerIdentity: () => undefined,
  });
  secure.on('session', (ticket: Buffer) => tickets.push(ticket));
  const reader = new Reader(secure);
  await once(secure, 'secureConnect');
  secure.write(option(OPTION.go, infoRequest('', [])));
  assert.equal(await reader.lastReply(), OPTION_REPLY.ack);
  keys.clear();
  for (const session of tickets) {
    const again = await connect();
    await askForTls(again);
    await assert.rejects(
      encrypt(again, { session, pskCallback: () => null, ciphers: PSK_CIPHERS, rejectUnauthorized: false }),
    );
  }
  secure.destroy();
});

test('whoever came in by an identity is cut when it is ended', async (t) => {
  const { connect, server, keys } = await served(t);
  keys.set('bob', KEY);
  const [alice, bob] = await Promise.all(
    ['alice', 'bob'].map(async (identity) => {
      const plain = await connect();
      await askForTls(plain);
      const secure = await encrypt(plain, { pskCallback: () => ({ psk: KEY, identity }) });
      secure.stream.write(option(OPTION.go, infoRequest('', [])));
      assert.equal(await secure.lastReply(), OPTION_REPLY.ack);
      return secure;
    }),
  );
  server.disconnect('alice');
  await alice?.ended();
  assert.equal(server.clientCount('vol'), 1);
  assert.equal(bob?.stream.closed, false);
  bob?.stream.destroy();
});

test('who does not ask for TLS, or does not go through with it, is cut at the deadline', async (t) => {
  const clock = new VirtualClock();
  const { connect } = await served(t, { clock });
  const silent = await connect();
  const asking = await connect();
  await askForTls(asking);
  asking.stream.write(Buffer.from([0x16, 3, 1, 2])); // The beginning of a record.
  const open = await connect();
  await askForTls(open);
  const secure = await encrypt(open);
  await clock.advance(NBD_LIMITS.handshakeMs - 1);
  assert.deepEqual(
    [silent, asking, secure].map(({ stream }) => stream.closed),
    [false, false, false],
  );
  await clock.advance(1);
  await Promise.all([silent.ended(), asking.ended()]);
  await clock.advance(NBD_LIMITS.handshakeMs);
  await secure.ended(); // It has opened nothing.
});

test('a flood of half-open connections does not keep a client out', async (t) => {
  const { connect } = await served(t, { limits: { handshakesMax: 4 } });
  const flood: Reader[] = [];
  for (let index = 0; index < 40; index += 1) {
    const reader = await connect();
    if (index % 2 === 0) await askForTls(reader);
    flood.push(reader);
  }
  const client = await connect();
  await askForTls(client);
  const secure = await encrypt(client);
  secure.stream.write(option(OPTION.go, infoRequest('', [])));
  assert.equal(await secure.lastReply(), OPTION_REPLY.ack);
  const open = flood.filter(({ stream }) => !stream.closed);
  assert.ok(open.length <= 4, `${open.length} of the flood are left`);
  for (const { stream } of [...open, secure]) stream.destroy();
});

test('garbage instead of a handshake of TLS ends the connection, and so does a client that goes', async (t) => {
  const { connect } = await served(t);
  const garbage = await connect();
  await askForTls(garbage);
  garbage.stream.write(Buffer.alloc(100_000, 0x41));
  await garbage.ended();
  const going = await connect();
  await askForTls(going);
  going.stream.end();
  await going.ended();
});
