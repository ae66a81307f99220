import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';

import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { SeededRandom } from '#base/random.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { VirtualClock } from '#base/virtual-clock.ts';
import { newInstanceId } from '#domain/ids.ts';

import { machinePaths, type MachineRecord } from './machine-record.ts';
import { QemuHypervisor } from './qemu-hypervisor.ts';
import { findProcess, isAlive, waitUntilGone } from './qemu-process.ts';
import { startQemu } from './start-qemu.ts';

const random = new SeededRandom(6);

interface Place {
  readonly scratch: string;
  readonly record: MachineRecord;
  readonly paths: ReturnType<typeof machinePaths>;
}

function place(name: string): Place {
  const scratch = scratchDirectory(name);
  const id = newInstanceId(random);
  const paths = machinePaths(id, { machinesDirectory: scratch, socketDirectory: scratch });
  mkdirSync(paths.directory);
  const record: MachineRecord = {
    ...{ id, cpuCount: 1, memoryMib: 64, accelerator: 'tcg', startedAtMs: 0, bootId: 'b' },
    ...{ disks: [], forwards: [], ended: null },
  };
  return { scratch, record, paths };
}

/** A process that was started as a machine's is, and has not said its number. */
async function unknownProcess(t: TestContext, { paths }: Place): Promise<number> {
  const child = spawn('/bin/sh', ['-c', 'sleep 300; :', 'qemu', '-pidfile', paths.processFile], { stdio: 'ignore' });
  t.after(() => child.kill('SIGKILL'));
  await once(child, 'spawn');
  assert.ok(child.pid !== undefined);
  return child.pid;
}

test('a process that does not say in time that it is the machine’s is ended', async () => {
  const { scratch, record, paths } = place('slow-start');
  const program = join(scratch, 'qemu');
  const own = join(scratch, 'own.pid');
  writeFileSync(program, `#!/bin/sh\necho $$ > ${own}\nexec sleep 300\n`);
  chmodSync(program, 0o700);
  const clock = new VirtualClock();
  const failed: { error: unknown } = { error: null };
  void startQemu({ program, record, paths, network: { mode: 'user', outbound: false }, clock }).catch(
    (thrown: unknown) => (failed.error = thrown),
  );
  while (!existsSync(own) || readFileSync(own, 'utf8') === '') await systemClock.sleep(5);
  const processId = Number(readFileSync(own, 'utf8'));
  while (failed.error === null) {
    await clock.advance(1000);
    await systemClock.sleep(1);
  }
  const { error } = failed;
  assert.ok(error instanceof Error && error.message.startsWith('QEMU does not start'));
  while (existsSync(`/proc/${processId}/cmdline`) && readFileSync(`/proc/${processId}/cmdline`, 'utf8') !== '') {
    await systemClock.sleep(5);
  }
});

test('a machine whose process has not said its number, or whose file is lost, is found and not started twice', async (t) => {
  const at = place('unknown');
  const processId = await unknownProcess(t, at);
  assert.equal((await findProcess(at.paths.processFile))?.processId, processId);
  const program = '/bin/false';
  const network = { mode: 'user', outbound: false } as const;
  const found = await startQemu({ ...at, program, network, clock: systemClock });
  assert.equal(found.processId, processId);
  assert.equal(await findProcess(join(at.paths.directory, 'other.pid')), null);
});

test('a machine whose record cannot be read is ended, for nobody could look after it; what there is of it is forgotten', async (t) => {
  const at = place('unreadable');
  writeFileSync(join(at.paths.directory, 'machine.json'), '{"version": 99}');
  writeFileSync(at.paths.seed, 'a secret');
  await unknownProcess(t, at);
  const process = await findProcess(at.paths.processFile);
  assert.ok(process !== null);
  await using hypervisor = await QemuHypervisor.open({
    ...{ machinesDirectory: at.scratch, socketDirectory: at.scratch, accelerator: 'tcg', program: '/bin/false' },
    ...{ network: { mode: 'user', outbound: false }, clock: systemClock, random, log: silentLog },
  });
  assert.ok(await waitUntilGone(process, systemClock, 60_000));
  assert.equal(await isAlive(process), false);
  assert.deepEqual(await hypervisor.list(), []);
  await hypervisor.forget(at.record.id);
  assert.equal(existsSync(at.paths.directory), false);
});
