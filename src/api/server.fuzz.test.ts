import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { present } from '#base/assert.ts';
import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { SeededRandom, systemRandom } from '#base/random.ts';
import type { ControlPorts } from '#control/ports.ts';
import { parseAccountId } from '#domain/ids.ts';
import { defineFace } from './handler.ts';
import { onlyRoot } from './access/root-access.fake.ts';
import { createApiServer } from './server.ts';
import { SigningClient } from './signing-client.fake.ts';

const KEY = { accessKeyId: 'AKIAAAAAAAAAAAAAAAAA', secretAccessKey: 'secret' };
const ACCOUNT = present(parseAccountId('012345678901'), 'an account id');
const DURATION_MS = Number(process.env['FUZZ_MS'] ?? 3000);

test('no bytes make the server hang, fail or say what it should not', async (context) => {
  const seed = Number(process.env['FUZZ_SEED'] ?? systemRandom.bytes(4).readUInt32LE());
  context.diagnostic(`FUZZ_SEED=${seed}`);
  const random = new SeededRandom(seed);
  const broken: unknown[] = [];
  const parts: Pick<ControlPorts, 'clock' | 'random' | 'log'> = {
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
  };
  let calls = 0;
  const face = defineFace({
    service: 'lightsail',
    repeatable: ['Get'],
    mapFailure: ({ kind }) => ({ code: 'InvalidInputException', message: kind }),
    handlers: {
      CreateDisk: async () => {
        calls += 1;
        return {};
      },
    },
  });
  const server = createApiServer({
    ports: parts as ControlPorts,
    faces: [face],
    findCaller: onlyRoot({ ...KEY, account: ACCOUNT }),
    onBroken: (error) => broken.push(error),
  });
  const { port } = await server.listen(0, '127.0.0.1');
  const client = new SigningClient(port, KEY);
  const startedMs = systemClock.monotonicMs();
  let count = 0;
  try {
    while (systemClock.monotonicMs() - startedMs < DURATION_MS) {
      const batch = Array.from({ length: 8 }, () => mutate(random, validRequest(client, random)));
      for (const answer of await Promise.all(batch.map((bytes) => exchange(port, bytes)))) checkAnswer(answer);
      count += batch.length;
    }
    const good = await exchange(port, validRequest(client, random));
    assert.match(good, /^HTTP\/1.1 (200|4\d\d)/, 'the server still answers');
  } finally {
    await server.close(1000);
  }
  context.diagnostic(`${count} requests, ${calls} of them whole`);
  assert.deepEqual(broken, []);
  assert.deepEqual({ ...server.counts }, { ...server.counts, bodyBytes: 0, callsRunning: 0, requestsOpen: 0 });
});

function checkAnswer(answer: string): void {
  if (answer === '') return; // Cut off: the client had not said all.
  assert.match(answer, /^HTTP\/1.1 (100|200|4\d\d) /);
  assert.doesNotMatch(answer, /<html|node:internal|\.ts:\d/i);
}

function validRequest(client: SigningClient, random: SeededRandom): Buffer {
  const names = ['CreateDisk', 'GetDisks', 'Nothing', 'constructor'];
  const services = ['lightsail', 'ec2', 'ebs', 'sts', 's3'];
  const service = pick(random, services);
  const plain =
    service === 'lightsail'
      ? JSON.stringify({
          diskName: 'Disk-1',
          availabilityZone: 'us-east-1a',
          sizeInGb: 8,
          tags: [{ key: 'k', value: 'v' }],
        })
      : 'Action=DescribeVolumes&Version=2016-11-15&Filter.1.Name=tag%3Ax&Filter.1.Value.1=y';
  // A body that is damaged before it is signed gets as far as the codec.
  const body = random.below(2) === 0 ? Buffer.from(plain) : mutate(random, Buffer.from(plain));
  const request = {
    service,
    body,
    path: service === 'ebs' ? '/snapshots/snap-12345678/blocks' : '/',
    method: service === 'ebs' ? 'GET' : 'POST',
    atMs: systemClock.nowMs(),
    headers: (service === 'lightsail'
      ? { 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': `Lightsail_20161128.${pick(random, names)}` }
      : { 'content-type': 'application/x-www-form-urlencoded' }) as Record<string, string>,
  };
  const headers = { ...client.sign(request), 'content-length': String(body.length) };
  const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.concat([Buffer.from(`${request.method} ${request.path} HTTP/1.1\r\n${head.join('')}\r\n`), body]);
}

/** Some bytes changed, cut out, doubled or put in; sometimes none. */
function mutate(random: SeededRandom, bytes: Buffer): Buffer {
  let changed = bytes;
  for (let times = random.below(4); times > 0 && changed.length > 0; times -= 1) {
    const at = random.below(changed.length);
    const length = random.below(20);
    const [before, middle, after] = [
      changed.subarray(0, at),
      changed.subarray(at, at + length),
      changed.subarray(at + length),
    ];
    const insert = pick(random, [
      random.bytes(length),
      Buffer.from('\r\n'),
      Buffer.from('%00%ff&&==..'),
      Buffer.from('[{"__proto__":'),
      Buffer.from('9'.repeat(length)),
    ]);
    const parts = [
      [before, after],
      [before, middle, middle, after],
      [before, insert, after],
      [before, insert, middle, after],
      [before],
    ];
    changed = Buffer.concat(pick(random, parts));
  }
  return changed;
}

function pick<T>(random: SeededRandom, values: readonly T[]): T {
  const value = values[random.below(values.length)];
  assert.ok(value !== undefined);
  return value;
}

/** Sends bytes, ends its side and answers what came back. */
async function exchange(port: number, bytes: Uint8Array): Promise<string> {
  const done = Promise.withResolvers<string>();
  const pieces: Buffer[] = [];
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true }, () => socket.end(bytes));
  socket.on('data', (piece) => pieces.push(piece));
  socket.on('end', () => socket.destroy());
  socket.on('error', () => {}); // 'close' follows.
  socket.on('close', () => done.resolve(Buffer.concat(pieces).toString('latin1')));
  return await done.promise;
}
