import type { CallContext, Handler } from '#api/handler.ts';
import { findInstance, listInstances } from '#control/machines/records.ts';
import { type Instance, stateShown } from '#domain/instance.ts';
import { zonesOf } from '#domain/region.ts';
import type { InputOf, OutputOf } from '#wire/aws/operations.ts';
import { endDryRun } from './dry-run.ts';
import { type FilterTable, type FilterTexts, parseFilters } from './filters.ts';
import { parseIds, requireInstanceId } from './ids.ts';
import { instanceFilters } from './instance-filters.ts';
import { reservationViews, stateView } from './instance-views.ts';
import { nextToken, parsePage, refusePagedIds } from './paging.ts';

export const describeInstances: Handler<
  InputOf<'ec2', 'DescribeInstances'>,
  OutputOf<'ec2', 'DescribeInstances'>
> = async ({ ports, scope }, request) => {
  const ids = parseIds(request.InstanceIds, (text) => requireInstanceId(text));
  refusePagedIds(ids, request, 'instancesSet');
  const page = parsePage(request);
  const { address } = ports.machinePlace;
  const match = parseFilters(request.Filters, instanceFilters(address));
  endDryRun(request);
  const face = ids === null ? 'ec2' : null;
  const { instances, next } = await listInstances(ports, scope, { ids, face, match, ...page });
  return { Reservations: reservationViews(instances, address), ...nextToken(next) };
};

type StatusView = NonNullable<OutputOf<'ec2', 'DescribeInstanceStatus'>['InstanceStatuses']>[number];
type Health = 'ok' | 'impaired' | 'not-applicable';

const NONE: readonly string[] = [];

const statusFilters: FilterTable<StatusView> = {
  named: new Map<string, FilterTexts<StatusView>>([
    ['application-status.status', () => NONE],
    ['attached-ebs-status.status', (one) => [one.AttachedEbsStatus?.Status ?? []].flat()],
    ['availability-zone', (one) => [one.AvailabilityZone ?? []].flat()],
    ['availability-zone-id', (one) => [one.AvailabilityZoneId ?? []].flat()],
    ['event.code', () => NONE],
    ['event.description', () => NONE],
    ['event.instance-event-id', () => NONE],
    ['event.not-after', () => NONE],
    ['event.not-before', () => NONE],
    ['event.not-before-deadline', () => NONE],
    ['instance-state-code', (one) => [String(one.InstanceState?.Code)]],
    ['instance-state-name', (one) => [one.InstanceState?.Name ?? []].flat()],
    [
      'instance-status.reachability',
      (one) => (one.InstanceStatus?.Details ?? []).flatMap(({ Status }) => Status ?? []),
    ],
    ['instance-status.status', (one) => [one.InstanceStatus?.Status ?? []].flat()],
    ['operator.managed', () => ['false']],
    ['operator.principal', () => NONE],
    ['system-status.reachability', (one) => (one.SystemStatus?.Details ?? []).flatMap(({ Status }) => Status ?? [])],
    ['system-status.status', (one) => [one.SystemStatus?.Status ?? []].flat()],
  ]),
  tags: null,
};

/** Of those that run, unless all are asked for. One that is held because a disk of it failed is impaired. */
export const describeInstanceStatus: Handler<
  InputOf<'ec2', 'DescribeInstanceStatus'>,
  OutputOf<'ec2', 'DescribeInstanceStatus'>
> = async ({ ports, scope }, request) => {
  const ids = parseIds(request.InstanceIds, (text) => requireInstanceId(text));
  refusePagedIds(ids, request, 'instancesSet');
  const page = parsePage(request);
  const passes = parseFilters(request.Filters, statusFilters);
  endDryRun(request);
  const statuses = await ports.hypervisor.list();
  const held = new Set(statuses.filter(({ state }) => state === 'paused').map(({ id }) => id));
  const all = request.IncludeAllInstances === true;
  const match = (one: Instance): boolean =>
    (all || stateShown(one) === 'running') && passes(statusView(one, held.has(one.id)));
  const face = ids === null ? 'ec2' : null;
  const { instances, next } = await listInstances(ports, scope, { ids, face, match, ...page });
  return { InstanceStatuses: instances.map((one) => statusView(one, held.has(one.id))), ...nextToken(next) };
};

function statusView(instance: Instance, isHeld: boolean): StatusView {
  const { id, region, zone } = instance;
  const state = stateShown(instance);
  const zoneId = zonesOf(region).find(({ name }) => name === zone)?.id;
  const health: Health = state !== 'running' ? 'not-applicable' : isHeld ? 'impaired' : 'ok';
  const details = { ok: 'passed', impaired: 'failed' } as const;
  const summary =
    health === 'not-applicable'
      ? { Status: health }
      : { Status: health, Details: [{ Name: 'reachability', Status: details[health] } as const] };
  return {
    AttachedEbsStatus: summary,
    AvailabilityZone: zone,
    ...(zoneId === undefined ? {} : { AvailabilityZoneId: zoneId }),
    InstanceId: id,
    InstanceState: stateView(state),
    InstanceStatus: summary,
    SystemStatus: summary,
  };
}

/** AWS keeps 64 KiB. */
const CONSOLE_BYTES_MAX = 64 * 1024;

/** What the guest wrote to its serial console, as of now, with `Latest` or without. */
export const getConsoleOutput: Handler<
  InputOf<'ec2', 'GetConsoleOutput'>,
  OutputOf<'ec2', 'GetConsoleOutput'>
> = async ({ ports, scope }, request) => {
  const { id } = await findInstance(ports, scope, requireInstanceId(request.InstanceId));
  endDryRun(request);
  const output = await ports.hypervisor.console(id, CONSOLE_BYTES_MAX);
  return { InstanceId: id, Output: output.toString('base64'), Timestamp: new Date(ports.clock.nowMs()) };
};

type CreditFilter = FilterTable<Instance>;
const creditFilters: CreditFilter = { named: new Map([['instance-id', ({ id }) => [id]]]), tags: null };

export const describeInstanceCreditSpecifications: Handler<
  InputOf<'ec2', 'DescribeInstanceCreditSpecifications'>,
  OutputOf<'ec2', 'DescribeInstanceCreditSpecifications'>
> = async ({ ports, scope }: CallContext, request) => {
  const ids = parseIds(request.InstanceIds, (text) => requireInstanceId(text));
  refusePagedIds(ids, request, 'instancesSet');
  const page = parsePage(request);
  const match = parseFilters(request.Filters, creditFilters);
  endDryRun(request);
  const face = ids === null ? 'ec2' : null;
  // Without ids AWS lists those alone that have unlimited credit.
  const isListed = (one: Instance): boolean =>
    match(one) && one.state !== 'terminated' && (ids !== null || one.options.cpuCredits === 'unlimited');
  const { instances, next } = await listInstances(ports, scope, { ids, face, match: isListed, ...page });
  const views = instances.map(({ id, options }) => ({ InstanceId: id, CpuCredits: options.cpuCredits }));
  return { InstanceCreditSpecifications: views, ...nextToken(next) };
};
