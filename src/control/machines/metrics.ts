import { dateOf } from '#domain/add-on.ts';
import type { InstanceId } from '#domain/ids.ts';
import type { Instance } from '#domain/instance.ts';
import { type MetricPoint, pointOf, SLOT_MS, slotOf, type StoredPoint, storedPoint } from '#domain/metric.ts';
import type { Scope } from '#domain/volume.ts';
import type { ControlPorts } from '#control/ports.ts';
import type { DocumentKind } from '#meta/document-table.ts';
import type { ReadTx, Tx } from '#meta/meta-store.ts';

/** What was measured of one machine in one day, UTC: 288 points at most, some 6 KiB. */
interface MetricDay {
  readonly instance: InstanceId;
  /** `2026-11-21`. */
  readonly date: string;
  /** In order. */
  readonly points: readonly StoredPoint[];
}

const METRIC_DAYS: DocumentKind<MetricDay> = {
  name: 'instance-metrics',
  idOf: ({ instance, date }) => idOf(instance, date),
  ownerOf: ({ instance }) => instance,
};

const DAY_MS = 86_400_000;
/** Two weeks, and the day that has begun. */
export const METRICS_KEPT_MS = 15 * DAY_MS;

function idOf(instance: InstanceId, date: string): string {
  return `${instance} ${date}`;
}

/** A point that is there already is replaced. */
export async function recordPoint(tx: Tx, instance: Instance, point: MetricPoint): Promise<void> {
  const date = dateOf(point.startMs);
  const day = await tx.documents.find(METRIC_DAYS, instance, idOf(instance.id, date));
  const stored = storedPoint(point);
  if (day === null) {
    await tx.documents.insert(METRIC_DAYS, instance, { instance: instance.id, date, points: [stored] });
    return;
  }
  const others = day.points.filter(([minute]) => minute !== stored[0]);
  const points = [...others, stored].toSorted(([a], [b]) => a - b);
  await tx.documents.update(METRIC_DAYS, instance, { ...day, points });
}

/** What was measured from `startMs` to before `endMs`, oldest first. Slots that have not ended are not there. */
export async function readPoints(
  tx: ReadTx,
  instance: Scope & { readonly id: InstanceId },
  { startMs, endMs }: { readonly startMs: number; readonly endMs: number },
): Promise<readonly MetricPoint[]> {
  const found: MetricPoint[] = [];
  for (let dayMs = Math.floor(startMs / DAY_MS) * DAY_MS; dayMs < endMs; dayMs += DAY_MS) {
    const day = await tx.documents.find(METRIC_DAYS, instance, idOf(instance.id, dateOf(dayMs)));
    for (const stored of day?.points ?? []) {
      const point = pointOf(day?.date ?? '', stored);
      if (point.startMs >= startMs && point.startMs < endMs) found.push(point);
    }
  }
  return found;
}

/** The last slots that have ended, oldest first; null for each of which nothing is known. */
export async function lastPoints(
  tx: ReadTx,
  instance: Scope & { readonly id: InstanceId },
  nowMs: number,
  count: number,
): Promise<readonly (MetricPoint | null)[]> {
  const endMs = slotOf(nowMs);
  const startMs = endMs - count * SLOT_MS;
  const found = new Map((await readPoints(tx, instance, { startMs, endMs })).map((point) => [point.startMs, point]));
  return Array.from({ length: count }, (_, index) => found.get(startMs + index * SLOT_MS) ?? null);
}

/** Forgets what is old, and what was of machines that are gone. Answers how many days of a machine went. */
export async function pruneMetrics(ports: ControlPorts, isThere: (instance: InstanceId) => boolean): Promise<number> {
  const before = dateOf(ports.time.earliestMs() - METRICS_KEPT_MS);
  return await ports.meta.transact(async (tx) => {
    const rows = await tx.documents.all(METRIC_DAYS, { after: 0, countMax: Number.MAX_SAFE_INTEGER });
    const old = rows.filter(({ record: { record } }) => record.date < before || !isThere(record.instance));
    for (const { record } of old) {
      const { account, region } = record;
      await tx.documents.remove(METRIC_DAYS, { account, region }, METRIC_DAYS.idOf(record.record));
    }
    return old.length;
  });
}
