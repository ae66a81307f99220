import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { systemClock } from '#base/clock.ts';
import { COMMAND, OPTION } from '#wire/nbd/constants.ts';
import { encodeRequest } from '#wire/nbd/request.ts';
import { connectSecurely, PlainNbdClient } from '#volume/host-nbd.fake.ts';
import { clientFlags, infoRequest, option } from '#volume/nbd-session-rig.fake.ts';
import { requireTools } from '../clients.ts';
import { RunningServer } from '../running-server.ts';
import type { HonestFigures } from './honest-client.ts';

/**
 * Clients that mean harm, against a real server. Each attack runs against one disk while an honest client of another reads
 * without pause: the volume host's memory may grow by so much and no more, and the honest client may not be kept waiting.
 */

const MIB = 1024 * 1024;
const GROWTH_BYTES_MAX = 128 * MIB;
/** Of all attacks one after another: what was freed is not given back to the system at once. Beyond that it does not grow. */
const TOTAL_GROWTH_BYTES_MAX = 256 * MIB;
/** On a machine that runs other things besides. An honest client of a server that is taken down waits for seconds, or for ever. */
const WAIT_MS_MAX = 1_500;
const ATTACK_MS = 1_000;
/** Answers to an honest client during an attack: it goes on all the time, however slow the machine's disk is. */
const HONEST_COUNT_MIN = 5;

type Address = { readonly path: string } | { readonly host: string; readonly port: number };

interface Target {
  readonly unix: { readonly path: string };
  readonly tcp: { readonly host: string; readonly port: number };
  readonly psk: { readonly identity: string; readonly key: Buffer };
}

/** What a hostile client sends, and how many of them there are. Nothing that the server sends is ever read. */
interface Attack {
  readonly name: string;
  /** `tls`: over TCP, with a credential. */
  readonly to: 'unix' | 'tcp' | 'tls';
  readonly count: number;
  readonly first: Buffer;
  /** Sent again and again afterwards, as long as the connection takes it. */
  readonly again?: Buffer;
  /** Between two of them; 0: as fast as it goes. */
  readonly everyMs?: number;
}

const hello = clientFlags(3);
const go = option(OPTION.go, infoRequest('', []));
const opened = Buffer.concat([hello, go]);
/** Where the client flags have been sent. */
const openedSecurely = Buffer.concat([option(OPTION.structuredReply), go]);
const openedStructured = Buffer.concat([hello, option(OPTION.structuredReply), go]);
const startTls = Buffer.concat([hello, option(OPTION.startTls)]);
const read = (length: number): Buffer => encodeRequest({ command: COMMAND.read, cookie: 1n, length });
const write = (length: number): Buffer => encodeRequest({ command: COMMAND.write, cookie: 2n, length });
const reads = Buffer.concat(Array.from({ length: 64 }, () => read(32 * MIB)));
const smallReads = Buffer.concat(Array.from({ length: 64 }, () => read(4096)));
const flushes = Buffer.concat(Array.from({ length: 64 }, () => encodeRequest({ command: COMMAND.flush, cookie: 3n })));
/** The beginning of a ClientHello that says it is longer. */
const halfClientHello = Buffer.concat([Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]), Buffer.alloc(40)]);

const ATTACKS: readonly Attack[] = [
  { name: '32 connections ask for 32 MiB and read nothing', to: 'unix', count: 32, first: opened, again: reads },
  { name: '64 connections do so in chunks', to: 'unix', count: 64, first: openedStructured, again: reads },
  {
    name: '64 connections ask for 4 KiB without end and read nothing',
    to: 'unix',
    count: 64,
    first: opened,
    again: smallReads,
  },
  { name: '64 connections flush without end and read nothing', to: 'unix', count: 64, first: opened, again: flushes },
  {
    name: '64 connections with a credential ask for 32 MiB under TLS and read nothing',
    to: 'tls',
    count: 64,
    first: openedSecurely,
    again: reads,
  },
  { name: 'half a request', to: 'unix', count: 64, first: Buffer.concat([opened, read(4096).subarray(0, 14)]) },
  { name: 'silence', to: 'unix', count: 200, first: Buffer.alloc(0) },
  {
    name: 'a write of 4 GiB',
    to: 'unix',
    count: 64,
    first: Buffer.concat([opened, write(0xffff_ffff)]),
    again: Buffer.alloc(65_536),
  },
  {
    name: 'writes whose payload never ends',
    to: 'unix',
    count: 64,
    first: Buffer.concat([opened, write(32 * MIB), Buffer.alloc(300_000)]),
    again: Buffer.of(0),
    everyMs: 20,
  },
  { name: 'reads of 4 GiB', to: 'unix', count: 64, first: opened, again: read(0xffff_ffff) },
  {
    name: 'an option of 4 GiB',
    to: 'unix',
    count: 200,
    first: Buffer.concat([hello, option(OPTION.go, Buffer.alloc(0), 0xffff_ffff)]),
    again: Buffer.alloc(65_536),
  },
  {
    name: 'options of 64 KiB without end',
    to: 'unix',
    count: 200,
    first: hello,
    again: option(4711, Buffer.alloc(65_536)),
  },
  {
    name: 'options that nobody knows, byte by byte',
    to: 'unix',
    count: 200,
    first: Buffer.concat([hello, option(4711)]),
    again: Buffer.of(0x49),
    everyMs: 20,
  },
  { name: '10,000 connections', to: 'unix', count: 10_000, first: hello },
  { name: '10,000 connections that open the disk', to: 'unix', count: 10_000, first: opened },
  { name: '10,000 connections over TCP', to: 'tcp', count: 10_000, first: hello },
  {
    name: 'handshakes of TLS that never end',
    to: 'tcp',
    count: 1_000,
    first: startTls,
    again: halfClientHello,
    everyMs: 50,
  },
  { name: 'options without TLS, without end', to: 'tcp', count: 200, first: hello, again: go },
  { name: 'garbage', to: 'tcp', count: 200, first: Buffer.alloc(65_536, 0x5a), again: Buffer.alloc(65_536, 0xa5) },
];

function statusBytes(pid: number, field: 'VmRSS' | 'VmHWM'): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`^${field}:\\s+([0-9]+) kB`, 'm').exec(status)?.[1]) * 1024;
}

/** From now on the peak counts anew. */
function forgetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
}

/** The honest client, in a thread of its own: the attack keeps this one busy. */
async function honestClient(address: Address): Promise<() => Promise<HonestFigures>> {
  const worker = new Worker(new URL('./honest-client.ts', import.meta.url), { workerData: address });
  await once(worker, 'message'); // It is connected.
  return async () => {
    worker.postMessage('stop', []);
    const [figures] = (await once(worker, 'message')) as [HonestFigures];
    return figures;
  };
}

/** All connections of an attack, until `signal`. */
async function attack(one: Attack, target: Target, untilMs: number): Promise<readonly Socket[]> {
  const sockets: Socket[] = [];
  const sending: Promise<void>[] = [];
  for (let index = 0; index < one.count; index += 1) {
    const socket =
      one.to === 'tls' ? await connectSecurely(target.tcp, target.psk) : createConnection({ ...target[one.to] });
    socket.on('error', () => {});
    socket.pause();
    socket.write(one.first);
    sockets.push(socket);
    if (one.again !== undefined) sending.push(keepSending(socket, one.again, one.everyMs ?? 0, untilMs));
    // As many at once as a listening socket has room for.
    if (index % 100 === 99) await systemClock.sleep(1);
  }
  await Promise.all(sending);
  const restMs = untilMs - systemClock.monotonicMs();
  if (restMs > 0) await systemClock.sleep(restMs);
  return sockets;
}

async function keepSending(socket: Socket, bytes: Buffer, everyMs: number, untilMs: number): Promise<void> {
  await systemClock.sleep(5); // STARTTLS wants to be answered first.
  while (!socket.destroyed && systemClock.monotonicMs() < untilMs) {
    if (socket.writable && socket.writableLength < 256 * 1024) socket.write(bytes);
    await systemClock.sleep(everyMs);
  }
}

async function closed(sockets: readonly Socket[]): Promise<void> {
  await Promise.all(
    sockets.map(async (socket) => {
      socket.destroy();
      if (!socket.closed) await new Promise<void>((resolve) => socket.once('close', () => resolve()));
    }),
  );
}

test('a hostile client costs bounded memory and keeps nobody else waiting', async (t) => {
  if (!requireTools(t, ['aws'])) return;
  await using server = await RunningServer.start({ args: ['--nbd-tcp', '0'] });
  const zone = ['--availability-zone', 'us-east-1a', '--size-in-gb', '8'];
  for (const name of ['attacked', 'honest']) {
    await server.awsJson(['lightsail', 'create-disk', '--disk-name', name, ...zone]);
  }
  const socketOf = async (name: string): Promise<{ path: string }> => {
    const uri = new URL(await server.uri(name));
    return { path: uri.searchParams.get('socket') ?? assert.fail('a socket') };
  };
  const made = await server.varve(['connect', 'attacked', '--tcp', '--json']);
  const access = JSON.parse(made.stdout) as { port: number; id: string; pskFile: string };
  const key = Buffer.from(readFileSync(access.pskFile, 'utf8').trim().split(':')[1] ?? '', 'hex');
  const target: Target = {
    unix: await socketOf('attacked'),
    tcp: { host: '127.0.0.1', port: access.port },
    psk: { identity: access.id, key },
  };
  const pid = await server.hostProcessId();

  // Both disks have data, and the host has served: what it needs for that is no growth.
  const honestAddress = await socketOf('honest');
  for (const address of [target.unix, honestAddress]) {
    using client = await PlainNbdClient.connect(address);
    for (let at = 0; at < 64 * MIB; at += 8 * MIB) await client.write(at, Buffer.alloc(8 * MIB, 0x5a));
    for (let at = 0; at < 64 * MIB; at += 8 * MIB) await client.read(at, 8 * MIB);
    await client.flush();
  }
  const restBytes = statusBytes(pid, 'VmRSS');
  t.diagnostic(`at rest: ${(restBytes / MIB).toFixed(0)} MiB`);

  for (const one of ATTACKS) {
    await t.test(one.name, async (attacked) => {
      forgetPeak(pid);
      const beforeBytes = statusBytes(pid, 'VmRSS');
      const stopHonest = await honestClient(honestAddress);
      const sockets = await attack(one, target, systemClock.monotonicMs() + ATTACK_MS);
      const honest = await stopHonest();
      const peakBytes = statusBytes(pid, 'VmHWM');
      const growthBytes = peakBytes - beforeBytes;
      const figures = `${(growthBytes / MIB).toFixed(1)} MiB more, ${(peakBytes / MIB).toFixed(0)} in all, ${honest.count} honest reads, the longest ${honest.longestMs.toFixed(1)} ms`;
      attacked.diagnostic(figures);
      await closed(sockets);
      assert.ok(growthBytes < GROWTH_BYTES_MAX && peakBytes < restBytes + TOTAL_GROWTH_BYTES_MAX, figures);
      assert.ok(honest.longestMs < WAIT_MS_MAX && honest.count >= HONEST_COUNT_MIN, figures);
      // And the disk that was attacked is served again.
      const deadlineMs = systemClock.monotonicMs() + 10_000;
      for (;;) {
        const next = await PlainNbdClient.connect(target.unix).catch(() => null);
        if (next !== null) {
          assert.equal((await next.read(56 * MIB, 4096))[0], 0x5a); // Where no attack writes.
          next[Symbol.dispose]();
          break;
        }
        assert.ok(systemClock.monotonicMs() < deadlineMs, 'the attacked disk can be opened again');
        await systemClock.sleep(20);
      }
      assert.equal(await server.hostProcessId(), pid, 'the same process serves');
    });
  }
});
