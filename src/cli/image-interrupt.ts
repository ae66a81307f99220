import { constants } from 'node:os';

import { systemClock } from '#base/clock.ts';

import { CommandError } from './command-error.ts';

/** The launcher and the terminal may both send a signal; what comes so much later is of somebody who does not wait. */
const AGAIN_MS = 1000;

let received: NodeJS.Signals | null = null;

/**
 * Ctrl-C, or a request to end, as an abort: the command stops where it is, cleans up and says so. Once is enough; a second
 * signal, a second later, ends the process where it is.
 */
export class Interrupt implements Disposable {
  readonly #controller = new AbortController();
  readonly #signals: readonly NodeJS.Signals[];
  #firstMs: number | null = null;
  readonly #onSignal = (name: NodeJS.Signals): void => {
    received ??= name;
    const nowMs = systemClock.monotonicMs();
    this.#firstMs ??= nowMs;
    if (nowMs - this.#firstMs >= AGAIN_MS) {
      this[Symbol.dispose]();
      process.kill(process.pid, name);
    }
    this.#controller.abort(new CommandError('interrupted'));
  };

  constructor() {
    this.#signals = process.stdin.isTTY ? ['SIGINT', 'SIGTERM', 'SIGHUP'] : ['SIGINT', 'SIGTERM'];
    for (const signal of this.#signals) process.on(signal, this.#onSignal);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  [Symbol.dispose](): void {
    for (const signal of this.#signals) process.off(signal, this.#onSignal);
  }
}

/** The exit code of a command that could not be done: 1, or what a shell gives to one that a signal ended (130: Ctrl-C). */
export function failureCode(): number {
  return received === null ? 1 : 128 + constants.signals[received];
}
