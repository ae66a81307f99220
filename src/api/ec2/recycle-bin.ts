import type { Handler } from '#api/handler.ts';
import {
  type BinnedVolume,
  listBinnedSnapshots,
  listBinnedVolumes,
  recoverSnapshot,
  recoverVolume,
} from '#control/recycle-bin.ts';
import type { VolumeRecycleBinInfo } from '#wire/aws/models/ec2.ts';
import type { InputOf, OutputOf } from '#wire/aws/operations.ts';
import { endDryRun } from './dry-run.ts';
import { parseIds, requireSnapshotId, requireVolumeId } from './ids.ts';
import { nextToken, parsePage } from './paging.ts';
import { snapshotView } from './snapshot-views.ts';
import { volumeView } from './volume-views.ts';

export const listSnapshotsInRecycleBin: Handler<
  InputOf<'ec2', 'ListSnapshotsInRecycleBin'>,
  OutputOf<'ec2', 'ListSnapshotsInRecycleBin'>
> = async ({ ports, scope }, request) => {
  const ids = parseIds(request.SnapshotIds, (text) => requireSnapshotId(text));
  const page = parsePage(request);
  endDryRun(request);
  const { snapshots, next } = await listBinnedSnapshots(ports, scope, { ids, ...page });
  return {
    Snapshots: snapshots.map(({ id, bin, description, volume }) => ({
      SnapshotId: id,
      RecycleBinEnterTime: new Date(bin.enteredAtMs),
      RecycleBinExitTime: new Date(bin.exitAtMs),
      Description: description,
      VolumeId: volume,
    })),
    ...nextToken(next),
  };
};

export const restoreSnapshotFromRecycleBin: Handler<
  InputOf<'ec2', 'RestoreSnapshotFromRecycleBin'>,
  OutputOf<'ec2', 'RestoreSnapshotFromRecycleBin'>
> = async ({ ports, scope }, request) => {
  const id = requireSnapshotId(request.SnapshotId);
  if (request.DryRun === true) await listBinnedSnapshots(ports, scope, { ids: [id], after: null, countMax: 1 });
  endDryRun(request);
  const { Description, Encrypted, OutpostArn, OwnerId, Progress, StartTime, State, VolumeId, VolumeSize } =
    snapshotView(await recoverSnapshot(ports, scope, id));
  const shown = { Description, Encrypted, OwnerId, Progress, StartTime, State, VolumeId, VolumeSize };
  return { SnapshotId: id, ...shown, ...(OutpostArn === undefined ? {} : { OutpostArn }) };
};

export const listVolumesInRecycleBin: Handler<
  InputOf<'ec2', 'ListVolumesInRecycleBin'>,
  OutputOf<'ec2', 'ListVolumesInRecycleBin'>
> = async ({ ports, scope }, request) => {
  const ids = parseIds(request.VolumeIds, (text) => requireVolumeId(text));
  const page = parsePage(request);
  endDryRun(request);
  const { volumes, next } = await listBinnedVolumes(ports, scope, { ids, ...page });
  return { Volumes: volumes.map(binnedVolumeView), ...nextToken(next) };
};

function binnedVolumeView(volume: BinnedVolume): VolumeRecycleBinInfo {
  const view = volumeView(volume);
  return {
    VolumeId: volume.id,
    VolumeType: view.VolumeType,
    ...(view.OutpostArn === undefined ? {} : { OutpostArn: view.OutpostArn }),
    State: view.State,
    Size: view.Size,
    Iops: view.Iops,
    Throughput: view.Throughput,
    AvailabilityZone: view.AvailabilityZone,
    AvailabilityZoneId: view.AvailabilityZoneId,
    SnapshotId: view.SnapshotId,
    CreateTime: view.CreateTime,
    RecycleBinEnterTime: new Date(volume.bin.enteredAtMs),
    RecycleBinExitTime: new Date(volume.bin.exitAtMs),
  };
}

export const restoreVolumeFromRecycleBin: Handler<
  InputOf<'ec2', 'RestoreVolumeFromRecycleBin'>,
  OutputOf<'ec2', 'RestoreVolumeFromRecycleBin'>
> = async ({ ports, scope }, request) => {
  const id = requireVolumeId(request.VolumeId);
  if (request.DryRun === true) await listBinnedVolumes(ports, scope, { ids: [id], after: null, countMax: 1 });
  endDryRun(request);
  await recoverVolume(ports, scope, id);
  return { Return: true };
};
