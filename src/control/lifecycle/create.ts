import { DEFAULT_CREATE_DAYS, type LifecyclePolicy, type Schedule } from '#domain/lifecycle/policy.ts';
import { DomainError } from '#domain/errors.ts';
import type { OutpostArn } from '#domain/outpost.ts';
import type { Scope, Volume } from '#domain/volume.ts';
import { eachRow } from '#control/tasks/each-row.ts';
import type { ControlPorts } from '#control/ports.ts';
import { createSnapshot } from '#control/snapshots.ts';
import { createOfInstances } from './create-of-instances.ts';
import { managedSnapshots, ownTags, scheduleName } from './managed.ts';
import { type Leave, requestedTags } from './role.ts';
import { hasOne } from './target-tags.ts';
import { troubleOf } from './trouble.ts';

const DAY_MS = 86_400_000;

/** One schedule of a policy and one time at which it is due. */
export interface Due {
  readonly scope: Scope;
  readonly policy: LifecyclePolicy;
  readonly index: number;
  readonly schedule: Schedule;
  readonly dueMs: number;
  readonly leave: Leave;
}

/**
 * Snapshots every volume, or instance, that the schedule means. Of volumes, each has a client token made of policy, schedule, time and volume: a run
 * that was interrupted is done again from its beginning, and makes what is missing. Answers why volumes were left out.
 */
export async function createDue(ports: ControlPorts, due: Due, signal: AbortSignal): Promise<readonly string[]> {
  const { policyLanguage, resourceTypes } = due.policy.details;
  if (policyLanguage !== 'SIMPLIFIED' && resourceTypes?.[0] === 'INSTANCE') {
    return await createOfInstances(ports, due, signal);
  }
  const troubles: string[] = [];
  const volumes = eachRow(
    (page) => ports.meta.read((tx) => tx.volumes.list({ scope: due.scope, face: 'ec2' }, page)),
    signal,
  );
  for await (const volume of volumes) {
    if (volume.state !== 'available' || !(await isMeant(ports, due, volume))) continue;
    try {
      await createOne(ports, due, volume);
    } catch (error) {
      // The volume, or the snapshot that an interrupted run made, was deleted meanwhile: there is nothing to do.
      if (!(error instanceof DomainError)) throw error;
      if (error.failure.kind !== 'not-found') troubles.push(troubleOf(volume.id, error.failure));
    }
  }
  return troubles;
}

async function isMeant(ports: ControlPorts, { policy, dueMs }: Due, volume: Volume): Promise<boolean> {
  const { details } = policy;
  // Default policies are for what is in the region.
  const { resourceLocations = ['CLOUD'] } = details;
  if (!resourceLocations.includes(volume.outpost === null ? 'CLOUD' : 'OUTPOST')) return false;
  if (details.policyLanguage !== 'SIMPLIFIED') {
    return details.resourceTypes?.[0] === 'VOLUME' && hasOne(volume.tags, details.targetTags ?? []);
  }
  if (details.resourceType !== 'VOLUME') return false;
  const { excludeTags = [], excludeVolumeTypes = [] } = details.exclusions ?? {};
  if (hasOne(volume.tags, excludeTags) || excludeVolumeTypes.includes(volume.type)) return false;
  const sinceMs = dueMs - (details.createInterval ?? DEFAULT_CREATE_DAYS) * DAY_MS;
  const isRecent = ({ startedAtMs }: { readonly startedAtMs: number }): boolean =>
    startedAtMs > sinceMs && startedAtMs < dueMs;
  return await ports.meta.read(async (tx) => {
    for (const state of ['completed', 'pending'] as const) {
      if ((await tx.snapshots.ofVolume(volume.id, state, null, 1)).some(isRecent)) return false;
    }
    return true;
  });
}

async function createOne(ports: ControlPorts, due: Due, volume: Volume): Promise<void> {
  const { scope, policy, index, schedule, dueMs, leave } = due;
  const copied = schedule.copyTags === true ? Object.entries(volume.tags) : [];
  const asked = new Map([
    ...copied.filter(([key]) => !key.toLowerCase().startsWith('aws:')),
    ...(schedule.tagsToAdd ?? []).map(({ key, value }) => [key, value] as const),
  ]);
  const name = scheduleName(schedule.name, index);
  const made = { ...scope, id: '*', tags: {} } as const;
  const keys = requestedTags([...asked]);
  leave.require('ec2:CreateSnapshot', volume);
  const outpost = schedule.createRule?.location === 'OUTPOST_LOCAL' ? volume.outpost : null;
  leave.require('ec2:CreateSnapshot', made, [...keys, ...placeKeys(volume, outpost)]);
  leave.require('ec2:CreateTags', made, [...keys, ['ec2:createaction', ['CreateSnapshot']]]);
  const { snapshot } = await createSnapshot(ports, scope, {
    face: 'ec2',
    name: null,
    volume: volume.id,
    description: `Created for policy: ${policy.id} schedule: ${name}`,
    tags: [...asked].map(([key, value]) => ({ key, value })),
    outpost,
    token: `lifecycle ${policy.id} ${index} ${dueMs} ${volume.id}`,
    operation: null,
  });
  await ports.meta.transact(async (tx) => {
    const current = await tx.snapshots.find(snapshot.id);
    if (current === null || (await tx.documents.find(managedSnapshots, scope, snapshot.id)) !== null) return;
    // Clients may not set tags of this prefix, so they are set beside the request.
    const tags = { ...current.tags, ...ownTags(policy.id, name) };
    await tx.snapshots.update({ ...current, tags });
    await tx.documents.insert(managedSnapshots, scope, {
      snapshot: snapshot.id,
      account: scope.account,
      policy: policy.id,
      schedule: index,
      volume: volume.id,
      dueMs,
    });
  });
}

/** As a request for it would have them: where it is to be, and where its volume is. */
function placeKeys(volume: Volume, outpost: OutpostArn | null): readonly (readonly [string, readonly string[]])[] {
  const keys = [
    ['ec2:outpostarn', outpost],
    ['ec2:sourceoutpostarn', volume.outpost],
  ] as const;
  return keys.flatMap(([key, arn]) => (arn === null ? [] : [[key, [arn]] as const]));
}
