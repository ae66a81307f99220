import type { CallContext, Handler } from '#api/handler.ts';
import {
  checkZones,
  disableFastRestores,
  enableFastRestores,
  type FastRestoreRequest,
  listFastRestores,
  type RefusedFastRestore,
} from '#control/fast-restores.ts';
import type { FastRestore } from '#domain/fast-restore.ts';
import { zonesOf } from '#domain/region.ts';
import type { DescribeFastSnapshotRestoreSuccessItem } from '#wire/aws/models/ec2.ts';
import type { InputOf, OutputOf } from '#wire/aws/operations.ts';
import { endDryRun } from './dry-run.ts';
import { invalidCombination, invalidParameter, mapFailure, missingParameter } from './errors.ts';
import { parseFilters, type FilterTable, type FilterTexts } from './filters.ts';
import { requireSnapshotId } from './ids.ts';
import { nextToken, parsePage } from './paging.ts';

type EnableRequest = InputOf<'ec2', 'EnableFastSnapshotRestores'>;

export const enableFastSnapshotRestores: Handler<EnableRequest, OutputOf<'ec2', 'EnableFastSnapshotRestores'>> = async (
  context,
  request,
) => {
  const asked = parseRequest(context, request);
  endDryRun(request);
  const { successful, unsuccessful } = await enableFastRestores(context.ports, context.scope, asked);
  return { Successful: successful.map((one) => view(context, one)), Unsuccessful: refusals(context, unsuccessful) };
};

export const disableFastSnapshotRestores: Handler<
  InputOf<'ec2', 'DisableFastSnapshotRestores'>,
  OutputOf<'ec2', 'DisableFastSnapshotRestores'>
> = async (context, request) => {
  const asked = parseRequest(context, request);
  endDryRun(request);
  const { successful, unsuccessful } = await disableFastRestores(context.ports, context.scope, asked);
  return { Successful: successful.map((one) => view(context, one)), Unsuccessful: refusals(context, unsuccessful) };
};

export const describeFastSnapshotRestores: Handler<
  InputOf<'ec2', 'DescribeFastSnapshotRestores'>,
  OutputOf<'ec2', 'DescribeFastSnapshotRestores'>
> = async (context, request) => {
  const page = parsePage(request);
  const match = parseFilters(request.Filters, filtersOf(context));
  endDryRun(request);
  const { fastRestores, next } = await listFastRestores(context.ports, context.scope, { match, ...page });
  return { FastSnapshotRestores: fastRestores.map((one) => view(context, one)), ...nextToken(next) };
};

/** Zones by their names or by their ids. */
function parseRequest({ scope }: CallContext, request: EnableRequest): FastRestoreRequest {
  const { AvailabilityZones: names = [], AvailabilityZoneIds: ids = [], SourceSnapshotIds: snapshots } = request;
  if (names.length > 0 && ids.length > 0) {
    throw invalidCombination('The parameters availabilityZones and availabilityZoneIds cannot be used together');
  }
  if (names.length + ids.length === 0) throw missingParameter('availabilityZone');
  if (snapshots.length === 0) throw missingParameter('sourceSnapshotId');
  const zones = ids.map((id) => {
    const zone = zonesOf(scope.region).find((one) => one.id === id);
    if (zone === undefined) throw invalidParameter('availabilityZoneId', id, 'There is no such zone.');
    return zone.name;
  });
  checkZones(scope, names);
  return {
    snapshots: snapshots.map((text) => requireSnapshotId(text, 'SourceSnapshotId')),
    zones: [...names, ...zones],
  };
}

function zoneIds({ scope }: CallContext, zone: string): { readonly AvailabilityZoneId?: string } {
  const id = zonesOf(scope.region).find(({ name }) => name === zone)?.id;
  return id === undefined ? {} : { AvailabilityZoneId: id };
}

function view(context: CallContext, one: FastRestore): DescribeFastSnapshotRestoreSuccessItem {
  const at = (ms: number | null): Date | undefined => (ms === null ? undefined : new Date(ms));
  return {
    SnapshotId: one.snapshot,
    AvailabilityZone: one.zone,
    ...zoneIds(context, one.zone),
    State: one.state,
    StateTransitionReason: reasonOf(one),
    OwnerId: context.scope.account,
    EnablingTime: at(one.enablingAtMs),
    OptimizingTime: at(one.optimizingAtMs),
    EnabledTime: at(one.enabledAtMs),
    DisablingTime: at(one.disablingAtMs),
    DisabledTime: at(one.disabledAtMs),
  };
}

/** AWS's two reasons; what is in the way has words of its own. */
function reasonOf({ isOwnWish, trouble }: FastRestore): string {
  if (trouble !== null) return `Server.InternalError: ${trouble}`;
  return isOwnWish ? 'Client.UserInitiated' : 'Client.UserInitiated - Lifecycle state transition';
}

function refusals(
  context: CallContext,
  unsuccessful: readonly RefusedFastRestore[],
): NonNullable<OutputOf<'ec2', 'EnableFastSnapshotRestores'>['Unsuccessful']> {
  return [...Map.groupBy(unsuccessful, ({ snapshot }) => snapshot)].map(([snapshot, refused]) => ({
    SnapshotId: snapshot,
    FastSnapshotRestoreStateErrors: refused.map(({ zone, failure }) => {
      const { code, message } = mapFailure(failure);
      return { AvailabilityZone: zone, ...zoneIds(context, zone), Error: { Code: code, Message: message } };
    }),
  }));
}

/** Every filter of EC2's DescribeFastSnapshotRestores. */
function filtersOf(context: CallContext): FilterTable<FastRestore> {
  return {
    named: new Map<string, FilterTexts<FastRestore>>([
      ['availability-zone', ({ zone }) => [zone]],
      ['availability-zone-id', ({ zone }) => [zoneIds(context, zone).AvailabilityZoneId ?? '']],
      ['owner-id', () => [context.scope.account]],
      ['snapshot-id', ({ snapshot }) => [snapshot]],
      ['state', ({ state }) => [state]],
    ]),
    tags: null,
  };
}
