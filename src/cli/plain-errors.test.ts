import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createConnection, createServer } from 'node:net';
import { test } from 'node:test';

import { plainError, plainWords } from './plain-errors.ts';

async function errorOf(work: Promise<unknown>): Promise<unknown> {
  return await work.then(
    () => assert.fail('it is to fail'),
    (error: unknown) => error,
  );
}

async function failedConnection(path: string): Promise<unknown> {
  return await new Promise((resolve) => createConnection(path).on('error', resolve));
}

test('what the system really answers is put in words, with its code behind', async () => {
  const missing = await errorOf(readFile('/nowhere at all/key'));
  assert.equal(plainError(missing), '/nowhere at all/key: there is no such file or directory (ENOENT)');
  assert.equal(plainError(await errorOf(readFile('/'))), 'it is a directory (EISDIR)');
  assert.equal(
    plainError(new Error('the key cannot be read', { cause: missing })),
    'the key cannot be read: /nowhere at all/key: there is no such file or directory (ENOENT)',
  );
  assert.equal(
    plainError(await failedConnection('/nowhere.sock')),
    '/nowhere.sock: there is no such file or directory (ENOENT)',
  );
});

test('a port that is taken, as Node says it', async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  const address = taken.address();
  assert.ok(address !== null && typeof address === 'object');
  const error = await new Promise((resolve) => createServer().on('error', resolve).listen(address.port, '127.0.0.1'));
  taken.close();
  assert.equal(plainError(error), `127.0.0.1:${address.port}: another program listens there (EADDRINUSE)`);
});

test('other texts stay as they are', () => {
  for (const text of ['there is no disk "x"', 'EVERYTHING: fine, really', 'EWHAT: odd thing, open', '']) {
    assert.equal(plainWords(text), text);
  }
  assert.equal(
    plainWords("EXDEV: cross-device link not permitted, rename '/a' -> '/b'"),
    "EXDEV: cross-device link not permitted, rename '/a' -> '/b'",
  );
  assert.equal(
    plainWords("EACCES: permission denied, rename '/a' -> '/b'"),
    '/a to /b: this user may not (permission denied) (EACCES)',
  );
});
