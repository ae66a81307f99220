import type { SnapshotId } from '#domain/ids.ts';
import type { Scope } from '#domain/volume.ts';
import { diskRequest, snapshotRequest, volumeRequest } from '#control/request.fake.ts';
import { createSnapshot } from '#control/snapshots.ts';
import { createVolume } from '#control/volumes.ts';
import type { World } from '#control/world.fake.ts';
import type { CreateInstances, MachineSource } from './create.ts';

// What tests of machines need: a snapshot to make them of, and requests in which everything is plain.

export async function systemSnapshot(world: World, scope: Scope, sizeGib = 2): Promise<SnapshotId> {
  const { volume } = await createVolume(world.ports, scope, volumeRequest({ sizeGib, zone: `${scope.region}a` }));
  world.host.write(volume.id, 0, 9);
  const { snapshot } = await createSnapshot(world.ports, scope, snapshotRequest(volume.id));
  await world.settle();
  return snapshot.id;
}

export function machineSource(scope: Scope, snapshot: SnapshotId): MachineSource {
  return {
    snapshot,
    region: scope.region,
    blueprint: 'tiny',
    blueprintName: 'Tiny',
    userName: 'admin',
    minimumPower: 0,
  };
}

export function machinesRequest(
  scope: Scope,
  snapshot: SnapshotId,
  names: readonly string[],
  some: Partial<CreateInstances> = {},
): CreateInstances {
  return {
    face: 'lightsail',
    machines: names.map((name) => ({ name, disks: [] })),
    zone: `${scope.region}a`,
    bundle: 'pico_1_0',
    source: machineSource(scope, snapshot),
    userData: null,
    keyPair: null,
    addressType: 'dualstack',
    tags: [],
    token: null,
    operation: 'CreateInstance',
    ...some,
  };
}

export async function makeDisk(world: World, scope: Scope, name: string): Promise<void> {
  await createVolume(world.ports, scope, diskRequest(name, { zone: `${scope.region}a` }));
}
