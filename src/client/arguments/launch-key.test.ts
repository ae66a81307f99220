import assert from 'node:assert/strict';
import { constants, generateKeyPairSync, publicEncrypt } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { withDecryptedPassword } from './launch-key.ts';
import { parseCommand } from './parse-command.ts';
import { surroundingsOf } from './surroundings.fixture.ts';

test('a password is decrypted with the key of the instance', async () => {
  const directory = scratchDirectory('client-launch-key');
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });
  const keyPath = join(directory, 'key.pem');
  writeFileSync(keyPath, privateKey.export({ type: 'pkcs1', format: 'pem' }));
  const sealed = publicEncrypt({ key: publicKey, padding: constants.RSA_PKCS1_PADDING }, Buffer.from('pässword'));
  const reply = { InstanceId: 'i-1', PasswordData: sealed.toString('base64') };
  assert.deepEqual(withDecryptedPassword(reply, keyPath), { InstanceId: 'i-1', PasswordData: 'pässword' });
  assert.deepEqual(withDecryptedPassword({ PasswordData: '' }, keyPath), { PasswordData: '' });
  const { surroundings } = surroundingsOf();
  const words = ['ec2', 'get-password-data', '--instance-id', 'i-1', '--priv-launch-key', keyPath];
  const command = await parseCommand(words, surroundings);
  assert.equal(command.kind, 'call');
  assert.equal(command.launchKey, keyPath);
});

test('a file that is no key is told', () => {
  const keyPath = join(scratchDirectory('client-launch-key'), 'key.pem');
  writeFileSync(keyPath, 'no key');
  assert.throws(() => withDecryptedPassword({ PasswordData: 'eHg=' }, keyPath), {
    message: '\nUnable to decrypt password data using provided private key file.\n',
    exitCode: 255,
  });
});
