import assert from 'node:assert/strict';
import { test } from 'node:test';

import { MASTER_KEY_DEFAULT } from '#chunk/master-key-source.ts';

import { parseOutpostId } from '#domain/outpost.ts';

import { DecodeError } from './host-decode.ts';
import { decodeSettings, differingSettings, encodeSettings, type HostSettings, isLive } from './host-settings.ts';
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
    assert.deepEqual(decodeSettings(encodeSettings(value)), { masterKey: MASTER_KEY_DEFAULT, outposts: [], ...value });
  }
  assert.equal(encodeSettings({ nbdTcp: null }), encodeSettings({ s3: null, nbdTcp: null }));
  const { bucket, ...rest } = s3;
  assert.equal(encodeSettings({ nbdTcp: null, s3 }), encodeSettings({ s3: { ...rest, bucket }, nbdTcp: null }));
  assert.notEqual(encodeSettings({ nbdTcp: null, s3 }), encodeSettings({ nbdTcp: null }));
  assert.notEqual(encodeSettings({ nbdTcp: null, hydration: { bytesPerSecond: 0 } }), encodeSettings({ nbdTcp: null }));
  assert.throws(() => decodeSettings('{"nbdTcp":null,"s3":{"bucket":"b"}}'), DecodeError);
});

test('in what a living host differs, and whether it can take that up, is told for every setting', () => {
  const living: Required<HostSettings> = {
    nbdTcp: null,
    s3: null,
    encryptVolumes: false,
    hydration: HYDRATION_DEFAULT,
    masterKey: MASTER_KEY_DEFAULT,
    outposts: [],
  };
  const others = {
    nbdTcp: { host: '127.0.0.1', port: 1 },
    s3: { bucket: 'b-1', prefix: '', region: 'eu-west-1', endpoint: null },
    encryptVolumes: true,
    hydration: { bytesPerSecond: 1 },
    masterKey: { kind: 'environment' },
    outposts: [{ id: parseOutpostId('op-0123456789abcdef0') ?? assert.fail(), directory: '/srv/site', s3: null }],
  } as const;
  const had = encodeSettings(living);
  assert.deepEqual(differingSettings(had, had), []);
  const names = ['nbdTcp', 's3', 'encryptVolumes', 'hydration', 'masterKey', 'outposts'] as const;
  for (const name of names) {
    const wanted = encodeSettings({ ...living, [name]: others[name] });
    assert.deepEqual(differingSettings(had, wanted), [name]);
    assert.deepEqual(differingSettings(wanted, had), [name]);
    assert.equal(isLive(name, had), ['nbdTcp', 'encryptVolumes', 'hydration'].includes(name), name);
  }
  const all = encodeSettings({ ...living, ...others });
  assert.deepEqual(differingSettings(had, all), names);
  // A port that is open has clients that another would lose; settings of another program are not compared.
  assert.equal(isLive('nbdTcp', all), false);
  assert.equal(isLive('program', had), false);
  assert.deepEqual(differingSettings('{"of": "a later version"}', had), ['program']);
  assert.deepEqual(differingSettings('no JSON', had), ['program']);
});
