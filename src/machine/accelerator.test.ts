import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { systemClock } from '#base/clock.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';

import { condemnKvm, probeAccelerator, probeArguments } from './accelerator.ts';
import { PROBE_MARKER, probeDisk } from './accelerator-probe.ts';
import { HypervisorError } from './hypervisor.ts';
import { QemuProgram } from './qemu-program.ts';

const scratch = scratchDirectory('accelerator');

/** A program that does what QEMU would, for the probe. */
function program(name: string, script: string): string {
  const path = join(scratch, name);
  writeFileSync(path, `#!/bin/sh\necho once >> ${path}.runs\n${script}\n`);
  chmodSync(path, 0o700);
  return path;
}

function probe(path: string): Parameters<typeof probeAccelerator>[0] {
  // Any file that may be read and written stands for the device: what is run decides, and that is the program.
  return { program: path, version: 'QEMU 7.2', cachePath: `${path}.json`, clock: systemClock, kvmDevice: path };
}

test('the program of the probe comes to its end where there is a processor, emulated or not', async (t) => {
  try {
    execFileSync('qemu-system-x86_64', ['--version'], { stdio: 'ignore' });
  } catch (error) {
    if (process.env['VARVE_REQUIRE_CLIENTS'] === '1') throw error;
    t.skip('qemu-system-x86_64 is not installed');
    return;
  }
  const disk = join(scratch, 'probe.img');
  writeFileSync(disk, probeDisk());
  const qemu = spawn('qemu-system-x86_64', probeArguments('tcg', disk), { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => qemu.kill('SIGKILL'));
  let said = '';
  for await (const piece of qemu.stdout) {
    said += String(piece);
    if (said.includes(PROBE_MARKER)) break;
  }
  assert.ok(said.includes(PROBE_MARKER));
});

test('a verdict is by what the program did, and is asked for once a boot of the computer', async () => {
  const good = program('good', `echo ${PROBE_MARKER}; exec sleep 60`);
  assert.deepEqual(await probeAccelerator(probe(good)), { accelerator: 'kvm', note: null });
  assert.deepEqual(await probeAccelerator(probe(good)), { accelerator: 'kvm', note: null });
  assert.equal(readFileSync(`${good}.runs`, 'utf8'), 'once\n');
  const broken = program('broken', 'echo "KVM internal error. Suberror: 1" >&2; exec sleep 60');
  assert.match((await probeAccelerator(probe(broken))).note ?? '', /internal error/);
  const dead = program('dead', 'echo "error: failed to set MSR" >&2; exit 134');
  const verdict = await probeAccelerator(probe(dead));
  assert.equal(verdict.accelerator, 'tcg');
  assert.match(verdict.note ?? '', /failed to set MSR/);
  await condemnKvm(probe(good), 'it failed later');
  assert.deepEqual(await probeAccelerator(probe(good)), { accelerator: 'tcg', note: 'it failed later' });
});

test('without QEMU nothing runs, and the package is named', async () => {
  const qemu = new QemuProgram({
    program: join(scratch, 'nothing'),
    cachePath: join(scratch, 'x'),
    clock: systemClock,
  });
  const { accelerator, version, missing, note } = await qemu.capabilities();
  assert.deepEqual([accelerator, version, missing], [null, null, ['qemu-system-x86']]);
  assert.match(note ?? '', /apt-get install qemu-system-x86/);
  await assert.rejects(qemu.accelerator(), (error) => {
    return error instanceof HypervisorError && error.problem === 'unavailable' && /apt-get install/.test(error.message);
  });
});

test('the version is QEMU’s own, and emulation can be demanded', async () => {
  const path = program('version', 'echo "QEMU emulator version 7.2.22 (Debian 1:7.2)"; echo "Copyright"');
  const qemu = new QemuProgram({ program: path, accelerator: 'tcg', cachePath: `${path}.json`, clock: systemClock });
  const { accelerator, version } = await qemu.capabilities();
  assert.deepEqual([accelerator, version], ['tcg', 'QEMU emulator version 7.2.22']);
});
