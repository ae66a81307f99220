import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MetricPoint } from '#domain/metric.ts';
import type { MachineUsage } from '#machine/hypervisor.ts';
import { MachineMeter } from './machine-meter.ts';

/** Read every minute from 10:00 on; the wall clock and what passed are one here. */
class Meter {
  readonly #meter = new MachineMeter();
  #minute = 0;

  read(cpuSeconds: number, some: Partial<MachineUsage> = {}, processId = 1, cpuCount = 2): MetricPoint | null {
    const passedMs = this.#minute * 60_000;
    this.#minute += 1;
    return this.#meter.read(
      { cpuCount },
      { processId, state: 'running' },
      { cpuSeconds, receivedBytes: 0, sentBytes: null, ...some },
      { nowMs: Date.parse('2026-11-21T10:00:00Z') + passedMs, monotonicMs: passedMs },
    );
  }

  skip(minutes: number): void {
    this.#minute += minutes;
  }
}

test('five minutes are what was used in them, of all processors', () => {
  const meter = new Meter();
  const read = [0, 30, 60, 90, 90].map((seconds) => meter.read(seconds, { receivedBytes: seconds * 10 }));
  assert.deepEqual(read, [null, null, null, null, null]);
  assert.deepEqual(meter.read(120, { receivedBytes: 1200 }), {
    startMs: Date.parse('2026-11-21T10:00:00Z'),
    cpuPercent: 20,
    receivedBytes: 1200,
    sentBytes: null,
    isHeld: false,
  });
});

test('a new process, and a guest that boots anew, count from zero', () => {
  const meter = new Meter();
  for (const seconds of [1000, 1012, 1024]) meter.read(seconds, { receivedBytes: 5000 });
  // Another process: what it used before it was first looked at is not known.
  meter.read(3, { receivedBytes: 100 }, 2);
  meter.read(15, { receivedBytes: 300 }, 2);
  // The guest booted: its counters began again.
  const point = meter.read(27, { receivedBytes: 40 }, 2);
  assert.equal(point?.cpuPercent, 10);
  assert.equal(point?.receivedBytes, 240);
});

test('of the time in which nobody looked nothing is said', () => {
  const meter = new Meter();
  meter.read(0);
  meter.read(12);
  meter.skip(30);
  const before = meter.read(1000);
  assert.equal(before?.startMs, Date.parse('2026-11-21T10:00:00Z'));
  assert.equal(before?.cpuPercent, 10);
  const after = [1012, 1024, 1036].map((seconds) => meter.read(seconds));
  assert.equal(after.at(-1)?.startMs, Date.parse('2026-11-21T10:30:00Z'));
  assert.equal(after.at(-1)?.cpuPercent, 10);
});
