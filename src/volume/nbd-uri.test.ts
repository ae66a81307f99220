import assert from 'node:assert/strict';
import { test } from 'node:test';

import { nbdsUri, nbdUri } from './nbd-uri.ts';

test('addresses name the export, and what is special in a path or a name is escaped', () => {
  assert.equal(nbdUri('vol-1', '/run/a b/vol-1.sock'), 'nbd+unix:///vol-1?socket=/run/a%20b/vol-1.sock');
  const at = { identity: 'vol-1.5f', host: '127.0.0.1', port: 10_809, exportName: 'vol-1', pskPath: '/k/keys.psk' };
  assert.equal(nbdsUri(at), 'nbds://vol-1.5f@127.0.0.1:10809/vol-1?tls-psk-file=/k/keys.psk');
  const odd = nbdsUri({ ...at, host: '::1', identity: 'a@b:c', pskPath: '/k&x=1/keys.psk' });
  assert.equal(odd, 'nbds://a%40b%3Ac@[::1]:10809/vol-1?tls-psk-file=/k%26x%3D1/keys.psk');
});
