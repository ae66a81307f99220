import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { SeededRandom } from '#base/random.ts';
import { COMMAND, OPTION, REQUEST_BYTES_MAX } from '#wire/nbd/constants.ts';
import { blankRequest, decodeRequest, encodeRequest, requestErrno, REQUEST_HEADER_BYTES } from '#wire/nbd/request.ts';
import { NbdBudget } from './nbd-budget.ts';
import { NbdBuffers } from './nbd-buffers.ts';
import { NBD_LIMITS } from './nbd-limits.ts';
import { parseReplies } from './nbd-replies.fake.ts';
import { SessionRig, clientFlags, infoRequest, metaContexts, option } from './nbd-session-rig.fake.ts';
import { TestDevice } from './nbd-test-device.fake.ts';

/** Streams of requests and handshakes; with those before STARTTLS (nbd-starttls.test.ts) more than 100,000 inputs. */
const STREAM_COUNT = Number(process.env['VARVE_FUZZ_COUNT'] ?? 6_000);
const HANDSHAKE_COUNT = Number(process.env['VARVE_FUZZ_COUNT'] ?? 40_000);
const SEED = Number(process.env['VARVE_FUZZ_SEED'] ?? Math.floor(systemClock.nowMs() % 0x1_0000_0000));
const DEVICE_BYTES = 64 * 1024;

/** Rounds of `body`, each with a seed of its own. The seed of a round that fails is in its message. */
async function rounds(count: number, body: (random: SeededRandom) => Promise<void>): Promise<void> {
  for (let seed = SEED; seed < SEED + count; seed += 1) {
    try {
      await body(new SeededRandom(seed));
    } catch (error) {
      throw new Error(`VARVE_FUZZ_SEED=${seed}`, { cause: error });
    }
  }
}

/** What is written comes from here: to make it anew for each write would be most of the work. */
const NOISE = new SeededRandom(7).bytes(4 * DEVICE_BYTES);

function someNoise(random: SeededRandom, length: number): Buffer {
  const at = random.below(NOISE.length - length);
  return NOISE.subarray(at, at + length);
}

/** A few bytes changed, put in, or taken out. */
function mutate(stream: Buffer, random: SeededRandom): Buffer {
  let mutated = stream;
  const count = random.below(4);
  for (let change = 0; change < count && mutated.length > 0; change += 1) {
    const at = random.below(mutated.length);
    const kind = random.below(4);
    if (kind === 0)
      mutated = Buffer.concat([mutated.subarray(0, at), random.bytes(random.below(40)), mutated.subarray(at)]);
    else if (kind === 1) mutated = Buffer.concat([mutated.subarray(0, at), mutated.subarray(at + random.below(40))]);
    else {
      mutated = Buffer.from(mutated);
      mutated[at] = kind === 2 ? random.below(256) : (mutated[at] ?? 0) ^ (1 << random.below(8));
    }
  }
  return mutated;
}

/** A request as a client might send it: mostly right, often at an edge. */
function someRequest(random: SeededRandom, cookie: bigint): Buffer {
  const command = random.below(10) === 0 ? random.below(12) : ([0, 1, 1, 3, 4, 5, 6, 7][random.below(8)] ?? 0);
  const length = random.below(20) === 0 ? random.below(DEVICE_BYTES * 2) : random.below(5000);
  const edge = random.below(10) === 0 ? DEVICE_BYTES - length + random.below(3) - 1 : random.below(DEVICE_BYTES - 5000);
  const flags = random.below(5) === 0 ? random.below(32) : random.below(2);
  const header = encodeRequest({ command, flags, cookie, offset: Math.max(0, edge), length });
  return command === COMMAND.write ? Buffer.concat([header, someNoise(random, length)]) : header;
}

/** What the device must hold after `stream`, by the plainest reading of the protocol: `certain` is null where it cannot be said. */
function plainReading(
  stream: Buffer,
  device: TestDevice,
  structured: boolean,
): { readonly bytes: Buffer; readonly open: [number, number] | null } {
  const bytes = Buffer.alloc(device.sizeBytes);
  const terms = { sizeBytes: device.sizeBytes, readOnly: false, structured, blockStatus: structured };
  const request = blankRequest();
  for (let at = 0; stream.length - at >= REQUEST_HEADER_BYTES;) {
    if (!decodeRequest(stream, at, request)) break;
    at += REQUEST_HEADER_BYTES;
    const { command, offset, length } = request;
    const good = requestErrno(request, terms) === 0;
    if (command === COMMAND.write) {
      if (length > REQUEST_BYTES_MAX) break;
      // The data end in the middle: pieces of the write may have been carried out.
      if (stream.length - at < length) return { bytes, open: good ? [offset, offset + length] : null };
      if (good) stream.copy(bytes, offset, at, at + length);
      at += length;
    } else if (good && (command === COMMAND.trim || command === COMMAND.writeZeroes)) {
      bytes.fill(0, offset, offset + length);
    } else if (good && command === COMMAND.disconnect) {
      break;
    }
  }
  return { bytes, open: null };
}

test(`${STREAM_COUNT} streams of mutated requests never write what the protocol does not say (seed ${SEED})`, async () => {
  const buffers = new NbdBuffers();
  const budget = new NbdBudget(NBD_LIMITS.inFlightBytesTotalMax);
  await rounds(STREAM_COUNT, async (random) => {
    const device = new TestDevice(DEVICE_BYTES);
    const rig = new SessionRig({ device, buffers, budget });
    const structured = random.below(4) > 0;
    await rig.open({ structured });
    const requests = Array.from({ length: 1 + random.below(random.below(4) === 0 ? 300 : 10) }, (_, index) =>
      someRequest(random, BigInt(index)),
    );
    const stream = mutate(Buffer.concat(requests), random);
    const slow = random.below(3) === 0;
    if (random.below(4) === 0) rig.transport.stall();
    const plain = plainReading(stream, device, structured);
    device.slow = slow;
    rig.transport.feed(stream, 1 + random.below(random.below(2) === 0 ? 100 : 20_000));
    const work = async (): Promise<boolean> => {
      await rig.settle();
      rig.transport.unstall();
      const hadWork = device.waiting.length > 0;
      // In order, so that overlapping writes end as they were sent.
      while (device.waiting.length > 0) device.finish();
      return hadWork;
    };
    // What waits when the client closes its side, or is cut, is not done; then nobody can say what is written.
    const endsEarly = slow && random.below(4) === 0;
    for (let quiet = endsEarly ? 3 : 0; quiet < 3; quiet += 1) if (await work()) quiet = 0;
    rig.transport.endInput();
    const ended = new AbortController();
    void rig.session.done.then(() => ended.abort());
    for (let turn = 0; !ended.signal.aborted; turn += 1) {
      assert.ok(turn < 1000, 'a session ends when its client has sent all');
      await work();
    }
    // Only the client knows how many bytes follow a simple reply, and these clients do not.
    if (structured) parseReplies(rig.transport.take());
    if (endsEarly || (slow && rig.transport.destroyed)) return;
    const [from, to] = plain.open ?? [0, 0];
    assert.ok(device.bytes.subarray(0, from).equals(plain.bytes.subarray(0, from)), 'what is before');
    assert.ok(device.bytes.subarray(to).equals(plain.bytes.subarray(to)), 'what is behind');
  });
  assert.equal(
    budget.hasRoom(NBD_LIMITS.inFlightBytesTotalMax, NBD_LIMITS.inFlightBytesTotalMax),
    true,
    'all was given back',
  );
});

test(`${HANDSHAKE_COUNT} mutated handshakes end, and open nothing but what is there (seed ${SEED})`, async () => {
  const names = ['', 'vol', 'other', 'x'.repeat(4096), '__proto__'];
  await rounds(HANDSHAKE_COUNT, async (random) => {
    const device = new TestDevice(DEVICE_BYTES);
    const rig = new SessionRig({ device });
    const name = (): string => names[random.below(names.length)] ?? '';
    const options = [
      () => option(OPTION.exportName, Buffer.from(name())),
      () => option(OPTION.go, infoRequest(name(), [random.below(5)])),
      () => option(OPTION.info, infoRequest(name(), [0, 1, 2, 3])),
      () => option(OPTION.structuredReply),
      () => option(OPTION.list),
      () => option(random.below(2 ** 32), random.bytes(random.below(200))),
      () => option(OPTION.setMetaContext, metaContexts(name(), ['base:allocation', 'x:y'])),
      () => option(OPTION.listMetaContext, metaContexts(name(), [])),
    ];
    const haggling = Array.from(
      { length: random.below(6) },
      () => options[random.below(options.length)]?.() ?? Buffer.alloc(0),
    );
    rig.transport.feed(
      mutate(Buffer.concat([clientFlags(random.below(4)), ...haggling]), random),
      1 + random.below(500),
    );
    await rig.settle();
    await rig.clock.advance(NBD_LIMITS.handshakeMs);
    rig.transport.endInput();
    await rig.clock.advance(NBD_LIMITS.lingerMs);
    await rig.session.done;
    // Random data do not form a write: nothing of the device was touched.
    assert.deepEqual(
      device.calls.filter((call) => call.startsWith('write')),
      [],
    );
  });
});
