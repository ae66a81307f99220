import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { systemClock } from '#base/clock.ts';
import { SeededRandom } from '#base/random.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { newInstanceId, newVolumeId } from '#domain/ids.ts';

import { consoleTail, removeConsole, trimConsole } from './console-log.ts';
import { decodeRecord, type MachineRecord, recordPath, writeRecord } from './machine-record.ts';
import { isAlive, kill, processOfFile, spawnDetached, waitUntilGone } from './qemu-process.ts';

const scratch = scratchDirectory('record');
const random = new SeededRandom(2);
const volume = newVolumeId(random);
const record: MachineRecord = {
  id: newInstanceId(random),
  cpuCount: 1,
  memoryMib: 512,
  accelerator: 'tcg',
  startedAtMs: 1_700_000_000_000,
  bootId: 'b',
  disks: [{ volume, socketPath: '/s', exportName: volume, device: '/dev/xvda', place: 1, isLingering: false }],
  forwards: [{ protocol: 'tcp', hostAddress: '127.0.0.1', hostPort: 2222, guestPort: 22 }],
  ended: null,
};

test('a record is read as it was written; what is not one is none', async () => {
  for (const written of [
    record,
    { ...record, ended: { reason: null, isClean: true } },
    { ...record, ended: { reason: 'killed', isClean: false } },
  ]) {
    await writeRecord(scratch, written);
    assert.deepEqual(decodeRecord(readFileSync(recordPath(scratch), 'utf8')), written);
  }
  const text = JSON.stringify({ version: 1, ...record });
  assert.ok(decodeRecord(text) !== null);
  const older = text.replace('"ended":null', '"ended":{"reason":null}');
  assert.deepEqual(decodeRecord(older)?.ended, { reason: null, isClean: false }, 'nobody knows');
  const wrong = [
    ['"version":1', '"version":2'],
    ['"tcg"', '"fast"'],
    ['"place":1', '"place":0'],
    ['"place":1', '"place":27'],
    ['"127.0.0.1"', '"::1 -device x"'],
    [record.id, '../../etc'],
    ['"ended":null', '"ended":1'],
    [volume, 'vol-x'],
  ] as const;
  for (const [from, to] of wrong) assert.equal(decodeRecord(text.replace(from, to)), null, to);
  for (let end = 0; end < text.length; end += 7) assert.equal(decodeRecord(text.slice(0, end)), null);
});

test('a process is known by its file, and not when another has its number', async (t) => {
  const directory = join(scratch, 'p');
  mkdirSync(directory);
  const file = join(directory, 'qemu.pid');
  const script = 'echo complaint >&2; echo $$ > "$1"; sleep 300; :';
  await spawnDetached('/bin/sh', ['-c', script, 'sh', file], { logPath: join(directory, 'log') });
  let found = await processOfFile(file);
  while (found === null) {
    await systemClock.sleep(5);
    found = await processOfFile(file);
  }
  const identity = found;
  t.after(async () => await kill(identity));
  assert.equal(readFileSync(join(directory, 'log'), 'utf8'), 'complaint\n');
  assert.ok(await isAlive(identity));
  const score = Number(readFileSync(`/proc/${identity.processId}/oom_score_adj`, 'utf8'));
  assert.ok(score >= 500, 'where memory is short, it goes first');
  assert.ok(!(await isAlive({ ...identity, startTicks: identity.startTicks + 1 })), 'a number that was used again');
  process.kill(-identity.processId, 'SIGKILL'); // It leads a group of its own.
  assert.ok(await waitUntilGone(identity, systemClock, 60_000));
  assert.equal(await processOfFile(file), null);

  const other = spawn('sleep', ['300']);
  t.after(() => other.kill('SIGKILL'));
  await once(other, 'spawn');
  writeFileSync(file, `${other.pid}\n`);
  assert.equal(await processOfFile(file), null, 'somebody who does not know the file');
  for (const text of ['', 'x', '-1', '1', '99999999']) {
    writeFileSync(file, text);
    assert.equal(await processOfFile(file), null);
  }
});

test('a console that says much keeps its end', async () => {
  const path = join(scratch, 'console.log');
  assert.equal((await consoleTail(path, 100)).length, 0);
  appendFileSync(path, Buffer.alloc(5 * 1024 * 1024, 'a'));
  appendFileSync(path, 'end of the first part.');
  await trimConsole(path);
  assert.equal(readFileSync(path).length, 0);
  appendFileSync(path, 'second part');
  await trimConsole(path);
  assert.equal(String(await consoleTail(path, 11)), 'second part');
  assert.equal(String(await consoleTail(path, 33)), 'end of the first part.second part');
  assert.equal((await consoleTail(path, 100 * 1024 * 1024)).length, 1024 * 1024 + 11);
  await removeConsole(path);
  assert.equal((await consoleTail(path, 100)).length, 0);
});
