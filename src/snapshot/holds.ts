import type { AccountId } from '#domain/ids.ts';

import type { TreeRoot } from './tree.ts';

/** A root and the account whose keys it is made of. */
export interface AccountRoot {
  readonly account: AccountId;
  readonly root: TreeRoot;
}

/** What a collection sees of the holds. */
export interface HoldWatch extends Disposable {
  /** Roots that were held at any moment since the watch began, and were not taken yet. */
  take(): readonly AccountRoot[];
  /** Whether a root is being opened now, which may soon be held. */
  readonly isOpening: boolean;
  /** Resolves when what is being opened now was opened, or was not. */
  settled(): Promise<void>;
}

/**
 * Roots that must stay though nothing stored may name them: of open snapshots, of what running writes build on.
 * A root that was held at any moment of a collection counts as held for all of it, since what it was held for may have
 * become an extra root after those were asked for.
 */
export class Holds {
  readonly #held = new Set<AccountRoot>();
  readonly #opening = new Set<Promise<unknown>>();
  readonly #watches = new Set<AccountRoot[]>();

  hold(root: AccountRoot): Disposable {
    const held = { ...root };
    this.#held.add(held);
    for (const seen of this.#watches) seen.push(held);
    return { [Symbol.dispose]: () => this.#held.delete(held) };
  }

  /** Runs what reads a root in order to hold it. No collection decides between the reading and the holding. */
  async opening<R>(open: () => Promise<R>): Promise<R> {
    const opening = open();
    const settled = Promise.allSettled([opening]);
    this.#opening.add(settled);
    try {
      return await opening;
    } finally {
      this.#opening.delete(settled);
    }
  }

  watch(): HoldWatch {
    const seen: AccountRoot[] = [...this.#held];
    this.#watches.add(seen);
    const opening = this.#opening;
    return {
      take: () => seen.splice(0),
      get isOpening() {
        return opening.size > 0;
      },
      settled: async () => {
        await Promise.all(opening);
      },
      [Symbol.dispose]: () => this.#watches.delete(seen),
    };
  }
}
