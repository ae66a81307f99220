import { parentPort, workerData } from 'node:worker_threads';
import { present } from '#base/assert.ts';
import { systemClock } from '#base/clock.ts';
import { PlainNbdClient } from '#volume/host-nbd.fake.ts';

/** What the honest client saw. */
export interface HonestFigures {
  /** Reads that were answered. */
  readonly count: number;
  /** The longest wait for one. */
  readonly longestMs: number;
}

/**
 * A thread that reads from a disk without pause, so that others see whether it is kept waiting. It says `connected`, and
 * after any message to it its figures, and ends.
 */
const parent = present(parentPort, 'this runs as a thread');
const client = await PlainNbdClient.connect(workerData as { readonly path: string });
const stopped = new AbortController();
parent.once('message', () => stopped.abort());
parent.postMessage('connected', []);

let count = 0;
let longestMs = 0;
while (!stopped.signal.aborted) {
  const startMs = systemClock.monotonicMs();
  await client.read((count % 1000) * 4096, 4096);
  longestMs = Math.max(longestMs, systemClock.monotonicMs() - startMs);
  count += 1;
  // The message to stop wants to be heard, and the processor is not this client's alone.
  if (count % 8 === 0) await systemClock.sleep(1);
}
client[Symbol.dispose]();
parent.postMessage({ count, longestMs } satisfies HonestFigures, []);
