import { parentPort, workerData } from 'node:worker_threads';
import { playSequences, type Sequences } from './rules-model-sequence.fake.ts';

// A thread that plays sequences: the test runner follows every promise of its own thread, which takes longer than the play.

parentPort?.postMessage(await playSequences(workerData as Sequences), []);
