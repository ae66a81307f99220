import type { Clock } from '#base/clock.ts';

/**
 * Ends a connection whose client takes none of what was sent to it. While something is unsent it looks once in `stallMs`
 * whether anything moved, however little; a client that is only slow is left alone. It costs nothing while nothing is unsent.
 */
export class NbdStallWatch {
  readonly #clock: Clock;
  readonly #stallMs: number;
  readonly #signal: AbortSignal;
  readonly #progress: () => number;
  readonly #waits: () => boolean;
  readonly #stalled: () => void;
  #watches = false;

  constructor(options: {
    readonly clock: Clock;
    readonly stallMs: number;
    /** Aborted when the connection is gone. */
    readonly signal: AbortSignal;
    /** A number that changes whenever the client takes something. */
    readonly progress: () => number;
    /** Whether there is something for the client to take. */
    readonly waits: () => boolean;
    /** Called once. */
    readonly stalled: () => void;
  }) {
    this.#clock = options.clock;
    this.#stallMs = options.stallMs;
    this.#signal = options.signal;
    this.#progress = options.progress;
    this.#waits = options.waits;
    this.#stalled = options.stalled;
  }

  /** Something was sent, and perhaps not taken. */
  look(): void {
    if (this.#watches || !this.#waits()) return;
    this.#watches = true;
    void this.#watch();
  }

  async #watch(): Promise<void> {
    while (this.#waits()) {
      const before = this.#progress();
      try {
        await this.#clock.sleep(this.#stallMs, this.#signal);
      } catch {
        return; // The connection is gone.
      }
      if (this.#waits() && this.#progress() === before) {
        this.#stalled();
        return;
      }
    }
    this.#watches = false;
  }
}
