import { listAlarms } from '#control/machines/alarms.ts';
import { listContactMethods } from '#control/machines/contact-methods.ts';
import { findStaticIp } from '#control/machines/static-ips.ts';
import { findKeyPair } from '#control/machines/key-pairs.ts';
import { findInstanceSnapshot } from '#control/machines/instance-snapshot-records.ts';
import { findInstance } from '#control/machines/records.ts';
import { findSnapshotByName } from '#control/snapshots.ts';
import { removeTags, setTags } from '#control/tags.ts';
import { findVolumeByName } from '#control/volumes.ts';
import { DomainError, refuse } from '#domain/errors.ts';
import type { ResourceId } from '#domain/ids.ts';
import type { Tag } from '#domain/tags.ts';
import type { CallContext } from '#api/handler.ts';
import type {
  Tag as TagShape,
  TagResourceRequest,
  TagResourceResult,
  UntagResourceRequest,
  UntagResourceResult,
} from '#wire/aws/models/lightsail.ts';
import {
  alarmArn,
  contactMethodArn,
  diskArn,
  diskSnapshotArn,
  instanceArn,
  instanceSnapshotArn,
  keyPairArn,
} from './arn.ts';
import { refuseInvalid } from './errors.ts';
import { operationView } from './views.ts';

export async function tagResource(context: CallContext, input: TagResourceRequest): Promise<TagResourceResult> {
  const resource = await findResource(context, input.resourceName, input.resourceArn);
  const tags = parseTags(input.tags);
  const { operations } = await setTags(context.ports, context.scope, {
    face: 'lightsail',
    resources: [resource.id],
    tags,
    operation: context.operation,
  });
  return { operations: operations.map(operationView) };
}

export async function untagResource(context: CallContext, input: UntagResourceRequest): Promise<UntagResourceResult> {
  const resource = await findResource(context, input.resourceName, input.resourceArn);
  const removals = input.tagKeys.map((key) => ({ key, value: null }));
  const { operations } = await removeTags(context.ports, context.scope, {
    resources: [resource.id],
    removals,
    operation: context.operation,
  });
  return { operations: operations.map(operationView) };
}

/** The tags of a request. A tag without a value is key-only: its value is the empty one. */
export function parseTags(tags: readonly TagShape[] | undefined): readonly Tag[] {
  return (tags ?? []).map(({ key, value }) => {
    if (key === undefined) refuseInvalid('A tag has a key.', 'Add the key.');
    return { key, value: value ?? '' };
  });
}

interface Resource {
  readonly id: ResourceId;
  readonly arn: string;
}

/** What has the name, whatever it is; an ARN, if given, must be its own. */
async function findResource(context: CallContext, name: string, arn: string | undefined): Promise<Resource> {
  const resource =
    (await findDisk(context, name)) ??
    (await findDiskSnapshot(context, name)) ??
    (await findMachine(context, name)) ??
    (await findMachineSnapshot(context, name)) ??
    (await findKeys(context, name)) ??
    (await findAlarm(context, name)) ??
    (await findContactMethod(context, name));
  if (resource === null && (await isStaticIp(context, name))) {
    refuseInvalid(`${name} is a static IP, which has no tags.`, 'Tag the instance that it is attached to.');
  }
  if (resource === null) refuse({ kind: 'not-found', resource: 'resource', id: name });
  if (arn !== undefined && arn !== resource.arn) {
    refuseInvalid(`The resourceArn is not that of ${name}.`, 'Leave resourceArn out, or give the one of the resource.');
  }
  return resource;
}

async function findDisk({ ports, scope }: CallContext, name: string): Promise<Resource | null> {
  const disk = await orNull(findVolumeByName(ports, scope, name));
  return disk && { id: disk.id, arn: diskArn(scope, disk.id) };
}

async function findDiskSnapshot({ ports, scope }: CallContext, name: string): Promise<Resource | null> {
  const snapshot = await orNull(findSnapshotByName(ports, scope, name));
  return snapshot && { id: snapshot.id, arn: diskSnapshotArn(scope, snapshot.id) };
}

async function findMachine({ ports, scope }: CallContext, name: string): Promise<Resource | null> {
  const instance = await orNull(findInstance(ports, scope, { name }));
  return instance && { id: instance.id, arn: instanceArn(scope, instance.id) };
}

async function findMachineSnapshot({ ports, scope }: CallContext, name: string): Promise<Resource | null> {
  const found = await orNull(findInstanceSnapshot(ports, scope, { name }));
  return found && { id: found.record.id, arn: instanceSnapshotArn(scope, found.record.id) };
}

async function findKeys({ ports, scope }: CallContext, name: string): Promise<Resource | null> {
  const keyPair = await orNull(findKeyPair(ports, scope, name));
  return keyPair && { id: keyPair.id, arn: keyPairArn(scope, keyPair.id) };
}

async function findAlarm({ ports, scope }: CallContext, name: string): Promise<Resource | null> {
  const page = { instanceName: null, after: null, countMax: 1 };
  const found = await orNull(listAlarms(ports, scope, { name, ...page }));
  const alarm = found?.alarms[0]?.alarm;
  return alarm === undefined ? null : { id: alarm.id, arn: alarmArn(scope, alarm.id) };
}

/** Its name is its protocol. */
async function findContactMethod({ ports, scope }: CallContext, name: string): Promise<Resource | null> {
  const contact = (await listContactMethods(ports, scope, [])).find(({ protocol }) => protocol === name);
  return contact === undefined ? null : { id: contact.id, arn: contactMethodArn(scope, contact.id) };
}

async function isStaticIp({ ports, scope }: CallContext, name: string): Promise<boolean> {
  return (await orNull(findStaticIp(ports, scope, name))) !== null;
}

async function orNull<T>(found: Promise<T>): Promise<T | null> {
  try {
    return await found;
  } catch (error) {
    if (error instanceof DomainError && error.failure.kind === 'not-found') return null;
    throw error;
  }
}
