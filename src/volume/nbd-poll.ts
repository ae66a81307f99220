import { setImmediate } from 'node:timers';

import type { Clock } from '#base/clock.ts';

/** How long the loop goes on looking for input after the last, when more is expected. A client answers a reply within that, or is not in a hurry. */
const POLL_MS = 0.1;
/** Input that follows input within this is taken as a sign of more. */
const HOT_GAP_MS = 0.25;
/** So many signs in a row make the loop poll. */
const HOT_COUNT_MIN = 16;
/** So many polls in vain end it. */
const MISS_COUNT_MAX = 4;

/**
 * Keeps the event loop from sleeping between the requests of a client that waits for each reply: being woken by the kernel
 * takes several times as long as the request. While input comes in quick succession, the loop polls for the next for a
 * tenth of a millisecond instead of sleeping at once; polls in vain make it sleep again.
 */
export class NbdPoll {
  readonly #clock: Clock;
  #lastMs = 0;
  #hotCount = 0;
  #missCount = 0;
  #polls = false;
  readonly #poll = (): void => {
    if (this.#clock.monotonicMs() - this.#lastMs < POLL_MS) {
      setImmediate(this.#poll);
      return;
    }
    this.#polls = false;
    this.#missCount += 1;
    if (this.#missCount >= MISS_COUNT_MAX) this.#hotCount = 0;
  };

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Input has come and was dealt with. */
  touch(): void {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#lastMs < HOT_GAP_MS) this.#hotCount += 1;
    else this.#hotCount = 0;
    this.#lastMs = nowMs;
    if (this.#polls) {
      this.#missCount = 0;
      return;
    }
    if (this.#hotCount < HOT_COUNT_MIN) return;
    this.#polls = true;
    setImmediate(this.#poll);
  }
}
