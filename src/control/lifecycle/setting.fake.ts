import { putInlinePolicy, ROLE } from '#control/identity/identities.ts';
import { createRole } from '#control/identity/roles.ts';
import { regionName } from '#domain/ids.ts';
import type { PolicyDetails, Schedule } from '#domain/lifecycle/policy.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import type { Scope, Volume } from '#domain/volume.ts';
import { volumeRequest } from '#control/request.fake.ts';
import { listSnapshots } from '#control/snapshots.ts';
import { createVolume } from '#control/volumes.ts';
import { World } from '#control/world.fake.ts';
import * as policies from './policies.ts';

export const hourly: Schedule = {
  name: 'hourly',
  copyTags: true,
  tagsToAdd: [{ key: 'made-by', value: 'policy' }],
  createRule: { interval: 1, intervalUnit: 'HOURS', times: ['00:30'] },
  retainRule: { count: 3 },
};

export const details: PolicyDetails = {
  resourceTypes: ['VOLUME'],
  targetTags: [{ key: 'backup', value: 'yes' }],
  schedules: [hourly],
};

/** A trust policy for a service. */
export function trustOf(service: string, condition: object = {}): string {
  return JSON.stringify({
    Version: '2012-10-17',
    Statement: { Effect: 'Allow', Principal: { Service: service }, Action: 'sts:AssumeRole', Condition: condition },
  });
}

/** An account with a role for policies, whose server works while time passes. */
export class Setting implements AsyncDisposable {
  readonly world: World;
  readonly scope: Scope;

  private constructor(world: World, scope: Scope) {
    this.world = world;
    this.scope = scope;
  }

  /** `actions`: what the role of its policies may. */
  static async make(actions: readonly string[] = ['*']): Promise<Setting> {
    const world = await World.make();
    const setting = new Setting(world, await world.account());
    await setting.role(actions);
    return setting;
  }

  /** Makes the role of policies. */
  async role(actions: readonly string[]): Promise<void> {
    await createRole(this.world.ports, this.scope.account, {
      name: 'dlm',
      path: '/',
      trust: trustOf('dlm.amazonaws.com'),
      description: null,
      sessionSecondsMax: 3600,
      boundary: null,
      tags: [],
      madeBy: null,
    });
    await this.allow(actions);
  }

  /** From now on the role may that. */
  async allow(actions: readonly string[]): Promise<void> {
    const document = JSON.stringify({
      Version: '2012-10-17',
      Statement: { Effect: 'Allow', Action: actions, Resource: '*' },
    });
    await putInlinePolicy(this.world.ports, ROLE, this.scope.account, { owner: 'dlm', name: 'may', document });
  }

  async volume(tags: Record<string, string>): Promise<Volume> {
    const request = volumeRequest({ tags: Object.entries(tags).map(([key, value]) => ({ key, value })) });
    const { volume } = await createVolume(this.world.ports, this.scope, request);
    return volume;
  }

  async policy(some: Partial<policies.CreatePolicy> = {}): Promise<string> {
    const { id } = await policies.createPolicy(this.world.ports, this.scope, {
      description: 'all day',
      state: 'ENABLED',
      roleArn: `arn:aws:iam::${this.scope.account}:role/dlm`,
      details,
      tags: {},
      ...some,
    });
    return id;
  }

  /** Of the account's own region unless told otherwise. */
  async snapshots(region = 'us-east-1'): Promise<readonly Snapshot[]> {
    const scope = { account: this.scope.account, region: regionName(region) };
    const { snapshots } = await listSnapshots(this.world.ports, scope, {
      ids: null,
      face: 'ec2',
      after: null,
      countMax: 1000,
    });
    return snapshots;
  }

  /** Time passes, with the task at work, uploads too. */
  async pass(durationMs: number): Promise<void> {
    await this.world.clock.advance(durationMs);
    await this.world.control.run('run-policies');
    await this.world.control.run('upload-snapshots');
    await this.world.control.run('run-policies');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.world[Symbol.asyncDispose]();
  }
}
