import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DomainError, type Failure } from './errors.ts';
import { regionName } from './ids.ts';
import { isName } from './name.ts';
import { findRegion, findZone, REGIONS, zonesOf } from './region.ts';
import { checkTag, EC2_TAG_RULES, LIGHTSAIL_TAG_RULES, type TagRules, tagsOf, withoutTags, withTags } from './tags.ts';
import { parseVolumeType, planVolume, VOLUME_TYPES, type VolumePlan } from './volume-type.ts';

function failureOf(action: () => unknown): Failure | null {
  try {
    action();
    return null;
  } catch (error) {
    assert.ok(error instanceof DomainError);
    return error.failure;
  }
}

test('a name has 2 to 255 characters and neither begins nor ends with a hyphen', () => {
  for (const name of ['ab', 'a-b', 'a_b', '__', 'Disk-1', 'a'.repeat(255)]) assert.ok(isName(name), name);
  for (const name of ['', 'a', '-a', 'a-', 'a b', 'a.b', 'é1', 'a\n', 'a'.repeat(256)]) assert.ok(!isName(name), name);
});

test('a region is found by its exact name, and never in Object.prototype', () => {
  assert.equal(findRegion('us-east-1')?.lightsail?.displayName, 'Virginia');
  for (const name of ['US-EAST-1', 'us-east-9', '', '__proto__', 'constructor']) assert.equal(findRegion(name), null);
  assert.equal(new Set(REGIONS.map(({ name }) => name)).size, REGIONS.length);
  assert.equal(REGIONS.filter(({ optIn }) => optIn === 'opt-in-not-required').length, 17);
});

test('a zone is its region and a letter, case-sensitive, with an id of its own', () => {
  const ohio = regionName('us-east-2');
  assert.deepEqual(findZone(ohio, 'us-east-2a'), { name: 'us-east-2a', id: 'use2-az1' });
  assert.equal(findZone(ohio, 'US-EAST-2A'), null);
  assert.equal(findZone(ohio, 'us-east-1a'), null);
  assert.deepEqual(zonesOf(regionName('nowhere')), []);
  for (const { name, zones } of REGIONS) {
    assert.ok(zones.length >= 2, name);
    assert.equal(new Set(zones.map(({ id }) => id)).size, zones.length, name);
    for (const zone of zones) assert.match(zone.name, new RegExp(`^${name}[a-f]$`));
  }
});

test('tag keys have 128 characters and values 256, counted as characters', () => {
  const lengths = (rules: TagRules, letter: string) => [
    failureOf(() => checkTag(rules, { key: letter.repeat(128), value: letter.repeat(256) })),
    failureOf(() => checkTag(rules, { key: letter.repeat(129), value: '' })),
    failureOf(() => checkTag(rules, { key: 'k', value: letter.repeat(257) })),
    failureOf(() => checkTag(rules, { key: '', value: '' })),
  ];
  for (const [rules, letter] of [
    [EC2_TAG_RULES, 'a'],
    [EC2_TAG_RULES, '😀'],
    [LIGHTSAIL_TAG_RULES, 'é'],
  ] as const) {
    const [fits, key, value, none] = lengths(rules, letter);
    assert.equal(fits, null);
    assert.deepEqual(
      [key, value, none].map((failure) => failure?.kind),
      ['invalid-value', 'invalid-value', 'invalid-value'],
    );
  }
});

test('the prefix aws: is reserved, whatever its case', () => {
  for (const key of ['aws:', 'aws:x', 'AWS:x', 'Aws:cloudformation']) {
    assert.deepEqual(
      failureOf(() => checkTag(EC2_TAG_RULES, { key, value: '' })),
      { kind: 'tag-key-reserved', key },
    );
  }
  for (const key of ['aws', 'awsx:', ' aws:', 'x aws:']) {
    assert.equal(
      failureOf(() => checkTag(EC2_TAG_RULES, { key, value: 'aws:' })),
      null,
    );
  }
});

test('Lightsail takes letters, numbers, spaces and a few marks; EC2 takes what can be written', () => {
  for (const text of ['Zürich 7', '東京', 'a+-=._:/@']) {
    assert.equal(
      failureOf(() => checkTag(LIGHTSAIL_TAG_RULES, { key: text, value: text })),
      null,
      text,
    );
  }
  for (const text of ['wow!', 'a,b', '<x>', 'a#b', '😀']) {
    assert.notEqual(
      failureOf(() => checkTag(LIGHTSAIL_TAG_RULES, { key: text, value: '' })),
      null,
      text,
    );
    assert.equal(
      failureOf(() => checkTag(EC2_TAG_RULES, { key: text, value: text })),
      null,
      text,
    );
  }
  for (const text of ['a\u0000', '\u001b[31m', 'a\u0085', '\ud800', '\uffff']) {
    assert.notEqual(
      failureOf(() => checkTag(EC2_TAG_RULES, { key: text, value: '' })),
      null,
      JSON.stringify(text),
    );
  }
});

test('a key is given once, and counts once', () => {
  const tag = (key: string) => ({ key, value: 'v' });
  assert.equal(failureOf(() => tagsOf(EC2_TAG_RULES, [tag('a'), tag('a')], 50))?.kind, 'invalid-value');
  assert.deepEqual({ ...tagsOf(EC2_TAG_RULES, [tag('a'), tag('A')], 2) }, { a: 'v', A: 'v' });
  assert.deepEqual(
    failureOf(() => tagsOf(EC2_TAG_RULES, [tag('a'), tag('b')], 1)),
    { kind: 'limit', limit: 'tags', max: 1 },
  );
  assert.deepEqual({ ...withTags({ a: '1' }, { a: '2' }, 1) }, { a: '2' });
  assert.deepEqual(
    {
      ...withoutTags({ a: '1', b: '' }, [
        { key: 'b', value: '' },
        { key: 'a', value: '' },
      ]),
    },
    { a: '1' },
  );
});

test('a key that is named with several values is removed when it has one of them', () => {
  const removals = [
    { key: 'a', value: '1' },
    { key: 'a', value: '2' },
    { key: 'b', value: null },
    { key: 'b', value: 'other' },
  ];
  assert.deepEqual(withoutTags({ a: '1', b: 'x', c: '1' }, removals), { c: '1' });
  assert.deepEqual(withoutTags({ a: '2' }, removals), {});
  assert.deepEqual(withoutTags({ a: '3' }, removals), { a: '3' });
});

test('each volume type has its sizes, its defaults and its limits', () => {
  const plan = (some: Partial<VolumePlan>): VolumePlan | string => {
    const wish = { type: 'gp3', sizeGib: 100, iops: null, throughputMibps: null, multiAttach: false, ...some } as const;
    let planned: VolumePlan | null = null;
    const failure = failureOf(() => (planned = planVolume(wish)));
    if (planned !== null) return planned;
    return failure?.kind === 'invalid-value' || failure?.kind === 'missing' ? failure.field : 'other';
  };
  const shape = (planned: VolumePlan | string) =>
    typeof planned === 'string' ? planned : [planned.iops, planned.throughputMibps];
  const cases: readonly [Partial<VolumePlan>, unknown][] = [
    [{}, [3000, 125]],
    [{ sizeGib: 1 }, [3000, 125]],
    [{ sizeGib: 65_536 }, [3000, 125]],
    [{ sizeGib: 65_537 }, 'size'],
    [{ sizeGib: 0 }, 'size'],
    [{ sizeGib: Number.NaN }, 'size'],
    [{ iops: 50_000 }, [50_000, 125]],
    [{ iops: 50_001 }, 'iops'],
    [{ iops: 2999 }, 'iops'],
    [{ iops: 4000, throughputMibps: 1000 }, [4000, 1000]],
    [{ iops: 4000, throughputMibps: 1001 }, 'throughput'],
    [{ type: 'gp2' }, [300, null]],
    [{ type: 'gp2', sizeGib: 1 }, [100, null]],
    [{ type: 'gp2', sizeGib: 16_384 }, [16_000, null]],
    [{ type: 'gp2', sizeGib: 16_385 }, 'size'],
    [{ type: 'gp2', iops: 300 }, 'iops'],
    [{ type: 'gp2', throughputMibps: 125 }, 'throughput'],
    [{ type: 'io1' }, 'iops'],
    [{ type: 'io1', iops: 5000 }, [5000, null]],
    [{ type: 'io1', iops: 5001 }, 'iops'],
    [{ type: 'io1', sizeGib: 3, iops: 100 }, 'size'],
    [{ type: 'io2', iops: 100_000, multiAttach: true }, [100_000, null]],
    [{ type: 'gp3', multiAttach: true }, 'multi-attach'],
    [{ type: 'st1', sizeGib: 124 }, 'size'],
    [{ type: 'sc1', sizeGib: 125 }, [null, null]],
    [{ type: 'standard', sizeGib: 1024 }, [null, null]],
    [{ type: 'standard', sizeGib: 1025 }, 'size'],
  ];
  for (const [wish, expected] of cases) assert.deepEqual(shape(plan(wish)), expected, JSON.stringify(wish));
  assert.equal(parseVolumeType('gp3'), 'gp3');
  for (const type of ['GP3', 'toString', '__proto__', '']) {
    assert.deepEqual(
      failureOf(() => parseVolumeType(type)),
      { kind: 'volume-type-unknown', type },
    );
  }
  assert.equal(Object.keys(VOLUME_TYPES).length, 7);
});
