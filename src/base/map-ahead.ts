import { assert, present } from './assert.ts';

/**
 * What `work` answers for each item, in the order of the items, with at most `limit` of them begun and not yet taken. For work
 * that mostly waits. An error of one is thrown when its turn comes; whoever stops early leaves nothing running.
 */
export async function* mapAhead<T, R>(
  items: AsyncIterable<T>,
  limit: number,
  work: (item: T) => Promise<R>,
): AsyncGenerator<R, void, undefined> {
  assert(limit >= 1, 'at least one item is worked on');
  const begun: Promise<R>[] = [];
  try {
    for await (const item of items) {
      const working = work(item);
      working.catch(() => {}); // Thrown below, in its turn.
      begun.push(working);
      if (begun.length === limit) yield await taken(begun);
    }
    while (begun.length > 0) yield await taken(begun);
  } finally {
    await Promise.allSettled(begun);
  }
}

/** Out of the queue once it is settled: until then it runs. */
async function taken<R>(begun: Promise<R>[]): Promise<R> {
  try {
    return await present(begun[0], 'something was begun');
  } finally {
    void begun.shift();
  }
}
