import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '#base/virtual-clock.ts';
import { Replay } from './replay.ts';

interface Said {
  readonly final: boolean;
  readonly bytes: number;
  readonly text: string;
}

const limits = { keepMs: 1000, callsMax: 3, bytesMax: 100 };

function said(text: string, some: Partial<Said> = {}): Said {
  return { final: true, bytes: 10, text, ...some };
}

function once(answer: Said): { readonly perform: () => Promise<Said>; readonly count: () => number } {
  let count = 0;
  return {
    perform: async () => {
      count += 1;
      return answer;
    },
    count: () => count,
  };
}

test('a repeated call gets the first answer and is not performed again', async () => {
  const replay = new Replay<Said>(new VirtualClock(), limits);
  const first = once(said('first'));
  const second = once(said('second'));
  assert.equal((await replay.answer('call', first.perform)).text, 'first');
  assert.equal((await replay.answer('call', second.perform)).text, 'first');
  assert.equal(second.count(), 0);
  assert.equal((await replay.answer('other call', second.perform)).text, 'second');
});

test('a repetition joins a call that is running', async () => {
  const replay = new Replay<Said>(new VirtualClock(), limits);
  const gate = Promise.withResolvers<Said>();
  const second = once(said('second'));
  const one = replay.answer('call', () => gate.promise);
  const two = replay.answer('call', second.perform);
  gate.resolve(said('first', { final: false }));
  assert.equal((await one).text, 'first');
  assert.equal((await two).text, 'first');
  assert.equal(second.count(), 0);
});

test('an answer that is not final is forgotten, and so is a call that throws', async () => {
  const replay = new Replay<Said>(new VirtualClock(), limits);
  await replay.answer('call', async () => said('trouble', { final: false }));
  assert.equal((await replay.answer('call', async () => said('done'))).text, 'done');
  await assert.rejects(
    replay.answer('broken', () => Promise.reject(new Error('no'))),
    /no/,
  );
  assert.equal((await replay.answer('broken', async () => said('works now'))).text, 'works now');
  assert.equal(replay.bytes, 20);
});

test('an answer is kept for its time and not longer', async () => {
  const clock = new VirtualClock();
  const replay = new Replay<Said>(clock, limits);
  await replay.answer('call', async () => said('first'));
  await clock.advance(999);
  assert.equal((await replay.answer('call', async () => said('second'))).text, 'first');
  await clock.advance(1);
  assert.equal((await replay.answer('call', async () => said('second'))).text, 'second');
  assert.equal(replay.bytes, 10);
});

test('the oldest answers make room, by count and by bytes, and what runs stays', async () => {
  const replay = new Replay<Said>(new VirtualClock(), limits);
  const gate = Promise.withResolvers<Said>();
  const running = replay.answer('running', () => gate.promise);
  for (let index = 0; index < 10; index += 1) {
    await replay.answer(`call ${index}`, async () => said(String(index)));
    assert.ok(replay.count <= limits.callsMax + 1);
  }
  assert.equal((await replay.answer('call 9', async () => said('again'))).text, '9');
  assert.equal((await replay.answer('call 1', async () => said('again'))).text, 'again');
  await replay.answer('large', async () => said('large', { bytes: 95 }));
  assert.ok(replay.bytes <= limits.bytesMax);
  const joined = replay.answer('running', async () => said('twice'));
  gate.resolve(said('ran'));
  assert.equal((await joined).text, 'ran');
  assert.equal((await running).text, 'ran');
});
