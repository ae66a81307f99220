import { refuse } from '#domain/errors.ts';
import type { ControlPorts } from '#control/ports.ts';
import type { ReadTx } from '#meta/meta-store.ts';
import { INSTANCES } from './records.ts';

const ALL = { after: 0, countMax: Number.MAX_SAFE_INTEGER };

/**
 * Whether machines that need so much together may start beside those that run: what is promised to all stays within what the
 * computer has, and what is new within what is free now, each times the overcommit. The kernel would end a machine otherwise,
 * once its guest uses what it was promised. Refuses: no-memory.
 */
export async function refuseWithoutMemory(ports: ControlPorts, tx: ReadTx, neededMib: number): Promise<void> {
  const memory = ports.machinePlace.memory?.() ?? null;
  if (memory === null || neededMib === 0) return;
  let promisedMib = 0;
  for (const { record } of await tx.documents.all(INSTANCES, ALL)) {
    const { state, wanted, memoryMib } = record.record;
    if (state === 'pending' || state === 'running' || (state === 'stopping' && wanted === 'running')) {
      promisedMib += memoryMib;
    }
  }
  const { totalMib, availableMib, overcommit } = memory;
  const leftMib = Math.floor(Math.min(overcommit * totalMib - promisedMib, overcommit * availableMib));
  if (neededMib > leftMib) refuse({ kind: 'no-memory', neededMib, leftMib: Math.max(leftMib, 0) });
}
