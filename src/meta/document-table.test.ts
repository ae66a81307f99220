import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '#base/virtual-clock.ts';
import type { AccountId } from '#domain/ids.ts';
import { regionName } from '#domain/ids.ts';
import { detailsOf, detailsText } from './details.ts';
import type { DocumentKind } from './document-table.ts';
import { KyselyStore } from './kysely-store.ts';

interface Rule {
  readonly id: string;
  readonly user: string | null;
  readonly days: number;
}

const rules: DocumentKind<Rule> = { name: 'rule', idOf: ({ id }) => id, ownerOf: ({ user }) => user };
const others: DocumentKind<Rule> = { ...rules, name: 'other' };
const here = { account: '111111111111' as AccountId, region: regionName('us-east-1') };
const there = { ...here, region: regionName('us-west-2') };
const page = { after: 0, countMax: 10 };

test('documents are found and listed in their kind, account, region and owner', async () => {
  await using store = await KyselyStore.open(':memory:', new VirtualClock());
  await store.transact(async ({ documents }) => {
    await documents.insert(rules, here, { id: 'a', user: 'x', days: 1 });
    await documents.insert(rules, here, { id: 'b', user: null, days: 2 });
    await documents.insert(rules, there, { id: 'a', user: 'x', days: 3 });
    await documents.insert(others, here, { id: 'a', user: 'x', days: 4 });

    assert.deepEqual(await documents.find(rules, here, 'a'), { id: 'a', user: 'x', days: 1 });
    assert.equal(await documents.find(rules, there, 'b'), null);
    const daysOf = async (owner: string | null, after = 0) =>
      (await documents.list(rules, here, owner, { after, countMax: 10 })).map(({ record }) => record.days);
    assert.deepEqual([await daysOf(null), await daysOf('x'), await daysOf('y')], [[1, 2], [1], []]);
    const [first] = await documents.list(rules, here, null, { after: 0, countMax: 1 });
    assert.deepEqual(await daysOf(null, first?.sequence), [2]);
    assert.deepEqual(
      (await documents.everywhere(rules, 'a')).map(({ region, record }) => [region, record.days]),
      [
        ['us-east-1', 1],
        ['us-west-2', 3],
      ],
    );
    assert.equal((await documents.all(rules, page)).length, 3);
    assert.deepEqual([await documents.count(rules, here, null), await documents.count(rules, here, 'x')], [2, 1]);

    await documents.update(rules, here, { id: 'a', user: 'y', days: 9 });
    assert.deepEqual([await daysOf('x'), await daysOf('y')], [[], [9]]);
    await documents.remove(rules, here, 'a');
    await documents.remove(rules, here, 'a');
    assert.deepEqual(await daysOf(null), [2]);
    assert.equal((await documents.find(rules, there, 'a'))?.days, 3);
    await assert.rejects(documents.update(rules, here, { id: 'a', user: null, days: 0 }), /exists/);
  });
  await assert.rejects(
    store.transact(({ documents }) => documents.insert(rules, there, { id: 'a', user: null, days: 0 })),
    /UNIQUE/,
  );
});

test('details hold only what is not plain', () => {
  const plain = { codes: [] as readonly string[], key: null as string | null };
  assert.equal(detailsText(plain, { ...plain, codes: [] }), '{}');
  const text = detailsText(plain, { codes: ['x'], key: null });
  assert.equal(text, '{"codes":["x"]}');
  assert.deepEqual(detailsOf(plain, text), { codes: ['x'], key: null });
});
