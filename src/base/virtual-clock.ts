import type { Clock } from './clock.ts';
import type { Uptime } from './uptime.ts';

interface Sleeper {
  readonly dueMs: number;
  readonly wake: () => void;
}

/** A clock that moves only when told to, for tests, on a machine that was started when it was made. */
export class VirtualClock implements Clock, Uptime {
  readonly bootId: string;
  #nowMs: number;
  #jumpedMs = 0;
  readonly #startMs: number;
  #sleepers: Sleeper[] = [];

  constructor(startMs = Date.UTC(2026, 0, 1), bootId = 'virtual') {
    this.bootId = bootId;
    this.#nowMs = startMs;
    this.#startMs = startMs;
  }

  nowMs(): number {
    return this.#nowMs + this.#jumpedMs;
  }

  monotonicMs(): number {
    return this.#nowMs - this.#startMs;
  }

  uptimeMs(): number {
    return this.monotonicMs();
  }

  /** Sets the wall clock forward (or, below 0, back), and nothing else: no time passes. */
  jump(durationMs: number): void {
    this.#jumpedMs += durationMs;
  }

  sleep(durationMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(signal.reason as Error);
        return;
      }
      const sleeper: Sleeper = { dueMs: this.#nowMs + durationMs, wake: resolve };
      this.#sleepers.push(sleeper);
      signal?.addEventListener(
        'abort',
        () => {
          this.#sleepers = this.#sleepers.filter((other) => other !== sleeper);
          reject(signal.reason as Error);
        },
        { once: true },
      );
    });
  }

  /** Moves time forward, waking sleepers in the order in which they are due. */
  async advance(durationMs: number): Promise<void> {
    const untilMs = this.#nowMs + durationMs;
    for (;;) {
      const due = this.#sleepers.filter((sleeper) => sleeper.dueMs <= untilMs).toSorted((a, b) => a.dueMs - b.dueMs)[0];
      if (due === undefined) break;
      this.#sleepers = this.#sleepers.filter((other) => other !== due);
      this.#nowMs = Math.max(this.#nowMs, due.dueMs);
      due.wake();
      // Let what was woken run, and perhaps sleep again, before time moves on.
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.#nowMs = untilMs;
  }
}
