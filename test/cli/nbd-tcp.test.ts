import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError, readConfig } from '#src/config.ts';

test('--nbd-tcp takes a port, of this machine unless another address is given', () => {
  const cases = [
    ['10809', { host: '127.0.0.1', port: 10_809 }],
    ['0', { host: '127.0.0.1', port: 0 }],
    ['0.0.0.0:1', { host: '0.0.0.0', port: 1 }],
    ['disks.example.org:10809', { host: 'disks.example.org', port: 10_809 }],
    ['[::1]:10809', { host: '::1', port: 10_809 }],
  ] as const;
  for (const [nbdTcp, expected] of cases) assert.deepEqual(readConfig({ nbdTcp }, {}).nbdTcp, expected);
  assert.equal(readConfig({}, {}).nbdTcp, null);
  assert.deepEqual(readConfig({}, { VARVE_NBD_TCP: '7' }).nbdTcp, { host: '127.0.0.1', port: 7 });
  for (const nbdTcp of [':', 'a:b', '::1:5', '70000', '-1', 'host:', 'a b:1', '[::1]', '1:2:3']) {
    assert.throws(() => readConfig({ nbdTcp }, {}), ConfigError, nbdTcp);
  }
});
