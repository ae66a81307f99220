import type { Handler } from '#api/handler.ts';
import type { SteadyTime } from '#base/steady-time.ts';
import { type LockedSnapshot, lockSnapshot as lock, unlockSnapshot as unlock } from '#control/snapshot-locks.ts';
import { findSnapshot, listSnapshots } from '#control/snapshots.ts';
import {
  coolOffExpiresMs,
  lockExpiresMs,
  type LockState,
  lockStateOf,
  type SnapshotLock,
} from '#domain/snapshot-lock.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import type { LockedSnapshotsInfo } from '#wire/aws/models/ec2.ts';
import type { InputOf, OutputOf } from '#wire/aws/operations.ts';
import { endDryRun } from './dry-run.ts';
import { invalidParameter } from './errors.ts';
import { parseFilters, type FilterTable } from './filters.ts';
import { parseIds, requireSnapshotId } from './ids.ts';
import { nextToken, parsePage, refusePagedIds } from './paging.ts';

export const lockSnapshot: Handler<InputOf<'ec2', 'LockSnapshot'>, OutputOf<'ec2', 'LockSnapshot'>> = async (
  context,
  request,
) => {
  const { ports, scope } = context;
  const id = requireSnapshotId(request.SnapshotId);
  const mode = request.LockMode;
  if (mode !== 'governance' && mode !== 'compliance') {
    throw invalidParameter('lockMode', mode, "Valid values are 'governance' and 'compliance'.");
  }
  if (request.DryRun === true) await findSnapshot(ports, scope, id);
  endDryRun(request);
  const locked = await lock(ports, scope, id, {
    mode,
    coolOffHours: request.CoolOffPeriod ?? null,
    durationDays: request.LockDuration ?? null,
    expiresAtMs: request.ExpirationDate?.getTime() ?? null,
  });
  const { OwnerId: _, ...view } = lockView(locked, ports.time);
  return view;
};

export const unlockSnapshot: Handler<InputOf<'ec2', 'UnlockSnapshot'>, OutputOf<'ec2', 'UnlockSnapshot'>> = async (
  context,
  request,
) => {
  const { ports, scope } = context;
  const id = requireSnapshotId(request.SnapshotId);
  if (request.DryRun === true) await findSnapshot(ports, scope, id);
  endDryRun(request);
  await unlock(ports, scope, id);
  return { SnapshotId: id };
};

export const describeLockedSnapshots: Handler<
  InputOf<'ec2', 'DescribeLockedSnapshots'>,
  OutputOf<'ec2', 'DescribeLockedSnapshots'>
> = async (context, request) => {
  const { ports, scope } = context;
  const ids = parseIds(request.SnapshotIds, (text) => requireSnapshotId(text));
  refusePagedIds(ids, request, 'snapshotSet');
  const page = parsePage(request);
  const passes = parseFilters(request.Filters, lockFilters(ports.time));
  endDryRun(request);
  const match = (snapshot: Snapshot): boolean => isLocked(snapshot) && passes(snapshot);
  const { snapshots, next } = await listSnapshots(ports, scope, { ids, face: null, match, ...page });
  return {
    Snapshots: snapshots.filter(isLocked).map((snapshot) => lockView(snapshot, ports.time)),
    ...nextToken(next),
  };
};

function isLocked(snapshot: Snapshot): snapshot is LockedSnapshot {
  return snapshot.lock !== null;
}

function lockFilters(time: SteadyTime): FilterTable<Snapshot> {
  const stateOf = (lock: SnapshotLock | null): readonly string[] => (lock === null ? [] : [stateAt(lock, time)]);
  return { named: new Map([['lock-state', ({ lock: one }: Snapshot) => stateOf(one)]]), tags: null };
}

function stateAt(lock: SnapshotLock, time: SteadyTime): LockState {
  return lockStateOf(lock, time.earliestMs(), time.latestMs());
}

function lockView({ id, account, lock: one }: LockedSnapshot, time: SteadyTime): LockedSnapshotsInfo {
  const expiresMs = lockExpiresMs(one);
  const coolOffMs = coolOffExpiresMs(one);
  return {
    OwnerId: account,
    SnapshotId: id,
    LockState: stateAt(one, time),
    // A lock until a date has no whole number of days.
    LockDuration: Math.ceil(one.durationDays),
    LockCreatedOn: new Date(one.createdAtMs),
    ...(one.startMs !== null && { LockDurationStartTime: new Date(one.startMs) }),
    ...(expiresMs !== null && { LockExpiresOn: new Date(expiresMs) }),
    ...(one.coolOffHours !== null && { CoolOffPeriod: one.coolOffHours }),
    ...(coolOffMs !== null && { CoolOffPeriodExpiresOn: new Date(coolOffMs) }),
  };
}
