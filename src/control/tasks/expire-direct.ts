import type { ControlPorts } from '#control/ports.ts';
import { failSnapshot } from '#control/upload.ts';
import type { SnapshotId } from '#domain/ids.ts';
import { eachRow } from './each-row.ts';
import { Tally, type Task } from './task.ts';

const MINUTE_MS = 60_000;

interface Watch {
  readonly touchedAtMs: number | null;
  readonly sinceMs: number;
}

/**
 * Fails direct snapshots that got no block for their timeout. Time is counted by the monotonic clock, from when this process
 * first saw the last block: a wall clock that jumps expires nothing early, and a restart gives the whole time again.
 */
export function expireDirect(ports: ControlPorts): Task {
  let watches = new Map<SnapshotId, Watch>();
  return {
    name: 'expire-direct',
    periodMs: 30_000,
    startDelayMs: 0,
    wakeDelayMs: 0,
    async activate(signal) {
      const tally = new Tally();
      const nowMs = ports.clock.monotonicMs();
      const seen = new Map<SnapshotId, Watch>();
      const rows = eachRow((page) => ports.meta.read((tx) => tx.snapshots.unreleased(page)), signal);
      for await (const snapshot of rows) {
        const { id, state, sealed, timeoutMinutes, touchedAtMs } = snapshot;
        if (state !== 'pending' || sealed || timeoutMinutes === null) continue;
        const before = watches.get(id);
        const sinceMs = before !== undefined && before.touchedAtMs === touchedAtMs ? before.sinceMs : nowMs;
        seen.set(id, { touchedAtMs, sinceMs });
        if (nowMs - sinceMs < timeoutMinutes * MINUTE_MS) {
          tally.remaining();
          continue;
        }
        await failSnapshot(ports, snapshot, `No block was written for ${timeoutMinutes} minutes.`);
        tally.done();
      }
      watches = seen;
      return tally.report();
    },
  };
}
