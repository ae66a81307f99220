/** `npm run bench:start`: from the start of `varve serve` to its first answered request, and its memory at rest. Median of `--rounds` (default 5). */
import { parseArgs } from 'node:util';
import { systemClock } from '#base/clock.ts';
import { proportionalBytes, residentBytes, RunningServer } from '../running-server.ts';

const MIB = 1024 * 1024;
/** Long enough for garbage of the start to be collected and for idle threads to end. */
const REST_MS = 10_000;

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '5' } } });
const startMs: number[] = [];
const rssMib: number[] = [];
const pssMib: number[] = [];
for (let round = 0; round < Number(values.rounds); round += 1) {
  const beganMs = systemClock.monotonicMs();
  await using server = await RunningServer.start();
  const reply = await fetch(`${server.endpoint}/healthz`);
  if (reply.status !== 200) throw new Error(`the first request was answered ${reply.status}`);
  startMs.push(systemClock.monotonicMs() - beganMs);
  await systemClock.sleep(REST_MS);
  const pids = [server.processId, await server.hostProcessId()];
  const sum = (count: (pid: number) => number): number => pids.reduce((bytes, pid) => bytes + count(pid), 0) / MIB;
  rssMib.push(sum(residentBytes));
  pssMib.push(sum(proportionalBytes));
  process.stdout.write(
    `round ${round + 1}: first answer after ${(startMs.at(-1) ?? 0).toFixed(0)} ms; ` +
      `at rest ${(pssMib.at(-1) ?? 0).toFixed(0)} MiB (PSS), ${(rssMib.at(-1) ?? 0).toFixed(0)} MiB (RSS, shared program text twice)\n`,
  );
}
process.stdout.write(
  `${JSON.stringify({ start_ms: Math.round(median(startMs)), rest_pss_mib: Math.round(median(pssMib)), rest_rss_mib: Math.round(median(rssMib)), rounds: startMs.length })}\n`,
);
