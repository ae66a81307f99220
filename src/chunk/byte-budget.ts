import { assert } from '#base/assert.ts';

/** Bytes of a budget that somebody has. Disposed of: all of them are back. */
export interface Reserved extends Disposable {
  /** It has so many now: fewer, or, of what cannot wait, more. */
  resize(bytes: number): void;
}

interface Waiting {
  readonly bytes: number;
  readonly idleBytes: number;
  readonly grant: (reserved: Reserved) => void;
}

/**
 * Memory that several share. Who wants some waits for its turn, first come, first served; so whoever asks for little at a
 * time gets its share, however much others ask for.
 *
 * NO DEADLOCK. Some of what is had is *idle*: it comes back only when its owner goes on (a pack that is not full yet). The
 * rest comes back by itself. Whoever is about to wait says how much it has that is idle, and must let go of that first when
 * `mayWaitWith` says so: so those who wait never have more than half of the budget idle, and no one asks for more than the
 * other half. Its owner waits for nothing else in between.
 */
export class ByteBudget {
  readonly bytesMax: number;
  #usedBytes = 0;
  /** Of those who wait. */
  #idleBytes = 0;
  readonly #waiting: Waiting[] = [];

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** At once or not at all: null when there is no room, or others wait. */
  tryReserve(bytes: number): Reserved | null {
    assert(bytes <= this.bytesMax / 2, 'nobody asks for more than half of a budget');
    return this.#waiting.length > 0 || !this.#fits(bytes) ? null : this.take(bytes);
  }

  /** Whether somebody who has so much that is idle may wait for more. */
  mayWaitWith(idleBytes: number): boolean {
    return this.#idleBytes + idleBytes <= this.bytesMax / 2;
  }

  /** Waits for its turn. `idleBytes` as in `mayWaitWith`, asked in the same turn of the event loop. Rejects with the signal's reason. */
  async reserve(
    bytes: number,
    options: { readonly idleBytes: number; readonly signal: AbortSignal },
  ): Promise<Reserved> {
    const { idleBytes, signal } = options;
    const now = this.tryReserve(bytes);
    if (now !== null) return now;
    signal.throwIfAborted();
    assert(this.mayWaitWith(idleBytes), 'those who wait have no more than half of the budget idle');
    const granted = Promise.withResolvers<Reserved>();
    const waiting: Waiting = { bytes, idleBytes, grant: granted.resolve };
    const onAbort = (): void => {
      if (this.#leave(waiting)) granted.reject(signal.reason);
      this.#grant();
    };
    signal.addEventListener('abort', onAbort, { once: true });
    this.#waiting.push(waiting);
    this.#idleBytes += idleBytes;
    try {
      return await granted.promise;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** Of what is there already and cannot wait: also beyond the budget. */
  take(bytes: number): Reserved {
    let held = bytes;
    this.#usedBytes += bytes;
    const resize = (to: number): void => {
      assert(to >= 0, 'nobody has less than nothing');
      this.#usedBytes += to - held;
      held = to;
      this.#grant();
    };
    return { resize, [Symbol.dispose]: () => resize(0) };
  }

  #fits(bytes: number): boolean {
    return this.#usedBytes + bytes <= this.bytesMax;
  }

  #grant(): void {
    for (let first = this.#waiting[0]; first !== undefined && this.#fits(first.bytes); first = this.#waiting[0]) {
      this.#leave(first);
      first.grant(this.take(first.bytes));
    }
  }

  #leave(waiting: Waiting): boolean {
    const at = this.#waiting.indexOf(waiting);
    if (at < 0) return false;
    this.#waiting.splice(at, 1);
    this.#idleBytes -= waiting.idleBytes;
    return true;
  }
}
