import assert from 'node:assert/strict';
import { test } from 'node:test';
import { jsonLog, silentLog } from '#base/log.ts';
import { VirtualClock } from '#base/virtual-clock.ts';
import { TaskDriver } from './driver.ts';
import type { Task, TaskReport } from './task.ts';

const NOTHING: TaskReport = { done: 0, failed: 0, remaining: 0 };

function task(activate: Task['activate'], some: Partial<Task> = {}): Task {
  return { name: 'prune', periodMs: 10_000, startDelayMs: 0, wakeDelayMs: 0, activate, ...some };
}

async function turns(): Promise<void> {
  for (let index = 0; index < 20; index += 1) await new Promise((resolve) => setImmediate(resolve));
}

test('a task runs at the start, every period, and when woken', async () => {
  const clock = new VirtualClock();
  let count = 0;
  await using driver = new TaskDriver(
    [
      task(async () => {
        count += 1;
        return NOTHING;
      }),
    ],
    { clock, log: silentLog },
  );
  driver.start();
  await turns();
  assert.equal(count, 1);
  await clock.advance(9999);
  assert.equal(count, 1);
  await clock.advance(1);
  await turns();
  assert.equal(count, 2);
  driver.wake('prune');
  await turns();
  assert.equal(count, 3);
});

test('a task never runs twice at once, and a wake meanwhile runs it once more', async () => {
  const clock = new VirtualClock();
  let running = 0;
  const starts: number[] = [];
  const count = (): number => starts.length; // A call, so that an assertion is not taken for good.
  let gate = Promise.withResolvers<void>();
  await using driver = new TaskDriver(
    [
      task(async () => {
        running += 1;
        starts.push(clock.monotonicMs());
        assert.equal(running, 1, 'alone');
        await gate.promise;
        running -= 1;
        return NOTHING;
      }),
    ],
    { clock, log: silentLog },
  );
  driver.start();
  await turns();
  for (let index = 0; index < 5; index += 1) driver.wake('prune');
  const asked = driver.run('prune');
  await turns();
  assert.equal(count(), 1);
  const first = gate;
  gate = Promise.withResolvers<void>();
  first.resolve();
  await turns();
  assert.equal(count(), 2);
  gate.resolve();
  await asked;
  await turns();
  assert.ok(count() <= 3, `${count()} activations for five wakes and a call`);
});

test('a failing task is logged and waits longer each time, until a wake or a success', async () => {
  const clock = new VirtualClock();
  const lines: string[] = [];
  const startsMs: number[] = [];
  let failing = true;
  await using driver = new TaskDriver(
    [
      task(async () => {
        startsMs.push(clock.monotonicMs());
        if (failing) throw new Error('no');
        return NOTHING;
      }),
    ],
    { clock, log: jsonLog((line) => lines.push(line)) },
  );
  driver.start();
  await turns();
  for (let step = 0; step < 40; step += 1) {
    await clock.advance(100);
    await turns();
  }
  assert.deepEqual(startsMs, [0, 500, 1500, 3500]);
  assert.equal(lines.length, 4);
  assert.match(lines[0] ?? '', /"task":"prune".*"error":"no"/);
  failing = false;
  driver.wake('prune');
  await turns();
  assert.equal(startsMs.length, 5);
  await clock.advance(9999);
  await turns();
  assert.equal(startsMs.length, 5, 'after a success the period counts again');
});

test('wakes are gathered for as long as a task wishes', async () => {
  const clock = new VirtualClock();
  let count = 0;
  const counting = task(
    async () => {
      count += 1;
      return NOTHING;
    },
    { startDelayMs: 60_000, wakeDelayMs: 5000, periodMs: 1_000_000 },
  );
  await using driver = new TaskDriver([counting], { clock, log: silentLog });
  driver.start();
  await turns();
  assert.equal(count, 0, 'it begins later than the server');
  for (let second = 0; second < 4; second += 1) {
    driver.wake('prune');
    await turns();
    await clock.advance(1000);
  }
  assert.equal(count, 0);
  await clock.advance(1000);
  await turns();
  assert.equal(count, 1);
});

test('stopping aborts what runs and waits for it', async () => {
  const clock = new VirtualClock();
  const events: string[] = [];
  const driver = new TaskDriver(
    [
      task(async (signal) => {
        await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
        events.push('aborted');
        signal.throwIfAborted();
        return NOTHING;
      }),
    ],
    { clock, log: silentLog },
  );
  driver.start();
  await turns();
  await driver[Symbol.asyncDispose]();
  assert.deepEqual(events, ['aborted']);
});

test('how a task is doing: running since when, what the last activation did, why it failed', async () => {
  const clock = new VirtualClock();
  const startMs = clock.nowMs();
  const gate = Promise.withResolvers<TaskReport>();
  let next: () => Promise<TaskReport> = () => gate.promise;
  await using driver = new TaskDriver([task(() => next())], { clock, log: silentLog });
  const waiting = { name: 'prune', runningSinceMs: null, endedAtMs: null, report: null, failure: null };
  assert.deepEqual(driver.states(), [waiting]);
  const run = driver.run('prune');
  await turns();
  assert.deepEqual(driver.states(), [{ ...waiting, runningSinceMs: startMs }]);
  await clock.advance(700);
  gate.resolve({ done: 3, failed: 0, remaining: 1 });
  await run;
  const report = { done: 3, failed: 0, remaining: 1 };
  assert.deepEqual(driver.states(), [{ ...waiting, endedAtMs: startMs + 700, report }]);
  next = async () => {
    throw new Error('no', { cause: new Error('disk') });
  };
  await assert.rejects(driver.run('prune'), /no/);
  assert.deepEqual(driver.states(), [{ ...waiting, endedAtMs: startMs + 700, failure: 'no: disk' }]);
});
