import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { SeededRandom } from '#base/random.ts';
import { OPTION, OPTION_REPLY } from '#wire/nbd/constants.ts';
import { clientFlags, infoRequest, option, parseOptionReplies } from './nbd-session-rig.fake.ts';
import { NbdStartTls, type StartTlsOutcome } from './nbd-starttls.ts';

const LIMITS = { optionsMax: 8, optionBytesMax: 1024 };
const FUZZ_COUNT = Number(process.env['VARVE_FUZZ_COUNT'] ?? 60_000);
const SEED = Number(process.env['VARVE_FUZZ_SEED'] ?? Math.floor(systemClock.nowMs() % 0x1_0000_0000));

/** The outcome of some input that comes in one piece, and the options' replies as [option, reply]. */
function outcomeOf(required: boolean, ...input: readonly Buffer[]) {
  const machine = new NbdStartTls({ required, ...LIMITS });
  const { outcome, reply } = machine.take(Buffer.concat(input));
  return {
    outcome,
    replies: parseOptionReplies(reply).map((one) => [one.option, one.reply]),
    rest: machine.rest,
    flags: machine.flags,
  };
}

const go = option(OPTION.go, infoRequest('', []));
const startTls = option(OPTION.startTls);

test('STARTTLS is acknowledged, whether TLS is required or allowed, and the client flags are kept', () => {
  for (const required of [true, false]) {
    const { outcome, replies, flags } = outcomeOf(required, clientFlags(3), startTls);
    assert.equal(outcome, 'tls');
    assert.deepEqual(replies, [[OPTION.startTls, OPTION_REPLY.ack]]);
    assert.deepEqual(flags, { fixedNewstyle: true, noZeroes: true });
  }
});

test('where TLS is required every option but STARTTLS and ABORT is answered TLS_REQD, and EXPORT_NAME by closing', () => {
  const others = [OPTION.list, OPTION.info, OPTION.go, OPTION.structuredReply, OPTION.setMetaContext, 4711];
  for (const number of others) {
    const { outcome, replies } = outcomeOf(true, clientFlags(3), option(number, Buffer.alloc(10)), startTls);
    assert.equal(outcome, 'tls');
    assert.deepEqual(replies, [
      [number, OPTION_REPLY.tlsRequired],
      [OPTION.startTls, OPTION_REPLY.ack],
    ]);
  }
  assert.equal(outcomeOf(true, clientFlags(3), option(OPTION.exportName, Buffer.from('vol'))).outcome, 'close');
  assert.deepEqual(outcomeOf(true, clientFlags(3), option(OPTION.abort)).replies, [[OPTION.abort, OPTION_REPLY.ack]]);
  assert.equal(outcomeOf(true, clientFlags(0)).outcome, 'close', 'who cannot ask for TLS cannot have it');
});

test('where TLS is allowed the first other option goes on without it, untouched', () => {
  for (const [first, flags] of [
    [go, 3],
    [option(OPTION.exportName, Buffer.from('vol')), 0],
  ] as const) {
    const { outcome, replies, rest } = outcomeOf(false, clientFlags(flags), first, Buffer.from('behind'));
    assert.equal(outcome, 'plain');
    assert.deepEqual(replies, []);
    assert.ok(rest.equals(Buffer.concat([first, Buffer.from('behind')])));
  }
});

test('bytes that come with STARTTLS, to be taken for encrypted ones, end the connection', () => {
  for (const behind of [go, Buffer.from([0x16]), Buffer.alloc(1)]) {
    for (const required of [true, false]) {
      const { outcome, replies } = outcomeOf(required, clientFlags(3), startTls, behind);
      assert.equal(outcome, 'close');
      assert.deepEqual(replies, [], 'not even acknowledged');
    }
  }
});

test('an option is answered when all of it came; wrong, huge and endless ones end the connection', () => {
  const input = Buffer.concat([clientFlags(3), go, startTls]);
  const machine = new NbdStartTls({ required: true, ...LIMITS });
  const outcomes = Array.from(input, (byte) => machine.take(Buffer.of(byte)).outcome);
  assert.deepEqual([...new Set(outcomes.slice(0, -1))], ['more']);
  assert.equal(outcomes.at(-1), 'tls');

  assert.equal(outcomeOf(true, clientFlags(4)).outcome, 'close');
  assert.equal(outcomeOf(true, clientFlags(3), Buffer.alloc(16)).outcome, 'close');
  const huge = outcomeOf(true, clientFlags(3), option(OPTION.go, Buffer.alloc(0), LIMITS.optionBytesMax + 1));
  assert.deepEqual([huge.outcome, huge.replies], ['close', [[OPTION.go, OPTION_REPLY.tooBig]]]);
  const data = outcomeOf(true, clientFlags(3), option(OPTION.startTls, Buffer.alloc(1)), startTls);
  assert.deepEqual(data.replies, [
    [OPTION.startTls, OPTION_REPLY.invalid],
    [OPTION.startTls, OPTION_REPLY.ack],
  ]);
  const many = outcomeOf(true, clientFlags(3), ...Array.from({ length: LIMITS.optionsMax + 1 }, () => go));
  assert.equal(many.outcome, 'close');
});

/** The plainest reading of the rules, of a stream that is there whole: where it ends, and how. */
function plainReading(stream: Buffer, required: boolean): { readonly outcome: StartTlsOutcome; readonly at: number } {
  const ends = (outcome: StartTlsOutcome, at: number) => ({ outcome, at });
  if (stream.length < 4) return ends('more', 0);
  const flags = stream.readUInt32BE(0);
  if (flags > 3) return ends('close', 4);
  if ((flags & 1) === 0) return ends(required ? 'close' : 'plain', 4);
  let count = 0;
  for (let at = 4; ;) {
    if (stream.length - at < 16) return ends('more', at);
    if (stream.toString('latin1', at, at + 8) !== 'IHAVEOPT') return ends('close', at + 16);
    const number = stream.readUInt32BE(at + 8);
    const bytes = stream.readUInt32BE(at + 12);
    const isOurs = number === OPTION.startTls || number === OPTION.abort;
    if (!isOurs && !required) return ends('plain', at + 16);
    if (bytes > LIMITS.optionBytesMax) return ends('close', at + 16);
    if (stream.length - at < 16 + bytes) return ends('more', at);
    at += 16 + bytes;
    count += 1;
    if (count > LIMITS.optionsMax || number === OPTION.exportName || number === OPTION.abort) return ends('close', at);
    if (number === OPTION.startTls && bytes === 0) return ends('tls', at);
  }
}

test(`${FUZZ_COUNT} mutated handshakes before TLS end as the rules say, and tell nothing (seed ${SEED})`, () => {
  const told = new Set<number>([OPTION_REPLY.ack, OPTION_REPLY.tlsRequired, OPTION_REPLY.tooBig, OPTION_REPLY.invalid]);
  const acknowledged = new Set<number>([OPTION.startTls, OPTION.abort]);
  const reached = new Map<string, number>();
  for (let round = 0; round < FUZZ_COUNT; round += 1) {
    const random = new SeededRandom(SEED + round);
    const required = random.below(2) === 0;
    const parts = [clientFlags(random.below(20) === 0 ? random.below(8) : 1 + 2 * random.below(2))];
    for (let count = random.below(5); count > 0; count -= 1) {
      const number = random.below(3) === 0 ? OPTION.startTls : random.below(12);
      parts.push(option(number, random.bytes(random.below(4) === 0 ? random.below(40) : 0)));
    }
    const stream = Buffer.concat(parts);
    for (let change = random.below(3); change > 0; change -= 1) {
      stream[random.below(stream.length)] = random.below(2) === 0 ? random.below(256) : 0;
    }
    const message = `VARVE_FUZZ_SEED=${SEED + round}`;
    const expected = plainReading(stream, required);
    const machine = new NbdStartTls({ required, ...LIMITS });
    const pieceBytes = 1 + random.below(stream.length);
    let outcome: StartTlsOutcome = 'more';
    let end = 0;
    for (let at = 0; at < stream.length && outcome === 'more'; at = end) {
      end = Math.min(stream.length, at + pieceBytes);
      const taken = machine.take(stream.subarray(at, end));
      outcome = taken.outcome;
      for (const one of parseOptionReplies(taken.reply)) {
        assert.ok(told.has(one.reply), message);
        assert.ok(one.reply !== OPTION_REPLY.ack || acknowledged.has(one.option), message);
      }
    }
    // What came in one piece with STARTTLS turns its acknowledgement into a closed connection.
    const injects = expected.outcome === 'tls' && end > expected.at;
    assert.equal(outcome, injects ? 'close' : expected.outcome, message);
    if (outcome === 'plain')
      assert.ok(
        stream
          .subarray(0, end)
          .subarray(-machine.rest.length || end)
          .equals(machine.rest),
      );
    reached.set(outcome, (reached.get(outcome) ?? 0) + 1);
  }
  assert.deepEqual([...reached.keys()].toSorted(), ['close', 'more', 'plain', 'tls'], 'every end is reached');
});
