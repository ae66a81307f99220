import { CommandError } from './command-error.ts';

/**
 * Ctrl-C, or a request to end, as an abort: the command stops where it is, cleans up and says so. The launcher and the
 * terminal may both send a signal; once is enough.
 */
export class Interrupt implements Disposable {
  readonly #controller = new AbortController();
  readonly #signals: readonly NodeJS.Signals[];
  readonly #onSignal = (): void => this.#controller.abort(new CommandError('interrupted'));

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
