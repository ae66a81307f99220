import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { VirtualClock } from '#base/virtual-clock.ts';
import { BodyBudget, type BodyResult, readBody } from './body.ts';

const limits = { bytesMax: 100, timeoutMs: 1000, dropBytesMax: 50 };

/** What readBody needs of a request: a stream and its headers. */
class FakeRequest extends PassThrough {
  readonly headers: Record<string, string>;

  constructor(headers: Record<string, string> = {}) {
    super();
    this.headers = headers;
  }
}

function read(request: FakeRequest, budget = new BodyBudget(1000), clock = new VirtualClock()): Promise<BodyResult> {
  return readBody(request as unknown as IncomingMessage, limits, budget, clock);
}

function trouble(result: BodyResult): string {
  return result.kind === 'trouble' ? result.trouble : 'none';
}

test('a body arrives whole, whatever its pieces, and counts in the budget until it is given back', async () => {
  const budget = new BodyBudget(1000);
  const request = new FakeRequest();
  const reading = read(request, budget);
  request.write('ab');
  request.write('cd');
  request.end('ef');
  const result = await reading;
  assert.deepEqual(result, { kind: 'whole', bytes: Buffer.from('abcdef') });
  assert.equal(budget.bytesTaken, 6);
});

test('a body of the largest size is whole, and one byte more is too large', async () => {
  for (const [length, expected] of [
    [100, 'none'],
    [101, 'too-large'],
  ] as const) {
    const budget = new BodyBudget(1000);
    const request = new FakeRequest();
    request.end(Buffer.alloc(length));
    assert.equal(trouble(await read(request, budget)), expected);
    assert.equal(budget.bytesTaken, expected === 'none' ? length : 0);
  }
});

test('a body announced too large is read and dropped, and one announced far too large is not read', async () => {
  const dropped = new FakeRequest({ 'content-length': '150' });
  const reading = read(dropped);
  dropped.end(Buffer.alloc(150));
  assert.equal(trouble(await reading), 'too-large');
  assert.equal(dropped.readableEnded, true);
  assert.equal(trouble(await read(new FakeRequest({ 'content-length': '151' }))), 'too-large');
});

test('a body that does not end resolves once enough of it was dropped', async () => {
  const request = new FakeRequest();
  const reading = read(request);
  request.write(Buffer.alloc(101));
  request.write(Buffer.alloc(60));
  assert.equal(trouble(await reading), 'too-large');
});

test('a body that is not whole in its time is too slow, and holds nothing then', async () => {
  const clock = new VirtualClock();
  const budget = new BodyBudget(1000);
  const request = new FakeRequest();
  const reading = read(request, budget, clock);
  request.write('a');
  await clock.advance(999);
  request.write('b');
  await clock.advance(1);
  assert.equal(trouble(await reading), 'too-slow');
  assert.equal(budget.bytesTaken, 0);
});

test('bodies that do not find room are refused and the others keep theirs', async () => {
  const budget = new BodyBudget(150);
  const first = new FakeRequest();
  first.end(Buffer.alloc(100));
  assert.equal((await read(first, budget)).kind, 'whole');
  const second = new FakeRequest();
  second.end(Buffer.alloc(51));
  assert.equal(trouble(await read(second, budget)), 'no-room');
  assert.equal(budget.bytesTaken, 100);
});

test('a client that goes away, before or while its body is read, leaves nothing behind', async () => {
  const budget = new BodyBudget(1000);
  const during = new FakeRequest();
  const reading = read(during, budget);
  during.write('abc');
  during.destroy();
  assert.equal(trouble(await reading), 'gone');
  const before = new FakeRequest();
  before.destroy();
  assert.equal(trouble(await read(before, budget)), 'gone');
  assert.equal(budget.bytesTaken, 0);
});
