import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';

import { present } from './assert.ts';
import { ProcessLock, ProcessLockedError } from './process-lock.ts';

function lockPath(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'varve-lock-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return join(directory, 'host.lock');
}

/** A process that takes the lock, says so, and holds it until it is killed. */
async function holder(path: string) {
  const module = new URL('./process-lock.ts', import.meta.url).href;
  const source = `
    const { ProcessLock } = await import(${JSON.stringify(module)});
    globalThis.lock = ProcessLock.acquire(${JSON.stringify(path)}, 'the data');
    process.stdout.write('held');
    setInterval(() => {}, 1 << 30);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', source], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  return child;
}

test('a lock that is held is refused, also within one process', (t) => {
  const path = lockPath(t);
  using _lock = ProcessLock.acquire(path, 'the data');
  assert.throws(() => ProcessLock.acquire(path, 'the data'), ProcessLockedError);
});

test('a lock that was given back can be taken again', (t) => {
  const path = lockPath(t);
  ProcessLock.acquire(path, 'the data')[Symbol.dispose]();
  ProcessLock.acquire(path, 'the data')[Symbol.dispose]();
});

test('the error names what is locked and the process that holds it', async (t) => {
  const path = lockPath(t);
  const child = await holder(path);
  t.after(() => child.kill('SIGKILL'));
  assert.throws(
    () => ProcessLock.acquire(path, 'the data'),
    (error: Error) => error.message.startsWith(`the data is in use by process ${present(child.pid, 'it runs')} `),
  );
});

test('kill -9 of the holder frees the lock', async (t) => {
  const path = lockPath(t);
  const child = await holder(path);
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
  ProcessLock.acquire(path, 'the data')[Symbol.dispose]();
});

test('a lock file that cannot be made is trouble, not a lock that is held', (t) => {
  assert.throws(
    () => ProcessLock.acquire(join(lockPath(t), 'in-a-file-that-is-not'), 'the data'),
    (error) => !(error instanceof ProcessLockedError),
  );
});
