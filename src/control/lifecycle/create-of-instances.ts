import type { ManagedSnapshot } from '#domain/lifecycle/policy.ts';
import { DomainError } from '#domain/errors.ts';
import type { Instance } from '#domain/instance.ts';
import type { VolumeId } from '#domain/ids.ts';
import type { Volume } from '#domain/volume.ts';
import { createMachineSnapshots } from '#control/machines/machine-sets.ts';
import { INSTANCES } from '#control/machines/records.ts';
import type { ControlPorts } from '#control/ports.ts';
import { eachRow } from '#control/tasks/each-row.ts';
import type { Due } from './create.ts';
import { managedSnapshots, ofPolicy, ownTags, scheduleName } from './managed.ts';
import { requestedTags } from './role.ts';
import { hasOne } from './target-tags.ts';
import { troubleOf } from './trouble.ts';

/*
 * Policies that target instances: of each, all volumes that the policy means at one instant, while its guest is held as far
 * as it can be. What makes the snapshots pending records also that the schedule made them, so a run that was interrupted
 * finds which instances are done, and never makes a part of one.
 */

/** Answers why instances were left out. */
export async function createOfInstances(
  ports: ControlPorts,
  due: Due,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { scope, policy, index, dueMs } = due;
  const managed = await ports.meta.read((tx) => ofPolicy(tx, managedSnapshots, scope, policy.id));
  const isDone = (one: ManagedSnapshot): boolean => one.schedule === index && one.dueMs === dueMs;
  const done = new Set(managed.filter(isDone).map(({ volume }) => volume));
  const rows = eachRow((page) => ports.meta.read((tx) => tx.documents.list(INSTANCES, scope, null, page)), signal);
  const troubles: string[] = [];
  for await (const instance of rows) {
    if (instance.face !== 'ec2' || !hasOne(instance.tags, policy.details.targetTags ?? [])) continue;
    if (instance.attachments.some(({ volume }) => done.has(volume))) continue;
    try {
      await createOne(ports, due, instance);
    } catch (error) {
      if (!(error instanceof DomainError)) throw error;
      // It is gone meanwhile: there is nothing to do.
      if (error.failure.kind !== 'not-found') troubles.push(troubleOf(instance.id, error.failure));
    }
  }
  return troubles;
}

async function createOne(ports: ControlPorts, due: Due, instance: Instance): Promise<void> {
  const { scope, policy, index, schedule, dueMs, leave } = due;
  const volumes = await volumesMeant(ports, due, instance);
  if (volumes.length === 0) return;
  const tags = [...(schedule.tagsToAdd ?? []), ...variableTags(due, instance)];
  const name = scheduleName(schedule.name, index);
  const made = { ...scope, id: '*', tags: {} } as const;
  const keys = requestedTags(tags.map(({ key, value }) => [key, value]));
  for (const target of [instance, ...volumes]) leave.require('ec2:CreateSnapshots', target);
  leave.require('ec2:CreateSnapshots', made, keys);
  leave.require('ec2:CreateTags', made, [...keys, ['ec2:createaction', ['CreateSnapshots']]]);
  await createMachineSnapshots(ports, scope, {
    instance: instance.id,
    volumes: volumes.map(({ id }) => id),
    description: `Created for policy: ${policy.id} schedule: ${name}`,
    tags,
    copiesTags: schedule.copyTags === true,
    outpost: null,
    settle: async (tx, snapshots) => {
      for (const snapshot of snapshots) {
        // Clients may not set tags of this prefix, so they are set beside the request.
        await tx.snapshots.update({ ...snapshot, tags: { ...snapshot.tags, ...ownTags(policy.id, name) } });
        await tx.documents.insert(managedSnapshots, scope, {
          snapshot: snapshot.id,
          account: scope.account,
          policy: policy.id,
          schedule: index,
          volume: snapshot.volume,
          dueMs,
        });
      }
    },
  });
}

/** Its boot volume, unless that is excluded, and its data volumes without a tag that excludes them. */
async function volumesMeant(ports: ControlPorts, { policy }: Due, instance: Instance): Promise<readonly Volume[]> {
  const { excludeBootVolume = false, excludeDataVolumeTags = [] } = policy.details.parameters ?? {};
  return await ports.meta.read(async (tx) => {
    const meant: Volume[] = [];
    for (const [at, id] of idsOf(instance).entries()) {
      const volume = await tx.volumes.find(id);
      if (volume === null || volume.state !== 'available') continue;
      const isExcluded = at === 0 ? excludeBootVolume : hasOne(volume.tags, excludeDataVolumeTags);
      if (!isExcluded) meant.push(volume);
    }
    return meant;
  });
}

function idsOf({ attachments }: Instance): readonly VolumeId[] {
  return attachments.map(({ volume }) => volume);
}

/** Their values may say which instance, and when. */
function variableTags(
  { schedule, dueMs }: Due,
  { id }: Instance,
): readonly { readonly key: string; readonly value: string }[] {
  const values = new Map([
    ['$(instance-id)', id],
    ['$(timestamp)', new Date(dueMs).toISOString().slice(0, 19)],
  ]);
  return (schedule.variableTags ?? []).map(({ key, value }) => ({ key, value: values.get(value) ?? value }));
}
