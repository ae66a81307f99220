import type { Handler } from '#api/handler.ts';
import { createMachineSnapshots } from '#control/machines/machine-sets.ts';
import { findInstance } from '#control/machines/records.ts';
import { outpostAsked } from '#control/outposts.ts';
import type { VolumeId } from '#domain/ids.ts';
import { type Instance, SYSTEM_DEVICE } from '#domain/instance.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import type { InputOf, OutputOf } from '#wire/aws/operations.ts';
import { parseDescription } from './descriptions.ts';
import { endDryRun } from './dry-run.ts';
import { invalidParameter, invalidValue, missingParameter } from './errors.ts';
import { requireInstanceId, requireVolumeId } from './ids.ts';
import { checkLocation } from './snapshot-place.ts';
import { createdSnapshotView } from './snapshot-views.ts';
import { parseTagSpecifications } from './tag-rules.ts';

type SnapshotInfoView = NonNullable<OutputOf<'ec2', 'CreateSnapshots'>['Snapshots']>[number];
type SetRequest = InputOf<'ec2', 'CreateSnapshots'>;

/** Snapshots of the volumes of an instance at one instant, in the order of the instance's devices. */
export const createSnapshots: Handler<SetRequest, OutputOf<'ec2', 'CreateSnapshots'>> = async (
  { ports, scope },
  request,
) => {
  const { InstanceId: text } = request.InstanceSpecification ?? {};
  if (text === undefined || text === '') throw missingParameter('InstanceSpecification.InstanceId');
  const id = requireInstanceId(text);
  const description = parseDescription(request.Description);
  const tags = parseTagSpecifications(request.TagSpecifications, 'snapshot');
  checkLocation(request);
  const outpost = outpostAsked(ports, scope, request.OutpostArn);
  const { CopyTagsFromSource: copied } = request;
  if (copied !== undefined && copied !== 'volume')
    throw invalidValue(`Value (${copied}) for parameter copyTagsFromSource is invalid. Valid value is 'volume'.`);
  const instance = await findInstance(ports, scope, id);
  const volumes = parseVolumes(instance, request);
  endDryRun(request);
  const snapshots = await createMachineSnapshots(ports, scope, {
    instance: id,
    volumes,
    description,
    tags,
    copiesTags: copied === 'volume',
    outpost: outpost?.arn ?? null,
  });
  return { Snapshots: snapshots.map((snapshot) => setView(snapshot, instance.zone)) };
};

function setView(snapshot: Snapshot, zone: string): SnapshotInfoView {
  return { ...createdSnapshotView(snapshot), AvailabilityZone: zone };
}

/** All that are not excluded; at least one must be left. */
function parseVolumes({ attachments }: Instance, { InstanceSpecification: asked }: SetRequest): readonly VolumeId[] {
  const excluded = new Set(
    (asked.ExcludeDataVolumeIds ?? []).map((text) => requireVolumeId(text, 'ExcludeDataVolumeId')),
  );
  const boot = attachments.find(({ device }) => device === SYSTEM_DEVICE)?.volume;
  for (const id of excluded) {
    if (id === boot) {
      throw invalidParameter('excludeDataVolumeId', id, 'It is the boot volume: use ExcludeBootVolume.');
    }
    if (!attachments.some(({ volume }) => volume === id)) {
      throw invalidParameter('excludeDataVolumeId', id, 'The volume is not attached to the instance.');
    }
  }
  const volumes = attachments
    .map(({ volume }) => volume)
    .filter((id) => !excluded.has(id) && !(asked.ExcludeBootVolume === true && id === boot));
  if (volumes.length === 0)
    throw invalidValue('All volumes of the instance are excluded: there is nothing to snapshot.');
  return volumes;
}
