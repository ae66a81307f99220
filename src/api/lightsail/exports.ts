import { exportSnapshot as exportOnControl, listExports } from '#control/machines/exports.ts';
import type { ExportRecord, ExportSource } from '#domain/export-record.ts';
import { COPIED_VOLUME_ID } from '#domain/ids.ts';
import { SYSTEM_DEVICE } from '#domain/instance.ts';
import type { CallContext } from '#api/handler.ts';
import type {
  DiskInfo,
  ExportSnapshotRecord,
  ExportSnapshotRecordSourceInfo,
  ExportSnapshotRequest,
  ExportSnapshotResult,
  GetExportSnapshotRecordsRequest,
  GetExportSnapshotRecordsResult,
} from '#wire/aws/models/lightsail.ts';
import { diskArn, diskSnapshotArn, exportRecordArn, instanceArn, instanceSnapshotArn } from './arn.ts';
import { ITEMS_MAX, nextPage, pageAfter } from './paging.ts';
import { ALL_ZONES, location, operationView } from './views.ts';

type InstanceSource = Extract<ExportSource, { type: 'InstanceSnapshot' }>;

/** Answers one operation, the record's. */
export async function exportSnapshot(
  { ports, scope, invocationId: token, operation }: CallContext,
  { sourceSnapshotName: name }: ExportSnapshotRequest,
): Promise<ExportSnapshotResult> {
  const { operations } = await exportOnControl(ports, scope, { name, token, operation });
  return { operations: operations.map(operationView) };
}

export async function getExportSnapshotRecords(
  { ports, scope }: CallContext,
  input: GetExportSnapshotRecordsRequest,
): Promise<GetExportSnapshotRecordsResult> {
  const { records, next } = await listExports(ports, scope, { after: pageAfter(input), countMax: ITEMS_MAX });
  return { exportSnapshotRecords: records.map(exportRecordView), ...nextPage(next) };
}

/** As the reference page of get-export-snapshot-records shows it. */
function exportRecordView(record: ExportRecord): ExportSnapshotRecord {
  const [first] = record.snapshots;
  const id = record.image ?? first;
  return {
    name: record.name,
    arn: exportRecordArn(record, record.id),
    createdAt: new Date(record.createdAtMs),
    location: location(record, ALL_ZONES),
    resourceType: 'ExportSnapshotRecord',
    state: record.state,
    sourceInfo: sourceView(record),
    destinationInfo: {
      ...(id === undefined ? {} : { id }),
      service: record.image === null ? 'Aws::EC2::Snapshot' : 'Aws::EC2::Image',
    },
  };
}

function sourceView(record: ExportRecord): ExportSnapshotRecordSourceInfo {
  const { source } = record;
  const common = { resourceType: source.type, name: source.name, createdAt: new Date(source.createdAtMs) };
  if (source.type === 'DiskSnapshot') {
    const { id, name } = source.disk;
    return {
      ...common,
      arn: diskSnapshotArn(record, source.id),
      ...(name === null ? {} : { fromResourceName: name }),
      // Of a copy, only the name of its source's disk is known.
      ...(id === COPIED_VOLUME_ID ? {} : { fromResourceArn: diskArn(record, id) }),
      diskSnapshotInfo: { sizeInGb: source.sizeGib },
    };
  }
  return {
    ...common,
    arn: instanceSnapshotArn(record, source.id),
    fromResourceName: source.instance.name,
    fromResourceArn: instanceArn({ ...record, region: source.instance.region }, source.instance.id),
    instanceSnapshotInfo: {
      fromBundleId: source.bundle,
      fromBlueprintId: source.blueprint,
      fromDiskInfo: source.disks.map(diskInfo),
    },
  };
}

function diskInfo({ device, name, sizeGib }: InstanceSource['disks'][number]): DiskInfo {
  const info = { path: device, sizeInGb: sizeGib, isSystemDisk: device === SYSTEM_DEVICE };
  return name === null ? info : { name, ...info };
}
