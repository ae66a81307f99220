import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ConfigError, readConfig } from './config.ts';

test('the store: a bucket by option or environment, and nothing half', () => {
  assert.equal(readConfig({}, {}).s3, null);
  const amazon = { bucket: 'backups', prefix: 'a/b/', region: 'us-east-1', endpoint: null };
  assert.deepEqual(readConfig({ store: 's3://backups/a/b' }, {}).s3, amazon);
  const environment = {
    VARVE_STORE: 's3://other',
    VARVE_S3_ENDPOINT: 'http://10.0.0.7:7480/',
    VARVE_S3_REGION: 'default',
  };
  const own = { bucket: 'other', prefix: '', region: 'default', endpoint: 'http://10.0.0.7:7480' };
  assert.deepEqual(readConfig({}, environment).s3, own);
  assert.deepEqual(readConfig({ store: 's3://backups', s3Region: 'eu-west-1' }, environment).s3, {
    ...own,
    bucket: 'backups',
    region: 'eu-west-1',
  });
  assert.equal(readConfig({}, { VARVE_S3_REGION: 'eu-west-1' }).s3, null, 'a region alone asks for no bucket');
  const wrong = [
    [{ store: 'backups' }, /--store: "backups" is not s3:\/\/bucket/],
    [{ store: 's3://backups/../x' }, /--store/],
    [{ store: 's3://backups', s3Endpoint: '10.0.0.7:7480' }, /--s3-endpoint/],
    [{ store: 's3://backups', s3Region: 'EU (Ireland)' }, /--s3-region/],
    [{ s3Endpoint: 'http://10.0.0.7' }, /go with --store/],
  ] as const;
  for (const [options, message] of wrong) {
    assert.throws(
      () => readConfig(options, {}),
      (error) => error instanceof ConfigError && message.test(error.message),
    );
  }
});

test('machines have addresses of the loopback, or of a network that is given', () => {
  assert.deepEqual(readConfig({}, {}).machineAddresses, { first: 0x7f_0a_00_01, count: 65_534 });
  const given = { first: 0xc0_00_02_41, count: 62 };
  assert.deepEqual(readConfig({ machineAddresses: '192.0.2.64/26' }, {}).machineAddresses, given);
  assert.deepEqual(readConfig({}, { VARVE_MACHINE_ADDRESSES: '192.0.2.64/26' }).machineAddresses, given);
  assert.throws(
    () => readConfig({ machineAddresses: '192.0.2.65/26' }, {}),
    (error) => error instanceof ConfigError && /--machine-addresses/.test(error.message),
  );
});
