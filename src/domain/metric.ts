// What is measured of machines: one value for each five minutes, as Lightsail has it.

export const METRIC_NAMES = [
  'CPUUtilization',
  'NetworkIn',
  'NetworkOut',
  'StatusCheckFailed',
  'StatusCheckFailed_Instance',
  'StatusCheckFailed_System',
] as const;
export type MetricName = (typeof METRIC_NAMES)[number];

export type MetricUnit = 'Percent' | 'Bytes' | 'Count';
export type Statistic = 'Average' | 'Maximum' | 'Minimum' | 'SampleCount' | 'Sum';

/** What one value is of, and what alarms look at. */
export const METRICS: Readonly<Record<MetricName, { readonly unit: MetricUnit; readonly statistic: Statistic }>> = {
  CPUUtilization: { unit: 'Percent', statistic: 'Average' },
  NetworkIn: { unit: 'Bytes', statistic: 'Sum' },
  NetworkOut: { unit: 'Bytes', statistic: 'Sum' },
  StatusCheckFailed: { unit: 'Count', statistic: 'Sum' },
  StatusCheckFailed_Instance: { unit: 'Count', statistic: 'Sum' },
  StatusCheckFailed_System: { unit: 'Count', statistic: 'Sum' },
};

export function isMetricName(text: string): text is MetricName {
  return METRIC_NAMES.some((name) => name === text);
}

/** One value stands for so long. */
export const SLOT_MS = 300_000;
const DAY_MS = 86_400_000;

/** The slot that an instant lies in, as the instant at which it begins. */
export function slotOf(ms: number): number {
  return Math.floor(ms / SLOT_MS) * SLOT_MS;
}

/** Of five minutes. */
export interface MetricPoint {
  /** When they began, in milliseconds since 1970. */
  readonly startMs: number;
  /** Per cent of all its processors. */
  readonly cpuPercent: number;
  /** Bytes; null: nobody counted them. */
  readonly receivedBytes: number | null;
  readonly sentBytes: number | null;
  /** What it stands on failed: it was held, because a disk did not answer or is full. */
  readonly isHeld: boolean;
}

/** As it is kept: minute of the day, per cent in hundredths, bytes in, bytes out (-1: nobody counted), 1 when it was held. */
export type StoredPoint = readonly [number, number, number, number, 0 | 1];

export function storedPoint(point: MetricPoint): StoredPoint {
  const { startMs, cpuPercent, receivedBytes, sentBytes, isHeld } = point;
  return [
    Math.floor((startMs % DAY_MS) / 60_000),
    Math.round(cpuPercent * 100),
    receivedBytes ?? -1,
    sentBytes ?? -1,
    isHeld ? 1 : 0,
  ];
}

/** `date`: of the day, `2026-11-21`. */
export function pointOf(date: string, [minute, cpu, received, sent, held]: StoredPoint): MetricPoint {
  return {
    startMs: Date.parse(`${date}T00:00:00Z`) + minute * 60_000,
    cpuPercent: cpu / 100,
    receivedBytes: received < 0 ? null : received,
    sentBytes: sent < 0 ? null : sent,
    isHeld: held === 1,
  };
}

/** Null: it was not measured. */
export function valueOf(point: MetricPoint, metric: MetricName): number | null {
  switch (metric) {
    case 'CPUUtilization':
      return point.cpuPercent;
    case 'NetworkIn':
      return point.receivedBytes;
    case 'NetworkOut':
      return point.sentBytes;
    case 'StatusCheckFailed':
    case 'StatusCheckFailed_System':
      return point.isHeld ? 1 : 0;
    case 'StatusCheckFailed_Instance':
      // What goes on in a guest is not looked into.
      return 0;
  }
}

export interface Datapoint {
  readonly startMs: number;
  readonly count: number;
  readonly sum: number;
  readonly minimum: number;
  readonly maximum: number;
}

/** Values in periods that begin at multiples of their length, oldest first; periods without a value are not there. `points` are in order. */
export function datapoints(points: readonly MetricPoint[], metric: MetricName, periodMs: number): readonly Datapoint[] {
  const found = new Map<number, Datapoint>();
  for (const point of points) {
    const value = valueOf(point, metric);
    if (value === null) continue;
    const startMs = Math.floor(point.startMs / periodMs) * periodMs;
    const before = found.get(startMs);
    found.set(startMs, {
      startMs,
      count: (before?.count ?? 0) + 1,
      sum: (before?.sum ?? 0) + value,
      minimum: Math.min(before?.minimum ?? value, value),
      maximum: Math.max(before?.maximum ?? value, value),
    });
  }
  return [...found.values()];
}
