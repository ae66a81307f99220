import type { AccountId } from '#domain/ids.ts';

import type { IndexedPack } from './chunk-index.ts';
import type { ChunkStore } from './chunk-store.ts';
import type { PackId } from './pack.ts';

const PACKS_PER_PAGE = 500;

/** All packs of the index in the order of their object keys; packs may be added or dropped meanwhile. */
export async function* eachPack(store: ChunkStore): AsyncGenerator<IndexedPack> {
  let after: { readonly account: AccountId | ''; readonly id: PackId } = { account: '', id: '' };
  for (;;) {
    const page = store.index.packs(after, PACKS_PER_PAGE);
    yield* page;
    const last = page.at(-1);
    if (last === undefined) return;
    after = last;
  }
}
