import { setImmediate as nextTurn } from 'node:timers/promises';

/** Sorted in one go: well under a millisecond. */
const RUN_COUNT = 1024;
/** Taken from the runs in one turn of the event loop. */
const TAKEN_PER_TURN = 1024;

/** Texts in the order of their code units, as `sort` has them; no turn of the event loop takes more than a few milliseconds, however many there are. */
export async function sortInTurns(texts: AsyncIterable<string>): Promise<AsyncIterable<string>> {
  const runs: string[][] = [];
  let run: string[] = [];
  for await (const text of texts) {
    if (run.push(text) < RUN_COUNT) continue;
    runs.push(run.sort());
    run = [];
    await nextTurn();
  }
  if (run.length > 0) runs.push(run.sort());
  return merged(runs);
}

async function* merged(runs: readonly (readonly string[])[]): AsyncGenerator<string> {
  // The runs by their first text that was not taken, the least first: a heap.
  const heap = runs.map((run) => ({ run, at: 0 }));
  const isLess = (a: number, b: number): boolean => headOf(heap[a]) < headOf(heap[b]);
  const sink = (from: number): void => {
    for (let at = from; ;) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2]) if (child < heap.length && isLess(child, least)) least = child;
      if (least === at) return;
      [heap[at], heap[least]] = [heap[least] as Head, heap[at] as Head];
      at = least;
    }
  };
  for (let at = Math.floor(heap.length / 2) - 1; at >= 0; at -= 1) sink(at);
  for (let count = 1; heap.length > 0; count += 1) {
    const first = heap[0] as Head;
    yield headOf(first);
    first.at += 1;
    if (first.at === first.run.length) {
      const last = heap.pop() as Head;
      if (heap.length > 0) heap[0] = last;
    }
    sink(0);
    if (count % TAKEN_PER_TURN === 0) await nextTurn();
  }
}

interface Head {
  readonly run: readonly string[];
  at: number;
}

function headOf(head: Head | undefined): string {
  return head?.run[head.at] as string;
}
