import { createHash } from 'node:crypto';
import { refuse } from './errors.ts';
import type { InstanceId, VolumeId } from './ids.ts';

/** Automatic snapshots of a machine or disk that are kept: the last seven. */
export const AUTO_SNAPSHOT_COUNT_MAX = 7;
/** The snapshot is made in so many minutes after the hour that was chosen. */
const WINDOW_MINUTES = 45;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const TIME_OF_DAY = /^([01][0-9]|2[0-3]):00$/;

/** A snapshot every day, the last seven kept. */
export interface AutoSnapshotAddOn {
  /** Of the day, in UTC: 0 to 23. */
  readonly hour: number;
  readonly enabledAtMs: number;
  /** The last day that one was made for: `2026-11-21`; null: none was. */
  readonly lastDate: string | null;
}

/** A machine that did nothing for so long is stopped. */
export interface StopOnIdleAddOn {
  /** Per cent of its processors. */
  readonly thresholdPercent: number;
  readonly durationMinutes: number;
  readonly enabledAtMs: number;
}

/** What a machine or disk has beside what it is; null: not enabled. */
export interface AddOns {
  readonly resource: InstanceId | VolumeId;
  readonly autoSnapshot: AutoSnapshotAddOn | null;
  readonly stopOnIdle: StopOnIdleAddOn | null;
}

/** `06:00`: hours only, in UTC. Refuses: invalid-value. */
export function parseHour(text: string): number {
  const hour = TIME_OF_DAY.exec(text)?.[1];
  if (hour === undefined) {
    refuse({ kind: 'invalid-value', field: 'snapshotTimeOfDay', reason: 'it is a whole hour in UTC, 00:00 to 23:00' });
  }
  return Number(hour);
}

export function timeOfDay(hour: number): string {
  return `${String(hour).padStart(2, '0')}:00`;
}

/** The day in UTC. */
export function dateOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

/**
 * The day for which a snapshot is to be made now; null: none. Each resource has a minute of its own in the window, so that not
 * all of them are cut at once. One that was missed, because nobody was there, is made up for once. What a clock left behind
 * that was ahead holds up nothing.
 */
export function autoSnapshotDue(addOn: AutoSnapshotAddOn, resource: string, nowMs: number): string | null {
  const dueMs = lastDueMs(addOn.hour, resource, nowMs);
  const { enabledAtMs, lastDate } = addOn;
  if (dueMs < enabledAtMs && enabledAtMs <= nowMs) return null;
  const date = dateOf(dueMs);
  return lastDate !== null && lastDate >= date && lastDate <= dateOf(nowMs) ? null : date;
}

/** Of the automatic snapshots of a resource, the newest first, those that are too many. One that failed takes the place of none that can be restored. */
export function autoSnapshotsDoomed<S extends { readonly state: 'pending' | 'available' | 'error' }>(
  snapshots: readonly S[],
): readonly S[] {
  let keptCount = 0;
  return snapshots.filter(({ state }, index) => {
    if (state === 'error') return index >= AUTO_SNAPSHOT_COUNT_MAX;
    keptCount += 1;
    return keptCount > AUTO_SNAPSHOT_COUNT_MAX;
  });
}

/** The hour of the next one, as ISO 8601 in UTC. */
export function nextAutoSnapshotMs(addOn: AutoSnapshotAddOn, resource: string, nowMs: number): number {
  const last = lastDueMs(addOn.hour, resource, nowMs);
  return last - minuteOf(resource) * 60_000 + DAY_MS;
}

function lastDueMs(hour: number, resource: string, nowMs: number): number {
  const startOfDayMs = Math.floor(nowMs / DAY_MS) * DAY_MS;
  const todayMs = startOfDayMs + hour * HOUR_MS + minuteOf(resource) * 60_000;
  return todayMs <= nowMs ? todayMs : todayMs - DAY_MS;
}

function minuteOf(resource: string): number {
  return createHash('sha256').update(resource).digest().readUInt32BE(0) % WINDOW_MINUTES;
}
