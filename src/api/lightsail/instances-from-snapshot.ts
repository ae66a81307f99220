import { createInstances, type NewDisk, type NewMachine } from '#control/machines/create.ts';
import { findInstanceSnapshot } from '#control/machines/instance-snapshot-records.ts';
import { findBundle } from '#domain/bundle.ts';
import type { InstanceSnapshot, InstanceSnapshotPart } from '#domain/instance-snapshot.ts';
import { refuse } from '#domain/errors.ts';
import type { CallContext } from '#api/handler.ts';
import type {
  CreateInstancesFromSnapshotRequest,
  CreateInstancesFromSnapshotResult,
  DiskMap,
} from '#wire/aws/models/lightsail.ts';
import { present } from '#base/assert.ts';
import { parseAddOn } from './add-ons.ts';
import { refuseInvalid } from './errors.ts';
import { keyPairOf, userDataOf } from './instances.ts';
import { chooseSource, findAuto } from './snapshot-sources.ts';
import { parseTags } from './tags.ts';
import { operationView } from './views.ts';

/** One operation for each new instance, as the reference page of create_instances_from_snapshot shows. */
export async function createInstancesFromSnapshot(
  context: CallContext,
  input: CreateInstancesFromSnapshotRequest,
): Promise<CreateInstancesFromSnapshotResult> {
  const { ports, scope } = context;
  const snapshot = await findSource(context, input);
  if (snapshot.state !== 'available') {
    refuse({ kind: 'wrong-state', resource: 'instance-snapshot', id: snapshot.name, state: snapshot.state });
  }
  const system = present(snapshot.parts[0], 'a machine has a system volume');
  const { operations } = await createInstances(ports, scope, {
    face: 'lightsail',
    machines: machinesOf(input, snapshot),
    zone: input.availabilityZone,
    bundle: input.bundleId,
    source: {
      snapshot: system.snapshot,
      region: scope.region,
      blueprint: snapshot.blueprint,
      blueprintName: snapshot.blueprintName,
      userName: snapshot.userName,
      // A plan as large as the one that it was made of, or larger.
      minimumPower: findBundle(snapshot.bundle)?.power ?? 0,
    },
    userData: userDataOf(input.userData),
    keyPair: keyPairOf(input.keyPairName),
    addressType: input.ipAddressType ?? 'dualstack',
    addOns: (input.addOns ?? []).map(parseAddOn),
    tags: parseTags(input.tags),
    token: context.invocationId,
    operation: context.operation,
  });
  return { operations: operations.map(operationView) };
}

async function findSource(context: CallContext, input: CreateInstancesFromSnapshotRequest): Promise<InstanceSnapshot> {
  const { ports, scope } = context;
  const source = chooseSource(
    {
      snapshotName: input.instanceSnapshotName,
      resourceName: input.sourceInstanceName,
      restoreDate: input.restoreDate,
      useLatest: input.useLatestRestorableAutoSnapshot,
    },
    { snapshot: 'instanceSnapshotName', resource: 'sourceInstanceName' },
  );
  const ref = source.kind === 'named' ? { name: source.name } : (await findAuto(context, source, 'Instance')).id;
  return (await findInstanceSnapshot(ports, scope, ref)).record;
}

function machinesOf(
  { instanceNames, attachedDiskMapping = {} }: CreateInstancesFromSnapshotRequest,
  snapshot: InstanceSnapshot,
): readonly NewMachine[] {
  if (new Set(instanceNames).size !== instanceNames.length) {
    refuseInvalid('The names of the instances are not all different.', 'Give each instance a name of its own.');
  }
  const unknown = Object.keys(attachedDiskMapping).find((name) => !instanceNames.includes(name));
  if (unknown !== undefined) {
    refuseInvalid(
      `attachedDiskMapping names the instance ${unknown}, which is not one of instanceNames.`,
      'Correct the mapping.',
    );
  }
  const disks = snapshot.parts.slice(1);
  return instanceNames.map((name) => ({ name, disks: disksOf(name, disks, attachedDiskMapping[name] ?? []) }));
}

/** Every disk of the snapshot comes with the machine; one that the mapping does not name gets a name from the machine's. */
function disksOf(
  instanceName: string,
  parts: readonly InstanceSnapshotPart[],
  mapping: readonly DiskMap[],
): readonly NewDisk[] {
  const names = new Map<string, string>();
  for (const { originalDiskPath, newDiskName } of mapping) {
    if (originalDiskPath === undefined || newDiskName === undefined) {
      refuseInvalid('A disk mapping needs originalDiskPath and newDiskName.', 'Add what is missing.');
    }
    if (!parts.some(({ device }) => device === originalDiskPath)) {
      const known = parts.map(({ device }) => device).join(', ');
      refuseInvalid(
        `The snapshot has no disk at ${originalDiskPath}.`,
        known === '' ? 'It has no disks: leave the mapping out.' : `Its disks are at ${known}.`,
      );
    }
    if (names.has(originalDiskPath)) {
      refuseInvalid(`The disk mapping names ${originalDiskPath} twice.`, 'Name each disk once.');
    }
    names.set(originalDiskPath, newDiskName);
  }
  return parts.map(({ device, snapshot, sizeGib }) => ({
    name: names.get(device) ?? `${instanceName}-${device.slice(device.lastIndexOf('/') + 1)}`,
    origin: snapshot,
    sizeGib,
    device,
    deleteOnTermination: false,
  }));
}
