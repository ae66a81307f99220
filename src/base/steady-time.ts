import { assert } from './assert.ts';
import type { Clock } from './clock.ts';
import type { Uptime } from './uptime.ts';

/*
 * The wall clock jumps: a wrong time server, a machine that was paused, a mistake. What destroys something when its time is
 * over must not believe such a jump at once. So beside the wall clock an estimate of the time is kept, which advances by what
 * really passed: by the machine's uptime, across starts of the process too. As long as the clock does not jump the two are
 * one. When they differ, nobody knows which is right, and both are used:
 *
 * - a deadline is set from the later of the two, and is over when the earlier has reached it: never early, whichever is right;
 * - the difference is believed, and the estimate follows the clock, after a day of running or a tenth of the difference,
 *   whichever is longer: a mistake that would do more harm leaves more time to see it, and nothing waits for ever;
 * - whoever runs the server may say at once that the clock is right.
 *
 * Over a start of the machine nobody measured how long it was off: a night is believed, the rest is a difference as above.
 */

/** What is remembered of it, across processes. */
export interface TimeMark {
  readonly wallMs: number;
  readonly estimateMs: number;
  /** How long the server has run with the present difference; less when that grew since. */
  readonly steadyMs: number;
  readonly bootId: string | null;
  readonly uptimeMs: number;
}

/** How the wall clock stands to the estimate. */
export interface TimeState {
  readonly wallMs: number;
  readonly estimateMs: number;
  /** Whether they differ by so much that somebody should look. */
  readonly isHeld: boolean;
  /** Of running, until the wall clock is believed. */
  readonly believedInMs: number;
}

const HOUR_MS = 3_600_000;
const BELIEVED_MS_MIN = 24 * HOUR_MS;
/** A machine that is off overnight. Shorter than a day, the shortest time for which anything is kept. */
const OFF_MS_MAX = 16 * HOUR_MS;
/** Clocks are read one after the other, in steps of a hundredth of a second, and a leap second is one. */
const NOISE_MS = 2000;
/** Below it the difference is nobody's concern: expiry is so late, and no request is refused for it. */
const HELD_MS_MIN = 15 * 60_000;

export class SteadyTime {
  readonly #clock: Clock;
  readonly #uptime: Uptime;
  #mark: TimeMark;

  /** `last`: as the process before kept it; null: there was none, and the clock is right. */
  constructor(clock: Clock, uptime: Uptime, last: TimeMark | null) {
    this.#clock = clock;
    this.#uptime = uptime;
    this.#mark = last === null ? this.#right() : this.#after(last);
  }

  /** The earliest that it may be, in milliseconds since 1970: what is over by then is over. */
  earliestMs(): number {
    return Math.min(this.#clock.nowMs(), this.estimateMs());
  }

  /** The latest that it may be: from when a deadline is set, and what must not begin again is over. */
  latestMs(): number {
    return Math.max(this.#clock.nowMs(), this.estimateMs());
  }

  /** What the wall clock would say had it not jumped: for what is done in even intervals. */
  estimateMs(): number {
    return this.#mark.estimateMs + this.#elapsedMs();
  }

  state(): TimeState {
    const { wallMs, estimateMs, steadyMs } = this.#now();
    const differenceMs = Math.abs(wallMs - estimateMs);
    return {
      wallMs,
      estimateMs,
      isHeld: differenceMs >= HELD_MS_MIN,
      believedInMs: Math.max(0, Math.ceil(neededMs(differenceMs) - steadyMs)),
    };
  }

  /** To be called every few minutes, and its result kept. */
  look(): TimeMark {
    const now = this.#now();
    const differenceMs = Math.abs(now.wallMs - now.estimateMs);
    this.#mark = now.steadyMs >= neededMs(differenceMs) ? this.#right() : now;
    return this.#mark;
  }

  /** Whoever runs the server says that the wall clock is right. */
  accept(): TimeMark {
    this.#mark = this.#right();
    return this.#mark;
  }

  #elapsedMs(): number {
    return Math.max(0, this.#uptime.uptimeMs() - this.#mark.uptimeMs);
  }

  #now(): TimeMark {
    const before = this.#mark.wallMs - this.#mark.estimateMs;
    const elapsedMs = this.#elapsedMs();
    const now = this.#read(this.#mark.estimateMs + elapsedMs);
    const after = now.wallMs - now.estimateMs;
    return { ...now, steadyMs: steadyFor(before, after, this.#mark.steadyMs) + elapsedMs };
  }

  /** The process ended, and perhaps the machine, too. What passed in between is not time of running. */
  #after(last: TimeMark): TimeMark {
    const { bootId, uptimeMs } = this.#read(0);
    const isSameBoot = bootId !== null && bootId === last.bootId && uptimeMs >= last.uptimeMs;
    const wallPassedMs = this.#clock.nowMs() - last.wallMs;
    const passedMs = isSameBoot ? uptimeMs - last.uptimeMs : Math.min(Math.max(0, wallPassedMs), uptimeMs + OFF_MS_MAX);
    const now = this.#read(last.estimateMs + passedMs);
    const steadyMs = steadyFor(last.wallMs - last.estimateMs, now.wallMs - now.estimateMs, last.steadyMs);
    return { ...now, steadyMs };
  }

  #right(): TimeMark {
    return this.#read(this.#clock.nowMs());
  }

  #read(estimateMs: number): TimeMark {
    assert(Number.isFinite(estimateMs), 'the time is a number');
    const { bootId } = this.#uptime;
    return { wallMs: this.#clock.nowMs(), estimateMs, steadyMs: 0, bootId, uptimeMs: this.#uptime.uptimeMs() };
  }
}

function neededMs(differenceMs: number): number {
  return Math.max(BELIEVED_MS_MIN, differenceMs / 10);
}

/** A difference that grew to twice as much has been there for half as long; one that changed its side is new. */
function steadyFor(beforeMs: number, afterMs: number, steadyMs: number): number {
  const before = Math.max(NOISE_MS, Math.abs(beforeMs));
  const after = Math.max(NOISE_MS, Math.abs(afterMs));
  if (after <= NOISE_MS) return steadyMs;
  if (before > NOISE_MS && Math.sign(beforeMs) !== Math.sign(afterMs)) return 0;
  return after > before ? steadyMs * (before / after) : steadyMs;
}
