import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NbdBuffers } from './nbd-buffers.ts';
import { LEASE_LARGE_BYTES, LEASE_SMALL_BYTES, LEASES_LARGE_MAX } from './nbd-limits.ts';
import { NbdReceiver } from './nbd-receiver.ts';

const HEADER_BYTES = 28;

function receive(receiver: NbdReceiver, text: string): void {
  receiver.target().set(Buffer.from(text));
  receiver.advance(text.length);
}

function held(receiver: NbdReceiver): string {
  return receiver.bytes.toString('latin1', receiver.start, receiver.end);
}

test('a connection that holds nothing receives where all do', () => {
  const buffers = new NbdBuffers();
  const receiver = new NbdReceiver(buffers);
  assert.equal(receiver.target(), buffers.receive);
  receive(receiver, 'a whole message');
  receiver.use(15);
  receiver.settle(HEADER_BYTES);
  assert.equal(receiver.target(), buffers.receive);
});

test('a part of a message is kept while others receive', () => {
  const buffers = new NbdBuffers();
  const one = new NbdReceiver(buffers);
  const other = new NbdReceiver(buffers);
  receive(one, 'used, kept ');
  one.use(6);
  one.settle(HEADER_BYTES);
  receive(other, 'something else');
  assert.equal(held(one), 'kept ');
  receive(one, 'and more');
  assert.equal(held(one), 'kept and more');
  one.use(13);
  one.settle(HEADER_BYTES);
  assert.equal(one.target(), buffers.receive, 'and then it costs nothing again');
});

test('a large message is received where it stays', () => {
  const receiver = new NbdReceiver(new NbdBuffers());
  receiver.settle(500_000);
  const before = receiver.bytes;
  assert.equal(before.length, LEASE_LARGE_BYTES);
  receive(receiver, 'x'.repeat(300_000));
  receiver.settle(500_000);
  receive(receiver, 'y'.repeat(200_000));
  assert.equal(receiver.bytes, before);
  assert.equal(held(receiver), 'x'.repeat(300_000) + 'y'.repeat(200_000));
});

test('bytes that something else holds are left where they are', () => {
  const receiver = new NbdReceiver(new NbdBuffers());
  receive(receiver, 'lent to a write');
  const lease = receiver.own();
  const lent = lease.bytes.subarray(receiver.start, receiver.start + 15);
  lease.hold();
  receiver.use(15);
  receiver.settle(HEADER_BYTES);
  for (let count = 0; count < 100; count += 1) {
    receive(receiver, 'z'.repeat(3000));
    receiver.own();
    receiver.use(2000);
    receiver.settle(HEADER_BYTES);
  }
  assert.equal(lent.toString('latin1'), 'lent to a write');
});

test('when all large leases are out, a message is kept in a small one, and is crowded when that is full', () => {
  const buffers = new NbdBuffers();
  const leases = Array.from({ length: LEASES_LARGE_MAX }, () => buffers.lease(0, LEASE_LARGE_BYTES));
  const receiver = new NbdReceiver(buffers);
  receiver.settle(500_000);
  assert.equal(receiver.bytes.length, LEASE_SMALL_BYTES);
  assert.equal(receiver.crowded, false);
  receive(receiver, 'x'.repeat(60_000));
  assert.equal(receiver.crowded, true);
  leases[0]?.release();
  assert.equal(buffers.lease(0, LEASE_LARGE_BYTES).bytes.length, LEASE_LARGE_BYTES);
});

test('there is always room for more, however much is held', () => {
  const receiver = new NbdReceiver(new NbdBuffers());
  let total = 0;
  for (let count = 0; count < 40; count += 1) {
    const room = receiver.target().length;
    assert.ok(room >= 16_384);
    const text = String.fromCodePoint(97 + (count % 26)).repeat(Math.min(room, 100_000));
    receive(receiver, text);
    total += text.length;
    receiver.settle(HEADER_BYTES);
    assert.equal(receiver.held, total);
  }
});
