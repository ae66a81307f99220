import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { setImmediate } from 'node:timers/promises';

import { systemClock } from '#base/clock.ts';

import { NbdPoll } from './nbd-poll.ts';

const QUICK_MS = 0.05;
const LATE_MS = 0.15;

/** A poll whose time stands still, and which is polling if it looks at the clock when nobody touches it. */
function rig(t: TestContext): {
  readonly touch: (count: number) => void;
  readonly isPolling: () => Promise<boolean>;
  readonly pass: (ms: number) => Promise<void>;
} {
  let nowMs = 1000;
  let lookCount = 0;
  const monotonicMs = (): number => {
    lookCount += 1;
    return nowMs;
  };
  t.after(() => {
    nowMs += LATE_MS; // It would poll forever.
  });
  const poll = new NbdPoll({ ...systemClock, monotonicMs });
  const isPolling = async (): Promise<boolean> => {
    const before = lookCount;
    await setImmediate();
    await setImmediate();
    return lookCount > before;
  };
  return {
    touch: (count) => {
      for (let at = 0; at < count; at += 1) {
        nowMs += QUICK_MS;
        poll.touch();
      }
    },
    isPolling,
    pass: async (ms) => {
      nowMs += ms;
      await setImmediate();
      await setImmediate();
    },
  };
}

test('input in quick succession makes it poll, until none comes', async (t) => {
  const { touch, isPolling, pass } = rig(t);
  touch(10);
  assert.equal(await isPolling(), false);
  touch(10);
  assert.equal(await isPolling(), true);
  touch(1000);
  assert.equal(await isPolling(), true);
  await pass(LATE_MS);
  assert.equal(await isPolling(), false);
  // It found much before, so one poll in vain does not matter.
  touch(1);
  assert.equal(await isPolling(), true);
});

test('polls in vain make it wait longer each time, and polls that find input again end that', async (t) => {
  const { touch, isPolling, pass } = rig(t);
  for (const needed of [16, 32, 64, 128]) {
    touch(needed - 1);
    assert.equal(await isPolling(), false, `${needed - 1} are too few`);
    touch(2);
    assert.equal(await isPolling(), true, `${needed} are enough`);
    await pass(LATE_MS);
    assert.equal(await isPolling(), false);
    await pass(LATE_MS); // The next input comes late, and counting begins anew.
  }
  touch(2000);
  assert.equal(await isPolling(), true);
  // It can afford some now, and not as many as it likes.
  let inVain = 0;
  for (; (await isPolling()) && inVain < 100; inVain += 1) {
    await pass(LATE_MS);
    touch(1);
    await pass(0);
    touch(1);
  }
  assert.ok(inVain >= 3 && inVain < 100, `${inVain} polls in vain`);
});

test('a client that answers a few requests between two pauses is not polled for', async (t) => {
  const { touch, isPolling, pass } = rig(t);
  let inVain = 0;
  for (let burst = 0; burst < 200; burst += 1) {
    touch(6);
    if (!(await isPolling())) continue;
    inVain += 1;
    await pass(LATE_MS);
  }
  assert.ok(inVain < 20, `${inVain} polls in vain`);
});
