import {
  addOnResourceNamed,
  type AddOnRequest,
  disableAddOn as disableOnControl,
  enableAddOn as enableOnControl,
} from '#control/machines/add-ons.ts';
import {
  type AutoSnapshot,
  autoSnapshots,
  chooseAutoSnapshot,
  deleteAutoSnapshot as deleteOnControl,
} from '#control/machines/auto-snapshots.ts';
import { recordDone } from '#control/operations.ts';
import { type AddOns, nextAutoSnapshotMs, parseHour, timeOfDay } from '#domain/add-on.ts';
import type { CallContext } from '#api/handler.ts';
import type {
  AddOn,
  AddOnRequest as AddOnRequestShape,
  AddOnType,
  AutoSnapshotDetails,
  AutoSnapshotStatus,
  DeleteAutoSnapshotRequest,
  DeleteAutoSnapshotResult,
  DisableAddOnRequest,
  DisableAddOnResult,
  EnableAddOnRequest,
  EnableAddOnResult,
  GetAutoSnapshotsRequest,
  GetAutoSnapshotsResult,
} from '#wire/aws/models/lightsail.ts';
import { parseDate } from './dates.ts';
import { refuseInvalid } from './errors.ts';
import { operationView } from './views.ts';

/** What AWS takes where no time is given differs by region; here it is this hour in UTC. */
const DEFAULT_TIME_OF_DAY = '06:00';
const DURATION_MINUTES_MAX = 24 * 60;

export async function enableAddOn(
  { ports, scope, operation }: CallContext,
  input: EnableAddOnRequest,
): Promise<EnableAddOnResult> {
  const addOn = parseAddOn(input.addOnRequest);
  const operations = await enableOnControl(ports, scope, { name: input.resourceName, addOn, operation });
  return { operations: operations.map(operationView) };
}

export async function disableAddOn(
  { ports, scope, operation }: CallContext,
  input: DisableAddOnRequest,
): Promise<DisableAddOnResult> {
  const type = TYPES[input.addOnType];
  const operations = await disableOnControl(ports, scope, { name: input.resourceName, type, operation });
  return { operations: operations.map(operationView) };
}

const TYPES: Readonly<Record<AddOnType, AddOnRequest['type']>> = {
  AutoSnapshot: 'auto-snapshot',
  StopInstanceOnIdle: 'stop-on-idle',
};

/** What a request wants of each add-on that it names. Refuses what is no request of the add-on. */
export function parseAddOn(request: AddOnRequestShape): AddOnRequest {
  if (request.addOnType === 'AutoSnapshot') {
    if (request.stopInstanceOnIdleRequest !== undefined) refuseOther('stopInstanceOnIdleRequest', request.addOnType);
    const text = request.autoSnapshotAddOnRequest?.snapshotTimeOfDay ?? DEFAULT_TIME_OF_DAY;
    return { type: 'auto-snapshot', hour: parseHour(text) };
  }
  if (request.autoSnapshotAddOnRequest !== undefined) refuseOther('autoSnapshotAddOnRequest', request.addOnType);
  const { threshold, duration } = request.stopInstanceOnIdleRequest ?? {};
  return {
    type: 'stop-on-idle',
    thresholdPercent: numberOf(threshold, 'threshold', 100),
    durationMinutes: numberOf(duration, 'duration', DURATION_MINUTES_MAX),
  };
}

function refuseOther(parameter: string, type: AddOnType): never {
  refuseInvalid(`The parameter ${parameter} does not belong to the add-on ${type}.`, 'Leave it out.');
}

function numberOf(text: string | undefined, parameter: string, max: number): number {
  if (text === undefined) refuseInvalid(`The parameter ${parameter} is required.`, 'Add the parameter.');
  const value = /^[0-9]{1,5}$/.test(text) ? Number(text) : 0;
  if (value < 1 || value > max) {
    refuseInvalid(`The value of ${parameter} is not valid: it is a whole number, 1 to ${max}.`, 'Correct the value.');
  }
  return value;
}

/** As an instance or a disk shows them. */
export function addOnViews(addOns: AddOns | null, nowMs: number): readonly AddOn[] {
  if (addOns === null) return [];
  const { resource, autoSnapshot, stopOnIdle } = addOns;
  const views: AddOn[] = [];
  if (autoSnapshot !== null) {
    const next = new Date(nextAutoSnapshotMs(autoSnapshot, resource, nowMs)).toISOString();
    views.push({
      name: 'AutoSnapshot',
      status: 'Enabled',
      snapshotTimeOfDay: timeOfDay(autoSnapshot.hour),
      nextSnapshotTimeOfDay: `${next.slice(0, 13)}:00`,
    });
  }
  if (stopOnIdle !== null) {
    const { thresholdPercent, durationMinutes } = stopOnIdle;
    views.push({
      name: 'StopInstanceOnIdle',
      status: 'Enabled',
      threshold: String(thresholdPercent),
      duration: String(durationMinutes),
    });
  }
  return views;
}

export async function getAutoSnapshots(
  { ports, scope }: CallContext,
  { resourceName }: GetAutoSnapshotsRequest,
): Promise<GetAutoSnapshotsResult> {
  const resource = await ports.meta.read((tx) => addOnResourceNamed(tx, scope, resourceName));
  const found = await autoSnapshots(ports, resource);
  return { resourceName, resourceType: resource.type, autoSnapshots: found.map(autoSnapshotView) };
}

export async function deleteAutoSnapshot(
  { ports, scope, operation }: CallContext,
  { resourceName, date }: DeleteAutoSnapshotRequest,
): Promise<DeleteAutoSnapshotResult> {
  const day = parseDate(date, 'date');
  const resource = await ports.meta.read((tx) => addOnResourceNamed(tx, scope, resourceName));
  const chosen = chooseAutoSnapshot(await autoSnapshots(ports, resource), { date: day }, resource.type);
  await deleteOnControl(ports, scope, chosen);
  const { type, record } = resource;
  const details = `DeleteAutoSnapshot-${day}`;
  const draft = { type: operation, resourceName, resourceType: type, zone: record.zone, details } as const;
  const operations = await ports.meta.transact((tx) => recordDone(ports, tx, scope, record.id, draft));
  return { operations: operations.map(operationView) };
}

const STATUSES: Readonly<Record<AutoSnapshot['state'], AutoSnapshotStatus>> = {
  pending: 'InProgress',
  available: 'Success',
  error: 'Failed',
};

function autoSnapshotView({ date, createdAtMs, state, disks }: AutoSnapshot): AutoSnapshotDetails {
  return {
    date,
    createdAt: new Date(createdAtMs),
    status: STATUSES[state],
    fromAttachedDisks: disks.map(({ device, sizeGib }) => ({ path: device, sizeInGb: sizeGib })),
  };
}
