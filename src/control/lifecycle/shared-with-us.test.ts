import assert from 'node:assert/strict';
import { test } from 'node:test';
import { present } from '#base/assert.ts';
import type { PolicyDetails } from '#domain/lifecycle/policy.ts';
import { regionName, type SnapshotId } from '#domain/ids.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import type { Scope } from '#domain/volume.ts';
import { refusal, snapshotRequest, volumeRequest } from '#control/request.fake.ts';
import { shareSnapshot } from '#control/snapshot-sharing.ts';
import { createSnapshot, listSnapshots } from '#control/snapshots.ts';
import { createVolume } from '#control/volumes.ts';
import { matchesWithin } from './description-pattern.ts';
import * as policies from './policies.ts';
import { Setting } from './setting.fake.ts';

const DAY_MS = 24 * 3_600_000;

function waitingFor(owner: Scope, some: { readonly pattern?: string } = {}): PolicyDetails {
  return {
    policyType: 'EVENT_BASED_POLICY',
    eventSource: {
      type: 'MANAGED_CWE',
      parameters: {
        eventType: 'shareSnapshot',
        snapshotOwner: [owner.account],
        descriptionRegex: some.pattern ?? '^.*Created for policy.*$',
      },
    },
    actions: [
      {
        name: 'elsewhere',
        crossRegionCopy: [
          {
            target: 'eu-west-1',
            encryptionConfiguration: { encrypted: false },
            retainRule: { interval: 2, intervalUnit: 'DAYS' },
          },
          { target: 'us-west-2', encryptionConfiguration: { encrypted: true } },
        ],
      },
    ],
  };
}

/** Another account, and its way to share. */
class Partner {
  readonly #setting: Setting;
  readonly scope: Scope;

  private constructor(setting: Setting, scope: Scope) {
    this.#setting = setting;
    this.scope = scope;
  }

  static async of(setting: Setting): Promise<Partner> {
    return new Partner(setting, await setting.world.account());
  }

  async snapshot(description: string): Promise<SnapshotId> {
    const { ports } = this.#setting.world;
    const { volume } = await createVolume(ports, this.scope, volumeRequest());
    const { snapshot } = await createSnapshot(ports, this.scope, snapshotRequest(volume.id, { description }));
    await this.#setting.world.settle();
    return snapshot.id;
  }

  async share(id: SnapshotId): Promise<void> {
    const { account } = this.#setting.scope;
    await shareSnapshot(this.#setting.world.ports, this.scope, id, { add: [account], remove: [] });
  }

  async unshare(id: SnapshotId): Promise<void> {
    const { account } = this.#setting.scope;
    await shareSnapshot(this.#setting.world.ports, this.scope, id, { add: [], remove: [account] });
  }
}

async function copies(setting: Setting, region: string): Promise<readonly Snapshot[]> {
  const scope = { account: setting.scope.account, region: regionName(region) };
  const request = { ids: null, face: 'ec2', after: null, countMax: 100 } as const;
  return (await listSnapshots(setting.world.ports, scope, request)).snapshots;
}

test('what is shared from now on, by whom and as the policy says, is copied once, until it is shared anew', async () => {
  await using setting = await Setting.make();
  const [partner, stranger] = [await Partner.of(setting), await Partner.of(setting)];
  const before = await partner.snapshot('Created for policy: before');
  await partner.share(before);
  const details = waitingFor(partner.scope);
  const id = await setting.policy({ details });
  assert.deepEqual((await policies.findPolicy(setting.world.ports, setting.scope, id)).details, details);
  const meant = await partner.snapshot('Created for policy: policy-1');
  const other = await partner.snapshot('by hand');
  const strange = await stranger.snapshot('Created for policy: policy-2');
  await partner.share(meant);
  await partner.share(other);
  await stranger.share(strange);
  for (let count = 0; count < 3; count += 1) await setting.pass(15_000);
  const [copy, ...more] = await copies(setting, 'eu-west-1');
  assert.ok(copy !== undefined && more.length === 0);
  assert.deepEqual([copy.copiedFrom?.snapshot, copy.state, copy.account], [meant, 'completed', setting.scope.account]);
  assert.equal(copy.tags['aws:dlm:lifecycle-policy-id'], id);
  assert.ok((await copies(setting, 'us-west-2')).every(({ encryption }) => encryption !== null));

  await partner.unshare(meant);
  await setting.pass(15_000);
  await partner.share(meant);
  for (let count = 0; count < 2; count += 1) await setting.pass(15_000);
  assert.equal((await copies(setting, 'eu-west-1')).length, 2, 'it is another event');
  await setting.pass(2 * DAY_MS);
  assert.deepEqual([(await copies(setting, 'eu-west-1')).length, (await copies(setting, 'us-west-2')).length], [0, 2]);
});

test('what is shared while a policy is disabled is no event', async () => {
  await using setting = await Setting.make();
  const partner = await Partner.of(setting);
  const id = await setting.policy({ details: waitingFor(partner.scope), state: 'DISABLED' });
  await partner.share(await partner.snapshot('Created for policy: policy-1'));
  await setting.pass(15_000);
  const nothing = { description: null, roleArn: null, details: null };
  await policies.updatePolicy(setting.world.ports, setting.scope, id, { ...nothing, state: 'ENABLED' });
  await setting.pass(15_000);
  assert.equal((await copies(setting, 'eu-west-1')).length, 0);
});

test('wherever a run is cut short, an event is followed exactly once', async () => {
  for (const mode of ['before', 'after'] as const) {
    for (let call = 1; ; call += 1) {
      await using setting = await Setting.make();
      const { world } = setting;
      const partner = await Partner.of(setting);
      await setting.policy({ details: waitingFor(partner.scope) });
      await partner.share(await partner.snapshot('Created for policy: policy-1'));
      world.faults.arm(call, mode);
      await world.control.run('run-policies').catch(() => {});
      const fired = world.faults.disarm();
      await world.restartControl();
      for (let count = 0; count < 2; count += 1) await setting.pass(15_000);
      for (const region of ['eu-west-1', 'us-west-2']) {
        const copy = present((await copies(setting, region))[0], `a copy in ${region} (${mode} call ${call})`);
        assert.deepEqual([(await copies(setting, region)).length, copy.tags['dlm:managed']], [1, 'true'], `${fired}`);
      }
      if (fired === null) break;
    }
  }
});

test('details that no event could meet are refused, and a pattern that takes for ever holds up nobody', async () => {
  await using setting = await Setting.make();
  const partner = await Partner.of(setting);
  const details = waitingFor(partner.scope);
  const refused: readonly [Partial<PolicyDetails>, ReturnType<typeof refusal>][] = [
    [{ actions: [] }, refusal({ kind: 'missing', field: 'Actions' })],
    [{ targetTags: [{ key: 'a', value: 'b' }] }, refusal({ kind: 'exclusive' })],
    [waitingFor(partner.scope, { pattern: '(' }), refusal({ kind: 'invalid-value', field: 'DescriptionRegex' })],
    [
      {
        actions: [{ name: 'x', crossRegionCopy: [{ target: 'xx-1', encryptionConfiguration: { encrypted: false } }] }],
      },
      refusal({ kind: 'invalid-value', field: 'Target' }),
    ],
  ];
  for (const [some, expected] of refused) {
    await assert.rejects(setting.policy({ details: { ...details, ...some } }), expected);
  }
  assert.equal(matchesWithin('^(a+)+$', `${'a'.repeat(60)}b`), null);
  assert.deepEqual([matchesWithin('^.*policy.*$', 'a policy'), matchesWithin('^x', 'a policy')], [true, false]);

  const id = await setting.policy({ details: waitingFor(partner.scope, { pattern: '^(a+)+$' }) });
  await partner.share(await partner.snapshot(`${'a'.repeat(60)}b`));
  await setting.pass(15_000);
  const { followUpTrouble } = await policies.findPolicy(setting.world.ports, setting.scope, id);
  assert.match(followUpTrouble ?? '', /takes too long/);
});
