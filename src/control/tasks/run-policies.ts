import { type LifecyclePolicy, schedulesOf } from '#domain/lifecycle/policy.ts';
import { dueMs } from '#domain/lifecycle/schedule.ts';
import type { Scope } from '#domain/volume.ts';
import { createDue } from '#control/lifecycle/create.ts';
import { tendCopies } from '#control/lifecycle/copies.ts';
import { followUp } from '#control/lifecycle/follow-up.ts';
import { changePolicy, lifecyclePolicies } from '#control/lifecycle/policies.ts';
import { removeExpired } from '#control/lifecycle/retain.ts';
import { leaveOf } from '#control/lifecycle/role.ts';
import { followShares } from '#control/lifecycle/shared-with-us.ts';
import type { ControlPorts } from '#control/ports.ts';
import { eachRow } from './each-row.ts';
import { Tally, type Task } from './task.ts';

/**
 * Runs what lifecycle policies ask for. That a schedule was run for a time is recorded when all its snapshots are made, so
 * an interrupted run is repeated (createDue makes nothing twice), and times that passed while no server ran are made up for
 * once, by the latest of them. What follows the creation is looked at each time, as snapshots complete when they do.
 */
export function runPolicies(ports: ControlPorts): Task {
  return {
    name: 'run-policies',
    periodMs: 15_000,
    startDelayMs: 1000,
    wakeDelayMs: 0,
    async activate(signal) {
      const tally = new Tally();
      const rows = eachRow((page) => ports.meta.read((tx) => tx.documents.all(lifecyclePolicies, page)), signal);
      for await (const { record: policy, ...scope } of rows) {
        if (policy.state === 'DISABLED') continue;
        try {
          await runPolicy(ports, scope, policy, tally, signal);
        } catch (error) {
          signal.throwIfAborted();
          ports.log.warn('lifecycle.run', { policy: policy.id, error });
          tally.failed();
        }
      }
      return tally.report();
    },
  };
}

async function runPolicy(
  ports: ControlPorts,
  scope: Scope,
  policy: LifecyclePolicy,
  tally: Tally,
  signal: AbortSignal,
): Promise<void> {
  const leave = await leaveOf(ports, scope, policy);
  await noteRole(ports, scope, policy, typeof leave === 'string' ? leave : null);
  if (typeof leave === 'string') return;
  for (const [index, schedule] of schedulesOf(policy).entries()) {
    // Even intervals, whatever the clock does.
    const nowMs = ports.time.estimateMs();
    const doneMs = policy.doneMs[index] ?? policy.modifiedAtMs;
    if (doneMs > nowMs) {
      await beginAgain(ports, scope, policy, index, nowMs);
      continue;
    }
    const due = dueMs(policy, schedule, doneMs, nowMs);
    if (due === null) continue;
    const troubles = await createDue(ports, { scope, policy, index, schedule, dueMs: due, leave }, signal);
    for (const trouble of troubles) ports.log.warn('lifecycle.create', { policy: policy.id, trouble });
    await changePolicy(ports, scope, policy.id, (current) =>
      // Changed meanwhile: its times begin anew from then.
      current.modifiedAtMs === policy.modifiedAtMs
        ? { ...current, trouble: troubles[0] ?? null, doneMs: current.doneMs.with(index, due) }
        : current,
    );
    tally.done();
  }
  const followed = [
    ...(await followUp(ports, scope, policy, leave)),
    ...(await followShares(ports, scope, policy, leave)),
  ];
  const { troubles: copying, sources } = await tendCopies(ports, scope, policy, leave);
  const archiving = await removeExpired(ports, scope, policy, sources, leave);
  const trouble = [...followed, ...copying, ...archiving][0] ?? null;
  if (trouble === (policy.followUpTrouble ?? null)) return;
  if (trouble !== null) ports.log.warn('lifecycle.follow-up', { policy: policy.id, trouble });
  await changePolicy(ports, scope, policy.id, (current) => ({ ...current, followUpTrouble: trouble }));
}

/** A policy whose role cannot be assumed is in error; when it can again, it is no more. `reason` null: it can. */
async function noteRole(
  ports: ControlPorts,
  scope: Scope,
  policy: LifecyclePolicy,
  reason: string | null,
): Promise<void> {
  const isKnown = reason === null ? policy.state === 'ENABLED' : policy.state === 'ERROR' && policy.trouble === reason;
  if (isKnown) return;
  if (reason !== null) ports.log.warn('lifecycle.role', { policy: policy.id, reason });
  await changePolicy(ports, scope, policy.id, (current) =>
    current.modifiedAtMs === policy.modifiedAtMs
      ? { ...current, state: reason === null ? 'ENABLED' : 'ERROR', trouble: reason }
      : current,
  );
}

/** It was done, or changed, by a clock that was ahead of the time, and would not be due again before that. */
async function beginAgain(
  ports: ControlPorts,
  scope: Scope,
  policy: LifecyclePolicy,
  index: number,
  nowMs: number,
): Promise<void> {
  await changePolicy(ports, scope, policy.id, (current) =>
    current.modifiedAtMs === policy.modifiedAtMs
      ? {
          ...current,
          doneMs: schedulesOf(current).map((_, at) => (at === index ? nowMs : (current.doneMs[at] ?? nowMs))),
        }
      : current,
  );
}
