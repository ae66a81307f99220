import assert from 'node:assert/strict';
import { chmodSync, lstatSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';

import {
  openRunDirectory,
  removeStaleSocket,
  runDirectory,
  SOCKET_NAME_BYTES_MAX,
  SOCKET_PATH_BYTES_MAX,
} from './run-directory.ts';

function temporary(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'varve-run-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return directory;
}

function longData(t: TestContext): string {
  const data = join(temporary(t), 'x'.repeat(90));
  mkdirSync(data);
  return data;
}

test('sockets and locks are in run/ of the data directory, which only its owner may enter', (t) => {
  const data = temporary(t);
  const { lockDirectory, socketDirectory } = openRunDirectory(data, {});
  assert.equal(lockDirectory, join(data, 'run'));
  assert.equal(socketDirectory, lockDirectory);
  assert.equal(lstatSync(lockDirectory).mode & 0o777, 0o700);
});

test('a run directory that others may enter is closed to them', (t) => {
  const data = temporary(t);
  mkdirSync(join(data, 'run'));
  chmodSync(join(data, 'run'), 0o777);
  openRunDirectory(data, {});
  assert.equal(lstatSync(join(data, 'run')).mode & 0o777, 0o700);
});

test('a link or a file in the place of a run directory is refused', (t) => {
  const data = temporary(t);
  symlinkSync(tmpdir(), join(data, 'run'));
  assert.throws(() => openRunDirectory(data, {}), /is not a directory/);
  const other = temporary(t);
  writeFileSync(join(other, 'run'), '');
  assert.throws(() => openRunDirectory(other, {}), /is not a directory/);
});

test('a path too long for a socket is replaced by a short private directory; locks stay', (t) => {
  const data = longData(t);
  const runtime = temporary(t);
  const { lockDirectory, socketDirectory } = openRunDirectory(data, { XDG_RUNTIME_DIR: runtime });
  assert.equal(lockDirectory, join(data, 'run'));
  assert.equal(dirname(socketDirectory), runtime);
  assert.equal(lstatSync(socketDirectory).mode & 0o777, 0o700);
  assert.ok(socketDirectory.length + 1 + SOCKET_NAME_BYTES_MAX <= SOCKET_PATH_BYTES_MAX);
});

test('a short directory once chosen is found again from another environment', (t) => {
  const data = longData(t);
  const first = openRunDirectory(data, { XDG_RUNTIME_DIR: temporary(t) });
  assert.deepEqual(openRunDirectory(data, {}), first);
});

test('a short directory whose place is gone is chosen again', (t) => {
  const data = longData(t);
  const gone = temporary(t);
  openRunDirectory(data, { XDG_RUNTIME_DIR: join(gone, '.') });
  rmSync(gone, { recursive: true });
  const runtime = temporary(t);
  assert.equal(dirname(openRunDirectory(data, { XDG_RUNTIME_DIR: runtime }).socketDirectory), runtime);
  mkdirSync(gone); // For the clean-up.
});

test('two data directories never share a short directory', () => {
  const options = { environment: {}, uid: 1000 };
  const [first, second] = ['a', 'b'].map((letter) => runDirectory(`/${letter.repeat(120)}/run`, options));
  assert.notEqual(first, second);
});

test('only a socket is removed as a stale socket', async (t) => {
  const directory = temporary(t);
  const path = join(directory, 'x.sock');
  removeStaleSocket(path);
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(path, resolve));
  removeStaleSocket(path);
  assert.equal(lstatSync(path, { throwIfNoEntry: false }), undefined);
  await new Promise((resolve) => server.close(resolve));
  writeFileSync(path, 'precious');
  assert.throws(() => removeStaleSocket(path), /in the way/);
});
