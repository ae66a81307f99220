import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ConfigError, readConfig } from './config.ts';
import { parseOutpostSettings } from './outpost-settings.ts';

const PLANT = { name: 'plant-7', region: 'eu-central-1', zone: 'eu-central-1b', store: '/srv/plant-7' };
const REGION = { directory: '/var/varve/objects', s3: null };

function parse(...outposts: readonly object[]) {
  return parseOutpostSettings(JSON.stringify(outposts), REGION);
}

test('Outposts: a name, a place, a store of their own, and an id that follows from name and region alone', () => {
  const [plant] = parse(PLANT);
  assert.match(plant?.id ?? '', /^op-0[0-9a-f]{16}$/);
  assert.deepEqual(plant, {
    id: plant?.id,
    name: 'plant-7',
    region: 'eu-central-1',
    zone: 'eu-central-1b',
    account: null,
    directory: '/srv/plant-7',
    s3: null,
  });
  const [moved] = parse({ ...PLANT, zone: 'eu-central-1a', store: 's3://bucket/p', account: '123456789012' });
  assert.equal(moved?.id, plant?.id);
  assert.deepEqual(moved?.s3, { bucket: 'bucket', prefix: 'p/', region: 'us-east-1', endpoint: null });
  assert.equal(moved?.account, '123456789012');
  const [far] = parse({ ...PLANT, region: 'eu-west-1', zone: 'eu-west-1a' });
  assert.notEqual(far?.id, plant?.id);
});

test('Outposts that cannot be, or whose stores are not their own, are refused with a sentence', () => {
  const bucket = { ...PLANT, name: 'other', store: 's3://bucket/p' };
  for (const [outposts, message] of [
    [[{ ...PLANT, name: 'plant 7' }], /is no name/],
    [[{ ...PLANT, region: 'mars' }], /no region "mars"/],
    [[{ ...PLANT, zone: 'us-east-1a' }], /no zone "us-east-1a" in eu-central-1/],
    [[{ ...PLANT, account: '12' }], /"12" is not an account/],
    [[{ ...PLANT, store: '' }], /its store is a directory/],
    [[{ ...PLANT, stores: '/x' }], /there is no "stores"/],
    [[{ ...PLANT, store: 's3://UP' }], /is not s3:\/\/bucket/],
    [[PLANT, { ...PLANT, store: '/srv/2' }], /have one name/],
    [[PLANT, { ...PLANT, name: 'b', store: '/srv/plant-7/b' }], /one in the other/],
    [[{ ...PLANT, store: '/var/varve' }], /the region and plant-7 are one in the other/],
    [[bucket, { ...bucket, name: 'b', store: 's3://bucket' }], /one in the other/],
    [[bucket, { ...bucket, name: 'b', s3Endpoint: 'https://s3.eu-central-1.amazonaws.com' }], /one in the other/],
    [[{ ...PLANT, store: '/' }], /one in the other/],
    [['plant-7'], /is an object/],
  ] as const) {
    assert.throws(() => parse(...(outposts as readonly object[])), { message });
  }
  assert.throws(() => parseOutpostSettings('{}', REGION), { message: /is not a list/ });
  // Beside each other, and of another server, they are none of each other.
  const endpoint = 'http://127.0.0.1:9000';
  assert.equal(parse(bucket, { ...bucket, name: 'b', store: 's3://bucket/q' }).length, 2);
  assert.equal(parse(bucket, { ...bucket, name: 'b', s3Endpoint: endpoint }).length, 2);
  assert.equal(parse(PLANT, { ...PLANT, name: 'b', store: '/srv/plant-77' }).length, 2);
});

test('Outposts are in a file, or in the option or the environment themselves', () => {
  assert.deepEqual(readConfig({}, {}).outposts, []);
  const text = JSON.stringify([PLANT]);
  assert.equal(readConfig({ outposts: text }, {}).outposts[0]?.name, 'plant-7');
  assert.equal(readConfig({}, { VARVE_OUTPOSTS: text }).outposts[0]?.name, 'plant-7');
  const within = JSON.stringify([{ ...PLANT, store: 'data/objects/plant' }]);
  for (const wrong of ['/nowhere/outposts.json', '[{}]', within]) {
    assert.throws(
      () => readConfig({ data: 'data', outposts: wrong }, {}),
      (error) => error instanceof ConfigError && error.message.startsWith('--outposts'),
    );
  }
});
