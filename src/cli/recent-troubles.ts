import type { Clock } from '#base/clock.ts';
import { describeError, type Log } from '#base/log.ts';

/** A warning or an error that the server has logged. */
export interface Trouble {
  readonly atMs: number;
  readonly level: 'warn' | 'error';
  readonly event: string;
  /** What was logged with it, as one line. */
  readonly detail: string;
}

/** So many are kept. */
const COUNT_MAX = 20;
const DETAIL_LENGTH_MAX = 500;

/** Keeps the last warnings and errors of a log, for `varve status`. */
export class RecentTroubles {
  readonly #clock: Clock;
  readonly #kept: Trouble[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The newest last. */
  get all(): readonly Trouble[] {
    return [...this.#kept];
  }

  /** The same log; what it warns of is kept. */
  watch(log: Log): Log {
    return {
      info: (event, fields) => log.info(event, fields),
      warn: (event, fields) => {
        this.#keep('warn', event, fields);
        log.warn(event, fields);
      },
      error: (event, fields) => {
        this.#keep('error', event, fields);
        log.error(event, fields);
      },
      with: (fields) => this.watch(log.with(fields)),
    };
  }

  #keep(level: Trouble['level'], event: string, fields: Readonly<Record<string, unknown>> = {}): void {
    const words = Object.entries(fields).map(([name, value]) => {
      if (value instanceof Error) return describeError(value);
      return `${name} ${typeof value === 'string' ? value : JSON.stringify(value)}`;
    });
    this.#kept.push({
      atMs: this.#clock.nowMs(),
      level,
      event,
      detail: words.join(', ').slice(0, DETAIL_LENGTH_MAX),
    });
    if (this.#kept.length > COUNT_MAX) this.#kept.shift();
  }
}
