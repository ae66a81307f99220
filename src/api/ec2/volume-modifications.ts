import type { Handler } from '#api/handler.ts';
import * as control from '#control/volume-modifications.ts';
import { findVolume } from '#control/volumes.ts';
import { refuse } from '#domain/errors.ts';
import type { ModificationWish } from '#domain/volume-modification.ts';
import { parseVolumeType } from '#domain/volume-type.ts';
import type { Volume } from '#domain/volume.ts';
import type { InputOf, OutputOf } from '#wire/aws/operations.ts';
import { endDryRun } from './dry-run.ts';
import { invalidValue, unsupportedRequest } from './errors.ts';
import { parseFilters, type FilterTable, type FilterTexts } from './filters.ts';
import { parseIds, requireVolumeId } from './ids.ts';
import { nextToken, parsePage, refusePagedIds } from './paging.ts';
import { checkChangedShape, checkPositive } from './volume-rules.ts';

type ModifyVolumeRequest = InputOf<'ec2', 'ModifyVolume'>;
type ModificationView = NonNullable<OutputOf<'ec2', 'ModifyVolume'>['VolumeModification']>;

export const modifyVolume: Handler<ModifyVolumeRequest, OutputOf<'ec2', 'ModifyVolume'>> = async (context, request) => {
  const { ports, scope } = context;
  const id = requireVolumeId(request.VolumeId);
  const wish = parseWish(await findVolume(ports, scope, id), request);
  endDryRun(request);
  const modified = await control.modifyVolume(ports, scope, id, wish);
  return { VolumeModification: modificationView(modified) };
};

/** Checks with AWS's words what control would refuse with the domain's. */
function parseWish(volume: Volume, request: ModifyVolumeRequest): ModificationWish {
  const { Size: size, VolumeType: typeText, Iops: iops, Throughput: throughput, MultiAttachEnabled: shared } = request;
  const type = typeText === undefined ? null : parseVolumeType(typeText);
  if (volume.state !== 'available') {
    refuse({ kind: 'wrong-state', resource: 'volume', id: volume.id, state: volume.state });
  }
  checkPositive('size', size);
  if (size !== undefined && size < volume.sizeGib) throw invalidValue('New size cannot be smaller than existing size');
  const target = type ?? volume.type;
  const isChange = [size, typeText, iops, throughput, shared].some((value) => value !== undefined);
  if (
    isChange &&
    (volume.type === 'standard' || target === 'standard') &&
    !(target === volume.type && size === volume.sizeGib)
  ) {
    throw unsupportedRequest("Volumes of type 'standard' do not support modification.");
  }
  checkChangedShape(volume, target, { size, iops, throughput, multiAttach: shared });
  return {
    type,
    sizeGib: size ?? null,
    iops: iops ?? null,
    throughputMibps: throughput ?? null,
    multiAttach: shared ?? null,
  };
}

export const describeVolumesModifications: Handler<
  InputOf<'ec2', 'DescribeVolumesModifications'>,
  OutputOf<'ec2', 'DescribeVolumesModifications'>
> = async ({ ports, scope }, request) => {
  const ids = parseIds(request.VolumeIds, (text) => requireVolumeId(text));
  refusePagedIds(ids, request, 'volumeSet');
  const page = parsePage(request);
  const match = parseFilters(request.Filters, modificationFilters);
  endDryRun(request);
  const { modified, next } = await control.listModifications(ports, scope, { ids, match, ...page });
  return { VolumesModifications: modified.map(modificationView), ...nextToken(next) };
};

function modificationView({ volume, modification, status }: control.Modified): ModificationView {
  const { from, to } = modification;
  return {
    VolumeId: volume.id,
    ModificationState: status.state,
    TargetSize: to.sizeGib,
    ...(to.iops === null ? {} : { TargetIops: to.iops }),
    TargetVolumeType: to.type,
    ...(to.throughputMibps === null ? {} : { TargetThroughput: to.throughputMibps }),
    TargetMultiAttachEnabled: to.multiAttach,
    OriginalSize: from.sizeGib,
    ...(from.iops === null ? {} : { OriginalIops: from.iops }),
    OriginalVolumeType: from.type,
    ...(from.throughputMibps === null ? {} : { OriginalThroughput: from.throughputMibps }),
    OriginalMultiAttachEnabled: from.multiAttach,
    Progress: status.progressPercent,
    StartTime: new Date(modification.startedAtMs),
    ...(status.endedAtMs === null ? {} : { EndTime: new Date(status.endedAtMs) }),
  };
}

function texts(value: number | string | boolean | undefined): readonly string[] {
  return value === undefined ? [] : [String(value)];
}

function viewed(
  read: (view: ModificationView) => number | string | boolean | undefined,
): FilterTexts<control.Modified> {
  return (modified) => texts(read(modificationView(modified)));
}

/** Every filter of EC2's DescribeVolumesModifications; two of them are spelled so in its reference. */
export const modificationFilters: FilterTable<control.Modified> = {
  named: new Map<string, FilterTexts<control.Modified>>([
    ['modification-state', viewed((view) => view.ModificationState)],
    ['original-iops', viewed((view) => view.OriginalIops)],
    ['original-size', viewed((view) => view.OriginalSize)],
    ['original-throughput', viewed((view) => view.OriginalThroughput)],
    ['original-volume-type', viewed((view) => view.OriginalVolumeType)],
    ['originalMultiAttachEnabled', viewed((view) => view.OriginalMultiAttachEnabled)],
    ['start-time', ({ modification }) => [new Date(modification.startedAtMs).toISOString()]],
    ['target-iops', viewed((view) => view.TargetIops)],
    ['target-size', viewed((view) => view.TargetSize)],
    ['target-throughput', viewed((view) => view.TargetThroughput)],
    ['target-volume-type', viewed((view) => view.TargetVolumeType)],
    ['targetMultiAttachEnabled', viewed((view) => view.TargetMultiAttachEnabled)],
    ['volume-id', ({ volume }) => [volume.id]],
  ]),
  tags: null,
};
