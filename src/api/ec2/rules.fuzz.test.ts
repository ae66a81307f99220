import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import type { Played, Sequences } from './rules-model-sequence.fake.ts';

/*
 * Two accounts in two regions ask for whatever comes to their minds, through the faces of EC2, EBS direct and the Recycle
 * Bin, while time passes, uploads end well or not, and the control process is replaced. A small model of AWS's rules says
 * of every request whether it succeeds or with which codes it may be refused, and what is in every list.
 *
 * FUZZ_SEED=n repeats from sequence n on; FUZZ_MS says how long; FUZZ_SEQUENCES how many, whatever that takes.
 */

const seed = Number(process.env['FUZZ_SEED'] ?? 1 + Math.floor(performance.timeOrigin % 1e9));
const countMax = Number(process.env['FUZZ_SEQUENCES'] ?? Infinity);
const budgetMs = countMax === Infinity ? Number(process.env['FUZZ_MS'] ?? 5_000) : 900_000;
const THREADS = 2;

/** One after another in each of two threads; what a single sequence does depends on its seed alone. */
async function play(thread: number): Promise<Played> {
  const count = Math.ceil((countMax - thread) / THREADS);
  const workerData: Sequences = { seed: seed + thread, stride: THREADS, countMax: count, budgetMs };
  const worker = new Worker(new URL('./rules-model-worker.fake.ts', import.meta.url), { workerData });
  try {
    const [played] = (await once(worker, 'message')) as [Played];
    return played;
  } finally {
    await worker.terminate();
  }
}

test(
  `two accounts get from EC2 what its rules say (FUZZ_SEED=${seed})`,
  { timeout: budgetMs * 3 + 60_000 },
  async (t) => {
    const startMs = performance.now();
    const all = await Promise.all(Array.from({ length: THREADS }, (_, thread) => play(thread)));
    const sequences = all.reduce((sum, { sequenceCount }) => sum + sequenceCount, 0);
    const counts: Record<string, number> = {};
    for (const [label, count] of all.flatMap((one) => Object.entries(one.counts))) {
      counts[label] = (counts[label] ?? 0) + count;
    }
    t.diagnostic(`${sequences} sequences in ${Math.round(performance.now() - startMs)} ms`);
    const sorted = Object.entries(counts).toSorted(([one], [other]) => (one < other ? -1 : 1));
    t.diagnostic(JSON.stringify(Object.fromEntries(sorted)));
    assert.ok(sequences >= Math.min(countMax, THREADS), 'sequences were played');
  },
);
