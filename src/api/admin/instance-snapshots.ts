import { allInstanceSnapshots } from '#control/machines/instance-snapshot-records.ts';
import type { ControlPorts } from '#control/ports.ts';

/** A page of the snapshots of machines of all accounts, automatic ones, too. */
export async function answerInstanceSnapshots(
  ports: ControlPorts,
  afterText: string | null,
): Promise<{ readonly status: number; readonly body: Readonly<Record<string, unknown>> }> {
  const after = Number(afterText ?? 0);
  if (!Number.isSafeInteger(after) || after < 0) {
    return { status: 400, body: { message: 'after is no number of a row' } };
  }
  const { snapshots, next } = await allInstanceSnapshots(ports, after);
  const views = snapshots.map(({ record, progressPercent }) => ({
    id: record.id,
    name: record.name,
    account: record.account,
    region: record.region,
    instance: record.instance,
    instanceName: record.instanceName,
    state: record.state,
    progressPercent,
    createdAtMs: record.createdAtMs,
    consistency: record.consistency,
    consistencyNote: record.consistencyNote,
    heldMs: record.heldMs,
    autoDate: record.autoDate,
    copiedFrom: record.copiedFrom,
    parts: record.parts,
  }));
  return { status: 200, body: { 'instance-snapshots': views, next } };
}
