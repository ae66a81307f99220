import type { Handler } from '#api/handler.ts';
import * as control from '#control/volume-status.ts';
import { findVolume } from '#control/volumes.ts';
import type { InputOf, OutputOf } from '#wire/aws/operations.ts';
import { endDryRun } from './dry-run.ts';
import { invalidParameter, missingParameter } from './errors.ts';
import { absentFilters, parseFilters, type FilterTable, type FilterTexts } from './filters.ts';
import { parseIds, requireVolumeId } from './ids.ts';
import { nextToken, parsePage, refusePagedIds } from './paging.ts';
import { productCodeViews } from './product-codes.ts';
import { zoneIdOf } from './volume-views.ts';

type StatusItem = NonNullable<OutputOf<'ec2', 'DescribeVolumeStatus'>['VolumeStatuses']>[number];

/** What is done about it: `EnableVolumeIO`. */
const ENABLE_IO = 'enable-volume-io';
const IN_DOUBT = 'potential-data-inconsistency';

export const describeVolumeStatus: Handler<
  InputOf<'ec2', 'DescribeVolumeStatus'>,
  OutputOf<'ec2', 'DescribeVolumeStatus'>
> = async ({ ports, scope }, request) => {
  const ids = parseIds(request.VolumeIds, (text) => requireVolumeId(text));
  refusePagedIds(ids, request, 'volumeSet');
  const page = parsePage(request);
  const match = parseFilters(request.Filters, statusFilters);
  endDryRun(request);
  const { volumes, next } = await control.listHealth(ports, scope, { ids, match, ...page });
  return { VolumeStatuses: volumes.map(statusView), ...nextToken(next) };
};

const STATUS = { ok: 'ok', impaired: 'impaired', unknown: 'insufficient-data' } as const;
const IO_ENABLED = { ok: 'passed', impaired: 'failed', unknown: 'insufficient-data' } as const;

/** A volume that failed shows an event and what may be done about it. It has one at a time, so the event's id is made of the volume's. */
function statusView(health: control.VolumeHealth): StatusItem {
  const { volume, status } = health;
  const zoneId = zoneIdOf(volume);
  const state = control.healthOf(health);
  return {
    ...(state === 'impaired' ? trouble(health) : { Actions: [], Events: [] }),
    AvailabilityZone: volume.zone,
    ...(zoneId === null ? {} : { AvailabilityZoneId: zoneId }),
    ...(volume.outpost === null ? {} : { OutpostArn: volume.outpost }),
    VolumeId: volume.id,
    VolumeStatus: {
      Status: STATUS[state],
      Details: [
        { Name: 'io-enabled', Status: IO_ENABLED[state] },
        { Name: 'io-performance', Status: 'not-applicable' },
        ...(status === null || status.hydration === null
          ? []
          : [
              {
                Name: 'initialization-state' as const,
                Status: status.hydration.state === 'hydrated' ? 'completed' : 'initializing',
              },
            ]),
      ],
    },
    ...initialization(health),
  };
}

function trouble({ volume, status }: control.VolumeHealth): Pick<StatusItem, 'Actions' | 'Events'> {
  const EventId = `evol-${volume.id.slice('vol-'.length)}`;
  const Description = status?.failure ?? 'The data of the volume cannot be read.';
  return {
    Actions: [{ Code: ENABLE_IO, Description: 'Enable volume I/O', EventId, EventType: IN_DOUBT }],
    Events: [{ Description, EventId, EventType: IN_DOUBT }],
  };
}

/** Of a volume that was made from a snapshot: how much of that is in it by now. */
function initialization({ volume, status }: control.VolumeHealth): Pick<StatusItem, 'InitializationStatusDetails'> {
  const hydration = status?.hydration ?? null;
  if (hydration === null) return {};
  const { presentBytes, totalBytes, remainingSeconds, state } = hydration;
  const part = totalBytes === 0 ? 1 : presentBytes / totalBytes;
  return {
    InitializationStatusDetails: {
      InitializationType: volume.initializationRateMibps === null ? 'default' : 'provisioned-rate',
      Progress: state === 'hydrated' ? 100 : Math.min(99, Math.floor(100 * part)),
      ...(remainingSeconds === null ? {} : { EstimatedTimeToCompleteInSeconds: Math.ceil(remainingSeconds) }),
    },
  };
}

type Details = NonNullable<NonNullable<StatusItem['VolumeStatus']>['Details']>[number];

function event(
  read: (event: NonNullable<StatusItem['Events']>[number]) => string | undefined,
): FilterTexts<control.VolumeHealth> {
  return (health) => (statusView(health).Events ?? []).flatMap((one) => read(one) ?? []);
}

function action(
  read: (action: NonNullable<StatusItem['Actions']>[number]) => string | undefined,
): FilterTexts<control.VolumeHealth> {
  return (health) => (statusView(health).Actions ?? []).flatMap((one) => read(one) ?? []);
}

function detail(read: (detail: Details) => string | undefined): FilterTexts<control.VolumeHealth> {
  return (health) => (statusView(health).VolumeStatus?.Details ?? []).flatMap((one) => read(one) ?? []);
}

const NONE: FilterTexts<control.VolumeHealth> = () => [];

/** Every filter of EC2's DescribeVolumeStatus. Events here have no times: they last until the volume is opened again. */
export const statusFilters: FilterTable<control.VolumeHealth> = {
  named: new Map<string, FilterTexts<control.VolumeHealth>>([
    // Attachments are not measured.
    ...absentFilters<control.VolumeHealth>(['attachment-status.instance-id', 'attachment-status.io-performance']),
    ['action.code', action((one) => one.Code)],
    ['action.description', action((one) => one.Description)],
    ['action.event-id', action((one) => one.EventId)],
    ['availability-zone', ({ volume }) => [volume.zone]],
    ['availability-zone-id', ({ volume }) => [zoneIdOf(volume) ?? '']],
    ['event.description', event((one) => one.Description)],
    ['event.event-id', event((one) => one.EventId)],
    ['event.event-type', event((one) => one.EventType)],
    ['event.not-after', NONE],
    ['event.not-before', NONE],
    ['operator.managed', () => ['false']],
    ['operator.principal', NONE],
    ['volume-status.details-name', detail((one) => one.Name)],
    ['volume-status.details-status', detail((one) => one.Status)],
    ['volume-status.status', (health) => [STATUS[control.healthOf(health)]]],
  ]),
  tags: null,
};

export const enableVolumeIo: Handler<InputOf<'ec2', 'EnableVolumeIO'>, OutputOf<'ec2', 'EnableVolumeIO'>> = async (
  { ports, scope },
  request,
) => {
  const id = requireVolumeId(request.VolumeId);
  if (request.DryRun === true) await findVolume(ports, scope, id);
  endDryRun(request);
  await control.enableIo(ports, scope, id);
  return {};
};

export const describeVolumeAttribute: Handler<
  InputOf<'ec2', 'DescribeVolumeAttribute'>,
  OutputOf<'ec2', 'DescribeVolumeAttribute'>
> = async ({ ports, scope }, request) => {
  const id = requireVolumeId(request.VolumeId);
  const { Attribute: attribute } = request;
  if (attribute !== 'autoEnableIO' && attribute !== 'productCodes') {
    throw invalidParameter('attribute', attribute, 'Unknown volume attribute.');
  }
  const volume = await findVolume(ports, scope, id);
  endDryRun(request);
  if (attribute === 'autoEnableIO') return { VolumeId: id, AutoEnableIO: { Value: volume.autoEnableIo } };
  return { VolumeId: id, ProductCodes: productCodeViews(volume.productCodes) };
};

export const modifyVolumeAttribute: Handler<
  InputOf<'ec2', 'ModifyVolumeAttribute'>,
  OutputOf<'ec2', 'ModifyVolumeAttribute'>
> = async ({ ports, scope }, request) => {
  const id = requireVolumeId(request.VolumeId);
  const value = request.AutoEnableIO?.Value;
  if (value === undefined) throw missingParameter('AutoEnableIO');
  if (request.DryRun === true) await findVolume(ports, scope, id);
  endDryRun(request);
  await control.setAutoEnableIo(ports, scope, id, value);
  return {};
};
