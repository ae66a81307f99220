import type { Instance } from '#domain/instance.ts';
import { type MetricPoint, slotOf } from '#domain/metric.ts';
import type { MachineStatus, MachineUsage } from '#machine/hypervisor.ts';

/** Between two readings that are further apart nothing is known: the server did not run. */
const GAP_MS_MAX = 600_000;

interface Reading {
  readonly nowMs: number;
  readonly monotonicMs: number;
  readonly processId: number | null;
  readonly usage: MachineUsage;
}

/** Adds up what a machine used, from readings of counters that begin anew with each process of it, and each boot of its guest. */
export class MachineMeter {
  #last: Reading | null = null;
  #slotMs = 0;
  #elapsedMs = 0;
  #cpuSeconds = 0;
  #received: number | null = null;
  #sent: number | null = null;
  #isHeld = false;

  /**
   * Takes a reading; answers the five minutes that have ended with it, or null. `nowMs` is the wall clock's, `monotonicMs`
   * measures what passed. What was used between two readings counts to where the first of them was.
   */
  read(
    { cpuCount }: Pick<Instance, 'cpuCount'>,
    status: Pick<MachineStatus, 'processId' | 'state'>,
    usage: MachineUsage,
    { nowMs, monotonicMs }: Pick<Reading, 'nowMs' | 'monotonicMs'>,
  ): MetricPoint | null {
    const last = this.#last;
    this.#last = { nowMs, monotonicMs, processId: status.processId, usage };
    const elapsedMs = last === null ? 0 : monotonicMs - last.monotonicMs;
    const isNew = last?.processId !== status.processId || usage.cpuSeconds < last.usage.cpuSeconds;
    if (last === null || isNew || elapsedMs > GAP_MS_MAX) {
      const ended = this.#end(cpuCount);
      this.#begin(slotOf(nowMs));
      return ended;
    }
    this.#elapsedMs += elapsedMs;
    this.#cpuSeconds += usage.cpuSeconds - last.usage.cpuSeconds;
    this.#received = sum(this.#received, delta(last.usage.receivedBytes, usage.receivedBytes));
    this.#sent = sum(this.#sent, delta(last.usage.sentBytes, usage.sentBytes));
    this.#isHeld ||= status.state === 'paused';
    if (slotOf(nowMs) === this.#slotMs) return null;
    const ended = this.#end(cpuCount);
    this.#begin(slotOf(nowMs));
    return ended;
  }

  #begin(slotMs: number): void {
    this.#slotMs = slotMs;
    this.#elapsedMs = 0;
    this.#cpuSeconds = 0;
    this.#received = null;
    this.#sent = null;
    this.#isHeld = false;
  }

  #end(cpuCount: number): MetricPoint | null {
    if (this.#elapsedMs === 0) return null;
    const share = (this.#cpuSeconds * 1000) / (this.#elapsedMs * cpuCount);
    return {
      startMs: this.#slotMs,
      cpuPercent: Math.min(100, Math.max(0, share * 100)),
      receivedBytes: this.#received,
      sentBytes: this.#sent,
      isHeld: this.#isHeld,
    };
  }
}

/** A counter that is lower than it was began anew, from zero. Null: it was not read. */
function delta(before: number | null, now: number | null): number | null {
  if (before === null || now === null) return null;
  return now < before ? now : now - before;
}

function sum(a: number | null, b: number | null): number | null {
  return b === null ? a : (a ?? 0) + b;
}
