import { findBlueprint } from '#control/blueprints.ts';
import { addOnsOf } from '#control/machines/add-ons.ts';
import { eachOnce } from '#control/lookup.ts';
import type { ControlPorts } from '#control/ports.ts';
import type { Instance } from '#domain/instance.ts';
import { createInstances as create } from '#control/machines/create.ts';
import { DEFAULT_KEY_PAIR_NAME, defaultKeyPair } from '#control/machines/key-pairs.ts';
import {
  deleteInstance as remove,
  rebootInstance as reboot,
  startInstance as start,
  stopInstance as stop,
} from '#control/machines/power.ts';
import { findInstance, listInstances } from '#control/machines/records.ts';
import { volumesOf } from '#control/machines/views.ts';
import { type Blueprint } from '#domain/blueprint.ts';
import { refuse } from '#domain/errors.ts';
import type { CallContext } from '#api/handler.ts';
import type {
  CreateInstancesRequest,
  CreateInstancesResult,
  DeleteInstanceRequest,
  DeleteInstanceResult,
  GetInstanceAccessDetailsRequest,
  GetInstanceAccessDetailsResult,
  GetInstanceRequest,
  GetInstanceResult,
  GetInstancesRequest,
  GetInstancesResult,
  GetInstanceStateRequest,
  GetInstanceStateResult,
  Instance as InstanceShape,
  RebootInstanceRequest,
  RebootInstanceResult,
  StartInstanceRequest,
  StartInstanceResult,
  StopInstanceRequest,
  StopInstanceResult,
} from '#wire/aws/models/lightsail.ts';
import { addOnViews, parseAddOn } from './add-ons.ts';
import { refuseInvalid, refuseUnsupported } from './errors.ts';
import { instanceView, stateView } from './instance-views.ts';
import { ITEMS_MAX, nextPage, pageAfter } from './paging.ts';
import { parseTags } from './tags.ts';
import { operationView } from './views.ts';

export async function createInstances(
  context: CallContext,
  input: CreateInstancesRequest,
): Promise<CreateInstancesResult> {
  const { ports, scope } = context;
  if (input.customImageName !== undefined) {
    refuseUnsupported('The parameter customImageName is not supported any more, by Lightsail neither.');
  }
  const blueprint = await blueprintOf(context, input.blueprintId);
  const snapshot = await ports.meta.read((tx) => tx.snapshots.find(blueprint.snapshot));
  if (snapshot === null) refuse({ kind: 'not-found', resource: 'blueprint', id: blueprint.id });
  const { operations } = await create(ports, scope, {
    face: 'lightsail',
    machines: input.instanceNames.map((name) => ({ name, disks: [] })),
    zone: input.availabilityZone,
    bundle: input.bundleId,
    source: {
      snapshot: blueprint.snapshot,
      region: snapshot.region,
      blueprint: blueprint.id,
      blueprintName: blueprint.name,
      userName: blueprint.userName,
      minimumPower: blueprint.minimumPower,
    },
    userData: userDataOf(input.userData),
    keyPair: keyPairOf(input.keyPairName),
    addressType: input.ipAddressType ?? 'dualstack',
    addOns: (input.addOns ?? []).map(parseAddOn),
    tags: parseTags(input.tags),
    token: context.invocationId,
    operation: 'CreateInstance', // What AWS's operations of CreateInstances say.
  });
  return { operations: operations.map(operationView) };
}

async function blueprintOf({ ports }: CallContext, id: string): Promise<Blueprint> {
  const blueprint = await findBlueprint(ports, id);
  if (blueprint === null || !blueprint.isActive) refuse({ kind: 'not-found', resource: 'blueprint', id });
  return blueprint;
}

/** Lightsail's user data is text as it is; the domain has bytes in base64. */
export function userDataOf(text: string | undefined): string | null {
  return text === undefined || text === '' ? null : Buffer.from(text).toString('base64');
}

/** Null: the default one. */
export function keyPairOf(name: string | undefined): string | null {
  return name === undefined || name === DEFAULT_KEY_PAIR_NAME ? null : name;
}

export async function getInstance(
  { ports, scope }: CallContext,
  input: GetInstanceRequest,
): Promise<GetInstanceResult> {
  const instance = await findInstance(ports, scope, { name: input.instanceName });
  return { instance: (await instanceViews(ports, [instance]))[0] };
}

export async function getInstances(
  { ports, scope }: CallContext,
  input: GetInstancesRequest,
): Promise<GetInstancesResult> {
  const { instances, next } = await listInstances(ports, scope, {
    ids: null,
    face: 'lightsail',
    after: pageAfter(input),
    countMax: ITEMS_MAX,
  });
  return { instances: await instanceViews(ports, instances), ...nextPage(next) };
}

async function instanceViews(ports: ControlPorts, instances: readonly Instance[]): Promise<readonly InstanceShape[]> {
  const volumes = await volumesOf(ports, instances);
  const addOns = await ports.meta.read((tx) => eachOnce(instances, (one) => addOnsOf(tx, one, one.id)));
  const nowMs = ports.clock.nowMs();
  return instances.map((one, at) => ({
    ...instanceView(one, volumes, ports.machinePlace.address),
    addOns: addOnViews(addOns[at] ?? null, nowMs),
  }));
}

export async function getInstanceState(
  { ports, scope }: CallContext,
  input: GetInstanceStateRequest,
): Promise<GetInstanceStateResult> {
  return { state: stateView(await findInstance(ports, scope, { name: input.instanceName })) };
}

export async function startInstance(
  { ports, scope, operation }: CallContext,
  input: StartInstanceRequest,
): Promise<StartInstanceResult> {
  const { operations } = await start(ports, scope, { name: input.instanceName }, operation);
  return { operations: operations.map(operationView) };
}

export async function stopInstance(
  { ports, scope, operation }: CallContext,
  input: StopInstanceRequest,
): Promise<StopInstanceResult> {
  const options = { force: input.force === true, operation };
  const { operations } = await stop(ports, scope, { name: input.instanceName }, options);
  return { operations: operations.map(operationView) };
}

export async function rebootInstance(
  { ports, scope, operation }: CallContext,
  input: RebootInstanceRequest,
): Promise<RebootInstanceResult> {
  const { operations } = await reboot(ports, scope, { name: input.instanceName }, operation);
  return { operations: operations.map(operationView) };
}

/** `forceDeleteAddOns` or not: what an instance has of add-ons goes with it. */
export async function deleteInstance(
  { ports, scope, operation, invocationId: token }: CallContext,
  input: DeleteInstanceRequest,
): Promise<DeleteInstanceResult> {
  const { operations } = await remove(ports, scope, { name: input.instanceName }, { token, operation });
  return { operations: operations.map(operationView) };
}

/** The region's own key gets into every instance, so it is what is answered, whatever key pair the instance has. */
export async function getInstanceAccessDetails(
  { ports, scope }: CallContext,
  input: GetInstanceAccessDetailsRequest,
): Promise<GetInstanceAccessDetailsResult> {
  const instance = await findInstance(ports, scope, { name: input.instanceName });
  if (input.protocol === 'rdp')
    refuseInvalid('The instance is reached by ssh, not by rdp.', 'Ask for the protocol ssh.');
  const { privateKey } = await defaultKeyPair(ports, scope);
  return {
    accessDetails: {
      instanceName: input.instanceName,
      protocol: 'ssh',
      username: instance.userName,
      privateKey,
      ...(instance.state === 'running' ? { ipAddress: instance.address ?? ports.machinePlace.address } : {}),
      ipv6Addresses: [],
      hostKeys: [],
    },
  };
}
