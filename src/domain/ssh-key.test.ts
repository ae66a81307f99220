import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { fingerprintOf, keyObjectOf, parsePublicKey, privateKeyFile, publicKeyLine, sshPublicKey } from './ssh-key.ts';

const hasSshKeygen = spawnSync('ssh-keygen', ['-?']).error === undefined;

function newKey(type: 'rsa' | 'ed25519') {
  return type === 'rsa'
    ? generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
    : generateKeyPairSync('ed25519').privateKey;
}

for (const type of ['rsa', 'ed25519'] as const) {
  test(`a key of ${type} is written and read again, with its comment or in base64`, () => {
    const key = sshPublicKey(newKey(type));
    const line = publicKeyLine(key, 'me@here and\nthere');
    assert.match(line, new RegExp(`^ssh-${type} [A-Za-z0-9+/=]+ me@here and there$`));
    for (const text of [
      line,
      `${line}\r\n`,
      line.split(' ').slice(0, 2).join(' '),
      Buffer.from(line).toString('base64'),
    ]) {
      assert.deepEqual(parsePublicKey(text), key);
    }
    assert.deepEqual(sshPublicKey(keyObjectOf(key)), key);
  });

  test(
    `ssh-keygen reads both halves of a key of ${type}, and agrees on its fingerprint`,
    { skip: !hasSshKeygen },
    () => {
      const directory = scratchDirectory('ssh-key');
      const privateKey = newKey(type);
      const key = sshPublicKey(privateKey);
      const path = join(directory, `id-${type}`);
      writeFileSync(path, privateKeyFile(privateKey, 'varve'));
      chmodSync(path, 0o600);
      const derived = execFileSync('ssh-keygen', ['-y', '-f', path], { encoding: 'utf8' });
      assert.deepEqual(parsePublicKey(derived), key);
      const public_ = `${path}.pub`;
      writeFileSync(public_, `${publicKeyLine(key, 'varve')}\n`);
      const told = execFileSync('ssh-keygen', ['-l', '-f', public_], { encoding: 'utf8' });
      if (type === 'ed25519') {
        assert.ok(told.includes(fingerprintOf(key, privateKey).replaceAll('=', '')), told);
      } else {
        assert.match(fingerprintOf(key, privateKey), /^(?:[0-9a-f]{2}:){19}[0-9a-f]{2}$/);
        assert.match(fingerprintOf(key, null), /^(?:[0-9a-f]{2}:){15}[0-9a-f]{2}$/);
      }
    },
  );
}

test('what is no public key is none', () => {
  const line = publicKeyLine(sshPublicKey(newKey('ed25519')), 'x');
  const blob = line.split(' ')[1] ?? '';
  const cut = Buffer.from(blob, 'base64').subarray(0, -1).toString('base64');
  const long = Buffer.concat([Buffer.from(blob, 'base64'), Buffer.from([0])]).toString('base64');
  const words = ['', 'ssh-rsa', `ssh-rsa ${blob}`, `ssh-dss ${blob}`, `ssh-ed25519 ${cut}`, `ssh-ed25519 ${long}`];
  words.push(`${line}\n${line}`, `command="id" ${line}`, 'AAAA', `ssh-ed25519 ${'A'.repeat(8192)}`);
  for (const text of words) assert.equal(parsePublicKey(text), null, text.slice(0, 60));
});
