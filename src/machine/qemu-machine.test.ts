import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';

import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { SeededRandom } from '#base/random.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { VirtualClock } from '#base/virtual-clock.ts';
import { newInstanceId } from '#domain/ids.ts';

import { JsonLinesServer } from './json-lines.fake.ts';
import { machinePaths } from './machine-record.ts';
import { QemuMachine } from './qemu-machine.ts';
import { processOfFile } from './qemu-process.ts';

const scratch = scratchDirectory('machine');

test('a machine that a full disk holds is let go on again and again, and not more often than is good', async (t) => {
  const id = newInstanceId(new SeededRandom(4));
  const paths = machinePaths(id, { machinesDirectory: scratch, socketDirectory: scratch });
  mkdirSync(paths.directory);
  const child = spawn('/bin/sh', ['-c', 'sleep 300', 'sh', paths.processFile], { stdio: 'ignore' });
  t.after(() => child.kill('SIGKILL'));
  await once(child, 'spawn');
  writeFileSync(paths.processFile, String(child.pid));
  const process = await processOfFile(paths.processFile);
  assert.ok(process !== null);

  let isFull = true;
  let status = 'io-error';
  let contCount = 0;
  await using _server = await JsonLinesServer.listen(paths.monitorSocket, {
    greeting: '{"QMP": {}}',
    onRequest: ({ execute, id: command }, send) => {
      const say = (value: object): void => send(`${JSON.stringify(value)}\n`);
      if (execute === 'cont') {
        contCount += 1;
        status = isFull ? 'io-error' : 'running';
        say({ event: 'RESUME', data: {} });
        if (isFull) say({ event: 'STOP', data: {} });
      }
      say({ return: execute === 'query-status' ? { status } : [], id: command });
    },
  });
  const clock = new VirtualClock();
  using machine = new QemuMachine({
    record: {
      ...{ id, cpuCount: 1, memoryMib: 64, accelerator: 'tcg', startedAtMs: 0, bootId: 'b' },
      ...{ disks: [], forwards: [], ended: null },
    },
    ...{ process, paths, clock, log: silentLog },
    random: new SeededRandom(5),
    onChange: () => {},
  });
  await machine.monitor();
  const state = (): string => machine.state;
  assert.equal(state(), 'paused');
  for (let second = 0; second < 30; second += 1) {
    await machine.tend();
    await clock.advance(1000);
  }
  assert.ok(contCount >= 2 && contCount <= 4, `it was let go on ${contCount} times`);
  isFull = false;
  const deadlineMs = systemClock.monotonicMs() + 30_000;
  while (state() !== 'running' && systemClock.monotonicMs() < deadlineMs) {
    await clock.advance(1000);
    await machine.tend();
  }
  assert.equal(state(), 'running');
});
