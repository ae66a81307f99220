import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { systemRandom } from '#base/random.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import type { Hypervisor } from '#machine/hypervisor.ts';
import { hypervisorSuite } from '#machine/hypervisor.suite.ts';
import { probeDisk } from '#machine/accelerator-probe.ts';
import { QemuHypervisor } from '#machine/qemu-hypervisor.ts';

import { freePorts, ServedDisks, waitFor } from './served-disks.ts';

const MIB = 1024 * 1024;
const hasQemu = ['qemu-system-x86_64', 'nbdkit'].every((program) => {
  try {
    execFileSync(program, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
});
if (process.env['VARVE_REQUIRE_CLIENTS'] === '1') assert.ok(hasQemu, 'QEMU and nbdkit are installed');

const disposals: (() => Promise<unknown>)[] = [];
after(async () => {
  for (const dispose of disposals.toReversed()) await dispose().catch(() => {}); // The rest is to be ended as well.
});

/** Ends what a failed test left. */
async function endMachines(hypervisor: Hypervisor): Promise<void> {
  for (const { id } of await hypervisor.list()) await hypervisor.stop(id, { graceMs: 0 });
  await hypervisor[Symbol.asyncDispose]();
}

async function openIn(scratch: string): Promise<QemuHypervisor> {
  const hypervisor = await QemuHypervisor.open({
    machinesDirectory: join(scratch, 'machines'),
    socketDirectory: join(scratch, 'run'),
    network: { mode: 'user', outbound: false },
    accelerator: 'tcg',
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
  });
  disposals.push(async () => await endMachines(hypervisor));
  return hypervisor;
}

if (hasQemu) {
  hypervisorSuite('QEMU', async () => {
    const scratch = scratchDirectory('qemu');
    mkdirSync(join(scratch, 'run'));
    const disks = new ServedDisks(scratch);
    disposals.push(async () => await disks.kill());
    await disks.start();
    const hypervisor = await openIn(scratch);
    return {
      hypervisor,
      systemDisk: async () => disks.add('/dev/xvda', probeDisk(), MIB),
      newDisk: async (device) => disks.add(device, new Uint8Array(), MIB),
      freePorts,
      kill: async (id) => {
        const found = (await hypervisor.list()).find((status) => status.id === id);
        assert.ok(typeof found?.processId === 'number');
        process.kill(found.processId, 'SIGKILL');
      },
      restarted: async () => {
        await hypervisor[Symbol.asyncDispose]();
        return await openIn(scratch);
      },
      until: waitFor,
    };
  });
} else {
  test('QEMU', { skip: 'qemu-system-x86_64 or nbdkit is not installed' }, () => {});
}
