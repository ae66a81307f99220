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
