import { DamageError, throwIfAborted } from '#chunk/errors.ts';
import { checkChain, isUnderDataKey, LinkDamageError, unsealChain, type ChainLink } from '#chunk/unseal.ts';

import { CopyState, type Copy } from './verify-catalog.ts';
import { damageOfCopy, type TreePorts } from './verify-trees.ts';

const COPIES_PER_TURN = 200;
/** A longer chain is none that any version writes; it may be a circle. */
const CHAIN_LENGTH_MAX = 1000;

/**
 * Verifies that each delta, laid over its base, gives the chunk of its address, or, under a data key, that its base is there. A delta shares the damages of every base
 * on its way. One whose base is not known yet stays as it is.
 */
export async function resolveDeltas(ports: TreePorts): Promise<void> {
  const { catalog, signal } = ports;
  // One pass: that others are settled gives none a base. Those that stay are passed over, however many they are.
  for (let after: Copy | undefined; ;) {
    const copies = catalog.todo(CopyState.unresolved, COPIES_PER_TURN, after);
    if (copies.length === 0) return;
    for (const copy of copies) {
      throwIfAborted(signal);
      await resolveDelta(ports, copy);
    }
    after = copies.at(-1);
  }
}

/** What is left when nothing more will be known: their bases are nowhere. That is damage where something needs them. */
export function giveUpDeltas({ catalog }: TreePorts): void {
  for (;;) {
    const copies = catalog.todo(CopyState.unresolved, COPIES_PER_TURN);
    if (copies.length === 0) return;
    catalog.transact(() => {
      for (const copy of copies) catalog.settle(copy, CopyState.bereft, null);
    });
  }
}

/** Leaves a delta as it is when a record on its way is not known, or does not read any more. */
async function resolveDelta(ports: TreePorts, copy: Copy): Promise<void> {
  const { catalog, ledger, keysOf, read } = ports;
  const chain: Copy[] = [copy];
  const links: ChainLink[] = [];
  let inherited: number | null = null;
  for (let at: Copy = copy; ;) {
    const record = await readable(read, at);
    if (record === null) return;
    links.push({ key: at.key, record });
    if (at.base === null) break;
    const condition = catalog.condition(copy.account, at.base);
    if (condition === null) return;
    inherited ??= condition.damages[0] ?? null;
    const base: Copy | undefined = catalog
      .copies(copy.account, at.base)
      .find(({ kind, state }) => kind !== 'node' && state !== CopyState.damaged);
    if (base === undefined || chain.length >= CHAIN_LENGTH_MAX) {
      const own = inherited ?? ledger.add(damageOfCopy(copy, 'its bases have no end'));
      catalog.settle(copy, CopyState.damaged, own);
      return;
    }
    chain.push(base);
    at = base;
  }
  try {
    const keys = keysOf(copy.account);
    if (isUnderDataKey(links)) checkChain(keys, links);
    else await unsealChain(keys, links);
    catalog.settle(copy, inherited === null ? CopyState.whole : CopyState.stranded, inherited);
  } catch (error) {
    if (!(error instanceof LinkDamageError)) throw error;
    const broken = chain[error.link] ?? copy;
    const damage = ledger.add(damageOfCopy(broken, error.message));
    catalog.settle(broken, CopyState.damaged, damage);
    if (broken !== copy) catalog.settle(copy, CopyState.damaged, damage);
  }
}

/** Null: gone, or it does not read; the pass over the packs told of that. */
async function readable(read: TreePorts['read'], copy: Copy): Promise<Buffer | null> {
  try {
    return await read(copy);
  } catch (error) {
    if (error instanceof DamageError) return null;
    throw error;
  }
}
