import { parseInstanceId } from '#domain/ids.ts';
import type { StopOnIdleAddOn } from '#domain/add-on.ts';
import type { Instance } from '#domain/instance.ts';
import { SLOT_MS, slotOf } from '#domain/metric.ts';
import type { ControlPorts } from '#control/ports.ts';
import { eachRow } from '#control/tasks/each-row.ts';
import { ADD_ONS } from './add-ons.ts';
import { lastPoints } from './metrics.ts';
import { stopInstance } from './power.ts';
import { INSTANCES } from './records.ts';

/**
 * Stops machines that did nothing: each of the last five minutes, over the whole duration, was measured and stayed under the
 * threshold. The time before a machine was started, or the add-on enabled, does not count. Answers how many it stopped.
 */
export async function stopIdle(ports: ControlPorts, signal: AbortSignal): Promise<number> {
  let count = 0;
  const rows = eachRow((page) => ports.meta.read((tx) => tx.documents.all(ADD_ONS, page)), signal);
  for await (const { record: addOns, account, region } of rows) {
    const id = parseInstanceId(addOns.resource);
    const { stopOnIdle } = addOns;
    if (id === null || stopOnIdle === null) continue;
    const scope = { account, region };
    const instance = await ports.meta.read((tx) => tx.documents.find(INSTANCES, scope, id));
    if (instance === null || instance.state !== 'running' || !(await isIdle(ports, instance, stopOnIdle))) continue;
    const reason = `it was idle: under ${stopOnIdle.thresholdPercent} % for ${stopOnIdle.durationMinutes} minutes`;
    ports.log.info('instance.idle', { instance: id, reason });
    // An operation says so to its clients.
    await stopInstance(ports, scope, id, { force: false, operation: 'StopInstance', reason });
    count += 1;
  }
  return count;
}

async function isIdle(ports: ControlPorts, instance: Instance, addOn: StopOnIdleAddOn): Promise<boolean> {
  const nowMs = ports.clock.nowMs();
  const slots = Math.ceil((addOn.durationMinutes * 60_000) / SLOT_MS);
  const sinceMs = Math.max(instance.launchedAtMs ?? nowMs, addOn.enabledAtMs);
  if (slotOf(nowMs) - slots * SLOT_MS < sinceMs) return false;
  const points = await ports.meta.read((tx) => lastPoints(tx, instance, nowMs, slots));
  return points.every((point) => point !== null && point.cpuPercent < addOn.thresholdPercent);
}
