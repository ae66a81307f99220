import { setImmediate } from 'node:timers';

import type { Clock } from '#base/clock.ts';

/** How long the loop goes on looking for input after the last, when more is expected. A client answers a reply within that, or is not in a hurry. */
const POLL_MS = 0.1;
/** Input that follows input within this is taken as a sign of more. */
const HOT_GAP_MS = 0.25;
/** So many signs in a row make the loop poll. */
const HOT_COUNT_MIN = 16;
/** A poll in vain takes the processor away for longer than so many found inputs save; perhaps from the client itself. */
const MISS_COST = 16;
/** Found inputs that count in advance for polls in vain. */
const CREDIT_MAX = 64;
/** Signs in a row that are asked for at most, when polls were in vain again and again. */
const HOT_COUNT_MAX = 4096;

/**
 * Keeps the event loop from sleeping between the requests of a client that waits for each reply: being woken by the kernel
 * takes several times as long as the request. While input comes in quick succession, the loop polls for the next for a
 * tenth of a millisecond instead of sleeping at once. Where polls are in vain too often, it sleeps, and tries again the
 * later the more often that was so: on a busy machine the client may be waiting for the processor that polls for it.
 */
export class NbdPoll {
  readonly #clock: Clock;
  #lastMs = 0;
  #hotCount = 0;
  #hotCountMin = HOT_COUNT_MIN;
  #credit = 0;
  #polls = false;
  readonly #poll = (): void => {
    if (this.#clock.monotonicMs() - this.#lastMs < POLL_MS) {
      setImmediate(this.#poll);
      return;
    }
    this.#polls = false;
    this.#credit -= MISS_COST;
    if (this.#credit > 0) return;
    this.#credit = 0;
    this.#hotCount = 0;
    this.#hotCountMin = Math.min(2 * this.#hotCountMin, HOT_COUNT_MAX);
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
      if (this.#credit < CREDIT_MAX) this.#credit += 1;
      else this.#hotCountMin = HOT_COUNT_MIN;
      return;
    }
    if (this.#hotCount < this.#hotCountMin) return;
    this.#polls = true;
    setImmediate(this.#poll);
  }
}
