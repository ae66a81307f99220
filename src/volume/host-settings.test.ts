import assert from 'node:assert/strict';
import { test } from 'node:test';

import { DecodeError } from './host-decode.ts';
import { decodeSettings, encodeSettings } from './host-settings.ts';
import { HYDRATION_DEFAULT } from './hydrations.ts';

test('settings of a host: what is encoded is what is decoded, and equal settings are equal text', () => {
  const s3 = { bucket: 'b-1', prefix: 'a/b/', region: 'eu-west-1', endpoint: 'http://127.0.0.1:7480' };
  for (const value of [
    { nbdTcp: null, s3: null, encryptVolumes: false, hydration: { bytesPerSecond: 0 } },
    { nbdTcp: { host: '::1', port: 10_809 }, s3, encryptVolumes: true, hydration: { bytesPerSecond: 7 } },
    {
      nbdTcp: { host: '127.0.0.1', port: 0 },
      s3: { ...s3, endpoint: null },
      encryptVolumes: false,
      hydration: HYDRATION_DEFAULT,
    },
  ]) {
    assert.deepEqual(decodeSettings(encodeSettings(value)), value);
  }
  assert.equal(encodeSettings({ nbdTcp: null }), encodeSettings({ s3: null, nbdTcp: null }));
  const { bucket, ...rest } = s3;
  assert.equal(encodeSettings({ nbdTcp: null, s3 }), encodeSettings({ s3: { ...rest, bucket }, nbdTcp: null }));
  assert.notEqual(encodeSettings({ nbdTcp: null, s3 }), encodeSettings({ nbdTcp: null }));
  assert.notEqual(encodeSettings({ nbdTcp: null, hydration: { bytesPerSecond: 0 } }), encodeSettings({ nbdTcp: null }));
  assert.throws(() => decodeSettings('{"nbdTcp":null,"s3":{"bucket":"b"}}'), DecodeError);
});
