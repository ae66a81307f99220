import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DomainError } from '#domain/errors.ts';
import { lockStateOf, retentionDaysOf, type RetentionRule } from '#domain/retention-rule.ts';
import * as rules from './retention-rules.ts';
import { World } from './world.fake.ts';

const DAY_MS = 86_400_000;

const region: rules.CreateRule = {
  type: 'EBS_SNAPSHOT',
  description: null,
  days: 7,
  tagged: [],
  excluded: [],
  unlockDelayDays: null,
  tags: [],
};

async function refusal(call: Promise<unknown>): Promise<string> {
  return await call.then(
    () => 'not refused',
    (error: unknown) => (error instanceof DomainError ? error.failure.kind : String(error)),
  );
}

test('a deleted resource is kept for the longest time that a rule gives it', () => {
  const rule: RetentionRule = { ...region, id: 'AAAAAAAAAAA', lock: null, tags: {} };
  const tagged: RetentionRule = {
    ...rule,
    days: 3,
    tagged: [
      { key: 'keep', value: null },
      { key: 'env', value: 'prod' },
    ],
  };
  const longer: RetentionRule = { ...tagged, days: 30, tagged: [{ key: 'env', value: 'prod' }] };
  const excluding: RetentionRule = { ...rule, days: 9, excluded: [{ key: 'scratch', value: null }] };

  const days = (all: readonly RetentionRule[], tags: Record<string, string>) =>
    retentionDaysOf(all, 'EBS_SNAPSHOT', tags);
  assert.equal(days([tagged], {}), null);
  assert.equal(days([tagged], { keep: 'whatever' }), 3);
  assert.equal(days([tagged], { env: 'Prod' }), null, 'values are case-sensitive');
  assert.equal(days([tagged, longer], { env: 'prod' }), 30);
  assert.equal(days([rule, longer], { env: 'test' }), 7);
  assert.equal(days([excluding], { scratch: '' }), null);
  assert.equal(days([excluding, rule], { scratch: '' }), 7);
  assert.equal(retentionDaysOf([rule], 'EBS_VOLUME', {}), null, 'rules are of one type');
  assert.equal(days([tagged], { constructor: 'x' }), null);
});

test('rules are bounded by their type, and a rule with tags is not locked', async () => {
  await using world = await World.make();
  const scope = await world.account();
  const create = (some: Partial<rules.CreateRule>) =>
    refusal(rules.createRule(world.ports, scope, { ...region, ...some }));
  assert.equal(await create({ days: 365 }), 'not refused');
  assert.equal(await create({ days: 366 }), 'invalid-value');
  assert.equal(await create({ type: 'EBS_VOLUME', days: 7 }), 'not refused');
  assert.equal(await create({ type: 'EBS_VOLUME', days: 8 }), 'invalid-value');
  const match = [{ key: 'a', value: null }];
  assert.equal(await create({ tagged: match, excluded: match }), 'exclusive');
  assert.equal(await create({ tagged: match, unlockDelayDays: 7 }), 'invalid-value');
  assert.equal(await create({ excluded: match, unlockDelayDays: 7 }), 'invalid-value');
  assert.equal(await create({ tags: [{ key: 'aws:x', value: '' }] }), 'tag-key-reserved');
});

test('a locked rule stands until its unlock delay is over', async () => {
  await using world = await World.make();
  const { ports, clock } = world;
  const scope = await world.account();
  const { id } = await rules.createRule(ports, scope, { ...region, unlockDelayDays: 7 });
  const state = async () => lockStateOf(await rules.findRule(ports, scope, id), clock.nowMs());
  const change = () =>
    refusal(rules.updateRule(ports, scope, id, { description: 'x', days: null, tagged: null, excluded: null }));

  assert.equal(await state(), 'locked');
  assert.equal(await change(), 'wrong-state');
  assert.equal(await refusal(rules.deleteRule(ports, scope, id)), 'wrong-state');
  assert.equal(await refusal(rules.lockRule(ports, scope, id, 30)), 'wrong-state', 'the delay cannot be changed');

  await rules.unlockRule(ports, scope, id);
  assert.equal(await state(), 'pending_unlock');
  assert.equal(await refusal(rules.unlockRule(ports, scope, id)), 'wrong-state');
  await clock.advance(7 * DAY_MS - 1);
  assert.equal(await change(), 'wrong-state');
  await clock.advance(1);
  assert.equal(await state(), 'unlocked');
  assert.equal(await change(), 'not refused');
  assert.equal((await rules.findRule(ports, scope, id)).description, 'x');
  await rules.lockRule(ports, scope, id, 30);
  assert.equal(await state(), 'locked');
});

test('rules are listed by type, tags and lock state, page by page, in one account and region', async () => {
  await using world = await World.make();
  const { ports } = world;
  const scope = await world.account();
  const elsewhere = await world.account();
  const ids: string[] = [];
  for (let n = 0; n < 5; n += 1) {
    const tagged = n % 2 === 0 ? [] : [{ key: 'n', value: String(n) }];
    ids.push((await rules.createRule(ports, scope, { ...region, tagged })).id);
  }
  await rules.createRule(ports, scope, { ...region, type: 'EBS_VOLUME' });
  await rules.createRule(ports, elsewhere, region);
  const list: rules.ListRules = {
    type: 'EBS_SNAPSHOT',
    tagged: [],
    excluded: [],
    lockState: null,
    after: null,
    countMax: 2,
  };
  const seen: string[] = [];
  for (let after: string | null = null; ;) {
    const page = await rules.listRules(ports, scope, { ...list, after });
    seen.push(...page.rules.map(({ id }) => id));
    after = page.next;
    if (after === null) break;
  }
  assert.deepEqual(seen, ids);
  const found = await rules.listRules(ports, scope, { ...list, tagged: [{ key: 'n', value: '3' }] });
  assert.deepEqual(
    found.rules.map(({ id }) => id),
    [ids[3]],
  );
  assert.equal((await rules.listRules(ports, scope, { ...list, lockState: 'locked' })).rules.length, 0);
  assert.equal(await refusal(rules.findRule(ports, elsewhere, ids[0] ?? '')), 'not-found');

  const kept = await ports.meta.read((tx) => rules.retentionOf(tx, scope, 'EBS_SNAPSHOT', {}));
  assert.equal(kept, 7 * DAY_MS);
});
