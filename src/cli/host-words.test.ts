import assert from 'node:assert/strict';
import { test } from 'node:test';

import { HOST_PROTOCOL_VERSION, type Hello } from '#volume/host-protocol.ts';
import { encodeSettings, type HostSettings } from '#volume/host-settings.ts';
import { HostInUseError } from '#volume/host-supervisor.ts';

import { beginningWords, hostInUseWords } from './host-words.ts';

function living(settings: HostSettings | string): Hello {
  const encoded = typeof settings === 'string' ? settings : encodeSettings(settings);
  return { varve: 'volume-host', version: HOST_PROTOCOL_VERSION, build: '1', settings: encoded, pid: 77 };
}

test('a refusal names the options as the living host has them, who is connected, and how to go on', () => {
  const all = living({
    nbdTcp: { host: '::1', port: 10_809 },
    s3: { bucket: 'b', prefix: 'p/', region: 'eu-west-1', endpoint: 'http://h:1' },
    encryptVolumes: true,
    hydration: { bytesPerSecond: 5 * 1024 ** 2 },
  });
  const words = hostInUseWords(new HostInUseError(all, ['nbdTcp', 's3', 'encryptVolumes', 'hydration'], 2));
  for (const part of [
    '(process 77)',
    '--nbd-tcp [::1]:10809',
    '--store s3://b/p/ (http://h:1, eu-west-1)',
    '--encrypt-volumes',
    '--hydration-rate 5',
    '2 NBD clients are connected',
    '--replace-host',
  ]) {
    assert.ok(words.includes(part), `${part}: ${words}`);
  }
  const none = hostInUseWords(new HostInUseError(living({ nbdTcp: null }), ['nbdTcp', 's3', 'encryptVolumes'], 1));
  assert.match(none, /with no --nbd-tcp, no --store, no --encrypt-volumes, and 1 NBD client is connected/);
  // Of another version nothing is known but that it is one.
  const other = hostInUseWords(new HostInUseError(living('{"later": 1}'), ['program'], null));
  assert.match(other, /with another version of varve, and NBD clients may be connected/);
});

test('what became of a living host is told where there is something to tell', () => {
  assert.equal(beginningWords({ kind: 'started' }), null);
  assert.match(beginningWords({ kind: 'adopted' }) ?? '', /served all the time/);
  assert.match(beginningWords({ kind: 'configured', differing: ['hydration'] }) ?? '', /restart: --hydration-rate\.$/);
  const replaced = (clientCount: number | null) =>
    beginningWords({ kind: 'replaced', differing: ['program'], clientCount }) ?? '';
  assert.match(replaced(0), /because of another version of varve\. No client was connected\.$/);
  assert.match(replaced(1), /1 NBD client was disconnected\.$/);
  assert.match(replaced(3), /3 NBD clients were disconnected\.$/);
  assert.match(replaced(null), /Whoever was connected is disconnected\.$/);
});
