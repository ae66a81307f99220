import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { requireTools } from '../clients.ts';
import { noSessionCounts, runCrashSession } from './crash-session.ts';
import { PYTHON } from './nbd-load.ts';
import { settingText } from './testbed.ts';

/** In all; `npm run crash` runs any number. */
const ROUNDS = Number(process.env['VARVE_CRASH_ROUNDS'] ?? 300);
const SESSIONS = 6;
const SEED = Number(process.env['VARVE_SEED'] ?? systemClock.nowMs() % 1_000_000);

describe(`nothing acknowledged is lost in ${ROUNDS} rounds of kill -9`, { concurrency: 2, timeout: 1_200_000 }, () => {
  for (let session = 0; session < SESSIONS; session += 1) {
    const seed = SEED + session;
    const rounds = Math.ceil(ROUNDS / SESSIONS);
    test(
      `npm run crash -- --rounds ${rounds} --seed ${seed}: ${settingText(seed)}`,
      { timeout: 600_000 },
      async (t) => {
        if (!requireTools(t, [PYTHON, 'nbdinfo'])) return;
        const counts = noSessionCounts();
        await runCrashSession(seed, rounds, counts);
        t.diagnostic(JSON.stringify(counts));
        assert.equal(counts.rounds, rounds);
        assert(counts.writes > rounds && counts.cuts > 0 && counts.snapshotsRead > 0, 'the run saw what it is for');
      },
    );
  }
});
