import { TERMINATED_SHOWN_MS } from '#domain/instance.ts';
import { INSTANCES } from '#control/machines/records.ts';
import type { ControlPorts } from '#control/ports.ts';
import { eachRow } from './each-row.ts';
import type { Task } from './task.ts';

/** Forgets client tokens, ended operations and terminated machines that are old. */
export function prune(ports: ControlPorts): Task {
  return {
    name: 'prune',
    periodMs: 3_600_000,
    startDelayMs: 60_000,
    wakeDelayMs: 0,
    async activate(signal) {
      const nowMs = ports.time.earliestMs();
      const { clientTokenMs, operationMs } = ports.limits;
      const done = await ports.meta.transact(
        async (tx) => (await tx.tokens.prune(nowMs - clientTokenMs)) + (await tx.operations.prune(nowMs - operationMs)),
      );
      return { done: done + (await pruneInstances(ports, nowMs, signal)), failed: 0, remaining: 0 };
    },
  };
}

async function pruneInstances(ports: ControlPorts, nowMs: number, signal: AbortSignal): Promise<number> {
  let done = 0;
  const rows = eachRow((page) => ports.meta.read((tx) => tx.documents.all(INSTANCES, page)), signal);
  for await (const { record: instance } of rows) {
    const { state, endedAtMs, id } = instance;
    if (state !== 'terminated' || endedAtMs === null || nowMs - endedAtMs < TERMINATED_SHOWN_MS) continue;
    await ports.meta.transact((tx) => tx.documents.remove(INSTANCES, instance, id));
    done += 1;
  }
  return done;
}
