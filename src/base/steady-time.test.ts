import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from './clock.ts';
import { SeededRandom } from './random.ts';
import { SteadyTime, type TimeMark } from './steady-time.ts';
import { systemUptime } from './uptime.ts';
import { VirtualClock } from './virtual-clock.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const YEAR_MS = 365 * DAY_MS;

/** Time passes, and is looked at every minute (or every hour, of long times). */
async function run(time: SteadyTime, clock: VirtualClock, durationMs: number): Promise<void> {
  const stepMs = durationMs > 2 * DAY_MS ? HOUR_MS : MINUTE_MS;
  for (let passedMs = 0; passedMs < durationMs; passedMs += stepMs) {
    await clock.advance(Math.min(stepMs, durationMs - passedMs));
    time.look();
  }
}

test('without a jump the times are one, over a stop of the process, too, however long', async () => {
  const clock = new VirtualClock();
  let time = new SteadyTime(clock, clock, null);
  for (const stopMs of [1000, DAY_MS, YEAR_MS]) {
    await run(time, clock, HOUR_MS);
    const mark = time.look();
    await clock.advance(stopMs);
    time = new SteadyTime(clock, clock, mark);
    assert.equal(time.earliestMs(), clock.nowMs());
    assert.equal(time.latestMs(), clock.nowMs());
    assert.equal(time.state().isHeld, false);
  }
});

test('a jump forward is held for a day, one of years for a tenth of them, and then believed', async () => {
  for (const [jumpMs, waitMs] of [
    [HOUR_MS, DAY_MS],
    [9 * DAY_MS, DAY_MS],
    [90 * DAY_MS, 9 * DAY_MS],
    [10 * YEAR_MS, YEAR_MS],
  ] as const) {
    const clock = new VirtualClock();
    const time = new SteadyTime(clock, clock, null);
    await run(time, clock, 10 * MINUTE_MS);
    const beforeMs = clock.nowMs();
    clock.jump(jumpMs);
    assert.equal(time.earliestMs(), beforeMs);
    assert.equal(time.latestMs(), beforeMs + jumpMs);
    assert.equal(time.state().isHeld, true);
    await run(time, clock, waitMs - HOUR_MS);
    assert.equal(time.earliestMs(), clock.nowMs() - jumpMs);
    await run(time, clock, HOUR_MS);
    assert.equal(time.earliestMs(), clock.nowMs());
    assert.equal(time.state().isHeld, false);
  }
});

test('a clock that was put right again leaves nothing behind', async () => {
  const clock = new VirtualClock();
  const time = new SteadyTime(clock, clock, null);
  clock.jump(YEAR_MS);
  await run(time, clock, 20 * HOUR_MS);
  clock.jump(-YEAR_MS);
  await run(time, clock, HOUR_MS);
  assert.equal(time.earliestMs(), clock.nowMs());
  assert.equal(time.latestMs(), clock.nowMs());
});

test('a clock set back neither ends what was set nor begins again what was over', async () => {
  const clock = new VirtualClock();
  const time = new SteadyTime(clock, clock, null);
  await clock.advance(HOUR_MS);
  const beforeMs = clock.nowMs();
  clock.jump(-50 * YEAR_MS); // A machine without a battery.
  assert.equal(time.latestMs(), beforeMs);
  const deadlineMs = time.latestMs() + DAY_MS;
  await run(time, clock, HOUR_MS);
  clock.jump(50 * YEAR_MS); // The network is there.
  assert(time.earliestMs() < deadlineMs);
  await run(time, clock, 23 * HOUR_MS);
  assert.equal(time.earliestMs(), deadlineMs);
});

test('a difference that grows is as if it had begun later, so that a large one does not slip in behind a small one', async () => {
  const clock = new VirtualClock();
  const time = new SteadyTime(clock, clock, null);
  clock.jump(10 * MINUTE_MS);
  await run(time, clock, 23 * HOUR_MS);
  clock.jump(9 * DAY_MS);
  await run(time, clock, 22 * HOUR_MS);
  assert.equal(time.earliestMs(), clock.nowMs() - 9 * DAY_MS - 10 * MINUTE_MS);
  await run(time, clock, 2 * HOUR_MS);
  assert.equal(time.earliestMs(), clock.nowMs());
});

test('a machine that is paused every night is believed in the end, although it never runs a day', async () => {
  const clock = new VirtualClock();
  const time = new SteadyTime(clock, clock, null);
  let days = 0;
  do {
    clock.jump(10 * HOUR_MS);
    await run(time, clock, 14 * HOUR_MS);
    days += 1;
  } while (time.state().isHeld && days < 30);
  assert(days <= 4, `${days} days`);
});

test('a night without the machine is believed, three months are held and then believed, a wrong clock at its start is held', async () => {
  const clock = new VirtualClock();
  const time = new SteadyTime(clock, clock, null);
  await run(time, clock, HOUR_MS);
  const mark = time.look();
  const startedMs = clock.nowMs();

  const morning = new VirtualClock(startedMs + 15 * HOUR_MS, 'second boot');
  assert.equal(new SteadyTime(morning, morning, mark).earliestMs(), morning.nowMs());

  const spring = new VirtualClock(startedMs + 90 * DAY_MS, 'second boot');
  const later = new SteadyTime(spring, spring, mark);
  assert.equal(later.earliestMs(), startedMs + 16 * HOUR_MS);
  await run(later, spring, 9 * DAY_MS);
  assert.equal(later.earliestMs(), spring.nowMs());

  const wrong = new VirtualClock(startedMs + 30 * YEAR_MS, 'second boot');
  assert.equal(new SteadyTime(wrong, wrong, mark).earliestMs(), startedMs + 16 * HOUR_MS);

  const dead = new VirtualClock(0, 'second boot');
  assert.equal(new SteadyTime(dead, dead, mark).latestMs(), startedMs);
});

test('what was held stays held over a start of the process, and the time of running is counted on', async () => {
  const clock = new VirtualClock();
  let mark: TimeMark = new SteadyTime(clock, clock, null).look();
  clock.jump(YEAR_MS);
  let hours = 0;
  for (;;) {
    const time = new SteadyTime(clock, clock, mark);
    if (!time.state().isHeld) break;
    await run(time, clock, 100 * HOUR_MS);
    hours += 100;
    mark = time.look();
    await clock.advance(1000 * HOUR_MS); // Stopped: nobody could see that the clock is wrong.
    assert(hours < 2000, 'it is believed in the end');
  }
  assert.equal(hours, 900); // 36.5 days are 876 hours.
});

test('who accepts the clock is believed', async () => {
  const clock = new VirtualClock();
  const time = new SteadyTime(clock, clock, null);
  clock.jump(YEAR_MS);
  time.accept();
  assert.equal(time.earliestMs(), clock.nowMs());
  clock.jump(-2 * YEAR_MS);
  time.accept();
  assert.equal(time.latestMs(), clock.nowMs());
});

for (const seed of [1, 2, 3, 4, 5]) {
  test(`whatever the clock does, nothing is over before its time has passed (seed ${seed})`, async () => {
    const random = new SeededRandom(seed);
    const clock = new VirtualClock();
    let time = new SteadyTime(clock, clock, null);
    const deadlines: { readonly atMs: number; readonly trueMs: number }[] = [];
    for (let step = 0; step < 400; step += 1) {
      const choice = random.fraction();
      if (choice < 0.3) clock.jump((random.fraction() - 0.5) * 2 * 10 ** (3 + random.below(9)));
      else if (choice < 0.5) {
        const durationMs = 1 + random.below(DAY_MS);
        deadlines.push({ atMs: time.latestMs() + durationMs, trueMs: clock.monotonicMs() + durationMs });
      } else if (choice < 0.6) time = new SteadyTime(clock, clock, time.look());
      else await clock.advance(random.below(3 * MINUTE_MS));
      time.look();
      assert(clock.monotonicMs() < DAY_MS, 'no jump was there for long enough to be believed');
      const earliestMs = time.earliestMs();
      for (const { atMs, trueMs } of deadlines) {
        assert(atMs > earliestMs || trueMs <= clock.monotonicMs() + 1, 'nothing is over early');
      }
    }
  });
}

test('the uptime of this machine goes on as the monotonic clock does, and says which start it counts from', () => {
  const beforeMs = systemClock.monotonicMs();
  const sinceMs = systemUptime.uptimeMs();
  while (systemClock.monotonicMs() - beforeMs < 50) systemUptime.uptimeMs();
  const passedMs = systemUptime.uptimeMs() - sinceMs;
  assert(passedMs >= 20 && sinceMs > 0, `${passedMs} ms`);
  if (process.platform === 'linux') assert.match(systemUptime.bootId ?? '', /^[0-9a-f-]{36}$/);
});
