import { assert } from '#base/assert.ts';
import type { SnapshotId } from '#domain/ids.ts';

interface Gate {
  running: number;
  /** Set while it is closed. */
  drained: PromiseWithResolvers<void> | null;
}

/**
 * Between those who put blocks into a direct snapshot and who seals it: a put that was let in is over before the seal looks
 * at the blocks, and none begins after. Memory is enough, because one process does both; what a crash leaves has no puts.
 */
export class WriteGates {
  readonly #gates = new Map<SnapshotId, Gate>();

  /** Lets one put in until it is disposed; null: closed. */
  enter(id: SnapshotId): Disposable | null {
    const gate = this.#gateOf(id);
    if (gate.drained !== null) return null;
    gate.running += 1;
    return {
      [Symbol.dispose]: () => {
        gate.running -= 1;
        if (gate.running > 0) return;
        if (gate.drained === null) this.#gates.delete(id);
        else gate.drained.resolve();
      },
    };
  }

  /** Closed from now on, and empty during `work`; open again after it, however it ended. One at a time. */
  async closed<R>(id: SnapshotId, work: () => Promise<R>): Promise<R> {
    const gate = this.#gateOf(id);
    assert(gate.drained === null, 'one closes a gate at a time');
    gate.drained = Promise.withResolvers<void>();
    if (gate.running === 0) gate.drained.resolve();
    await gate.drained.promise;
    try {
      return await work();
    } finally {
      this.#gates.delete(id);
    }
  }

  #gateOf(id: SnapshotId): Gate {
    const found = this.#gates.get(id);
    if (found !== undefined) return found;
    const gate: Gate = { running: 0, drained: null };
    this.#gates.set(id, gate);
    return gate;
  }
}
