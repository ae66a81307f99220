import { registerBlueprint } from '#control/blueprints.ts';
import { systemSnapshot } from '#control/machines/machine.fixture.ts';
import { type AccountId, regionName } from '#domain/ids.ts';
import { type CallOptions, type Json, Scene } from './scene.fake.ts';

// Lightsail's instances over HTTP, for tests: a blueprint that machines are made of, and the calls that every test makes.

export const MACHINE = { availabilityZone: 'us-east-1a', blueprintId: 'tiny', bundleId: 'pico_1_0' };

export async function openScene(): Promise<Scene> {
  const scene = await Scene.open();
  const scope = { account: scene.key.account as AccountId, region: regionName('us-east-1') };
  await registerBlueprint(scene.world.ports, {
    id: 'tiny',
    name: 'Tiny',
    group: 'tiny',
    description: 'A small one',
    version: '1.2',
    snapshot: await systemSnapshot(scene.world, scope),
    minimumPower: 0,
    userName: 'admin',
    replaces: false,
  });
  return scene;
}

/** The operations. */
export async function create(
  scene: Scene,
  names: readonly string[],
  some: Json = {},
  options?: CallOptions,
): Promise<readonly Json[]> {
  const made = await scene.ok('CreateInstances', { ...MACHINE, instanceNames: names, ...some }, options);
  return made['operations'] as readonly Json[];
}

export async function instance(scene: Scene, name: string): Promise<Json> {
  return (await scene.ok('GetInstance', { instanceName: name }))['instance'] as Json;
}

/** An instance `web` with a disk `data` at /dev/xvdf, which runs. */
export async function openWithInstance(): Promise<Scene> {
  const scene = await openScene();
  await create(scene, ['web'], { bundleId: 'nano_3_0' });
  await scene.ok('CreateDisk', { diskName: 'data', availabilityZone: MACHINE.availabilityZone, sizeInGb: 8 });
  await scene.world.settle();
  await scene.ok('AttachDisk', { diskName: 'data', instanceName: 'web', diskPath: '/dev/xvdf' });
  await scene.world.settle();
  return scene;
}

/** The same, with a snapshot `web-1` of the instance and a later one `data-1` of its disk. */
export async function openWithSnapshots(): Promise<Scene> {
  const scene = await openWithInstance();
  await scene.ok('CreateInstanceSnapshot', { instanceName: 'web', instanceSnapshotName: 'web-1' });
  await scene.world.clock.advance(60_000);
  await scene.world.settle();
  await scene.ok('CreateDiskSnapshot', { diskName: 'data', diskSnapshotName: 'data-1' });
  await scene.world.settle();
  return scene;
}
