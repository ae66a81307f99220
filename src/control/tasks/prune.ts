import type { ControlPorts } from '#control/ports.ts';
import type { Task } from './task.ts';

/** Forgets client tokens and ended operations that are old. */
export function prune(ports: ControlPorts): Task {
  return {
    name: 'prune',
    periodMs: 3_600_000,
    startDelayMs: 60_000,
    wakeDelayMs: 0,
    async activate() {
      const nowMs = ports.time.earliestMs();
      const { clientTokenMs, operationMs } = ports.limits;
      const done = await ports.meta.transact(
        async (tx) => (await tx.tokens.prune(nowMs - clientTokenMs)) + (await tx.operations.prune(nowMs - operationMs)),
      );
      return { done, failed: 0, remaining: 0 };
    },
  };
}
