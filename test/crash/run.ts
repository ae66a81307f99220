import { parseArgs } from 'node:util';
import { systemClock } from '#base/clock.ts';
import { noSessionCounts, runCrashSession } from './crash-session.ts';
import { settingText } from './testbed.ts';

/** Rounds on one data directory; then a new one, with the next seed. */
const ROUNDS_A_SESSION = 50;

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '300' }, seed: { type: 'string', default: '' } },
});
const rounds = Number(values.rounds);
const seed = values.seed === '' ? systemClock.nowMs() % 1_000_000 : Number(values.seed);
const counts = noSessionCounts();
const startMs = systemClock.monotonicMs();
for (let done = 0; done < rounds; done += ROUNDS_A_SESSION) {
  const count = Math.min(ROUNDS_A_SESSION, rounds - done);
  const sessionSeed = seed + done / ROUNDS_A_SESSION;
  process.stderr.write(`seed ${sessionSeed}: ${count} rounds; ${settingText(sessionSeed)}\n`);
  await runCrashSession(sessionSeed, count, counts);
}
const seconds = Math.round((systemClock.monotonicMs() - startMs) / 1000);
process.stdout.write(`${JSON.stringify({ seed, seconds, ...counts })}\n`);
