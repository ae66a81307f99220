import { fastRestores, unreadyState } from '#control/fast-restores.ts';
import { isUsableBy } from '#control/lookup.ts';
import { isKeyUnusable, withDataKey } from '#control/open-volume.ts';
import type { ControlPorts } from '#control/ports.ts';
import { type FastRestore, fastRestoreIn, isWanted } from '#domain/fast-restore.ts';
import type { SnapshotId } from '#domain/ids.ts';
import type { Scope } from '#domain/volume.ts';
import type { WarmStatus } from '#volume/host.ts';
import { eachRow } from './each-row.ts';
import { Tally, type Task, type TaskReport } from './task.ts';

/** How long one that was disabled is listed. */
const DISABLED_MS = 3_600_000;

type Placed = Scope & { readonly record: FastRestore };

/**
 * Has the host make snapshots warm that are to be ready, and lets go of those that need not be any more: those that were
 * disabled, and those that are deleted, in the recycle bin, archived, or not shared with the account any more. Goes on
 * until nothing is on its way; what is in trouble comes again with the next activation.
 */
export function tendFastRestores(ports: ControlPorts): Task {
  return {
    name: 'tend-fast-restores',
    periodMs: 15_000,
    startDelayMs: 500,
    wakeDelayMs: 0,
    async activate(signal) {
      for (;;) {
        const report = await tendAll(ports, signal);
        if (report.remaining === 0) return report;
        await ports.clock.sleep(ports.limits.progressPeriodMs, signal);
      }
    },
  };
}

async function tendAll(ports: ControlPorts, signal: AbortSignal): Promise<TaskReport> {
  const tally = new Tally();
  const all: Placed[] = [];
  const rows = eachRow((page) => ports.meta.read((tx) => tx.documents.all(fastRestores, page)), signal);
  for await (const row of rows) all.push(row);
  for (const [snapshot, placed] of Map.groupBy(all, ({ record }) => record.snapshot)) {
    try {
      await tend(ports, tally, snapshot, placed);
    } catch (error) {
      signal.throwIfAborted();
      ports.log.warn('fast-restore.tend', { snapshot, error });
      tally.failed();
    }
  }
  return tally.report();
}

async function tend(ports: ControlPorts, tally: Tally, id: SnapshotId, placed: readonly Placed[]): Promise<void> {
  await expire(ports, id, placed);
  const wanted = await change(ports, placed, (one, nowMs) =>
    one.state === 'enabling' ? fastRestoreIn(one, 'optimizing', nowMs) : one,
  );
  if (wanted.some(isWanted)) await warm(ports, tally, id, placed);
  // After what is wanted is known: another account, or zone, may want what this one lets go.
  else if (wanted.some(({ state }) => state === 'disabling')) await ports.host.coolSnapshot(id);
  await change(ports, placed, (one, nowMs) =>
    one.state === 'disabling' ? fastRestoreIn(one, 'disabled', nowMs) : one,
  );
}

async function warm(ports: ControlPorts, tally: Tally, id: SnapshotId, placed: readonly Placed[]): Promise<void> {
  const { isWarm, trouble } = await warmOnHost(ports, id);
  await change(ports, placed, (one, nowMs) => {
    if (one.state === 'optimizing' && isWarm) return fastRestoreIn(one, 'enabled', nowMs);
    if (isWarm || !isWanted(one)) return one;
    const current = one.state === 'enabled' ? fastRestoreIn(one, 'optimizing', nowMs) : one;
    return current.trouble === trouble ? current : { ...current, trouble };
  });
  if (isWarm) tally.done();
  else if (trouble === null) tally.remaining();
  else {
    ports.log.warn('fast-restore.trouble', { snapshot: id, trouble });
    tally.failed();
  }
}

/** Without its key a snapshot stays warm that is so; one that is not says that it needs it. */
async function warmOnHost(ports: ControlPorts, id: SnapshotId): Promise<WarmStatus> {
  const snapshot = (await ports.meta.read((tx) => tx.snapshots.find(id))) ?? { encryption: null };
  try {
    return await withDataKey(ports, snapshot, (dataKey) => ports.host.warmSnapshot(id, dataKey));
  } catch (error) {
    if (!isKeyUnusable(error)) throw error;
    return await ports.host.warmSnapshot(id, null);
  }
}

/** Begins to disable what cannot be ready for its account any more. */
async function expire(ports: ControlPorts, id: SnapshotId, placed: readonly Placed[]): Promise<void> {
  const usable = await ports.meta.read(async (tx) => {
    const snapshot = await tx.snapshots.find(id);
    const accounts = new Set<string>();
    if (snapshot === null || unreadyState(snapshot) !== null) return accounts;
    for (const { account } of placed) if (await isUsableBy(tx, snapshot, account)) accounts.add(account);
    return accounts;
  });
  await change(ports, placed, (one, nowMs, { account }) =>
    isWanted(one) && !usable.has(account) ? fastRestoreIn(one, 'disabling', nowMs) : one,
  );
}

/** Those that are there, as they are afterwards. One that was disabled long ago is removed. */
async function change(
  ports: ControlPorts,
  placed: readonly Placed[],
  next: (one: FastRestore, nowMs: number, scope: Scope) => FastRestore,
): Promise<readonly FastRestore[]> {
  const nowMs = ports.clock.nowMs();
  const left: FastRestore[] = [];
  for (const { record, account, region } of placed) {
    const scope = { account, region };
    const id = fastRestores.idOf(record);
    const seen = await ports.meta.read((tx) => tx.documents.find(fastRestores, scope, id));
    if (seen === null) continue;
    const isOver = seen.disabledAtMs !== null && seen.state === 'disabled' && seen.disabledAtMs + DISABLED_MS <= nowMs;
    if (!isOver && next(seen, nowMs, scope) === seen) {
      left.push(seen);
      continue;
    }
    const after = await ports.meta.transact(async (tx) => {
      // Read again: a client may have asked for something else.
      const current = await tx.documents.find(fastRestores, scope, id);
      if (current === null || current.state !== seen.state) return current;
      if (isOver) {
        await tx.documents.remove(fastRestores, scope, id);
        return null;
      }
      const changed = next(current, nowMs, scope);
      await tx.documents.update(fastRestores, scope, changed);
      return changed;
    });
    if (after !== null) left.push(after);
  }
  return left;
}
