import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, constants, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { systemClock } from '#base/clock.ts';
import { systemRandom } from '#base/random.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { type InstanceId, newInstanceId } from '#domain/ids.ts';
import type { Hypervisor, MachineDisk, MachineSpec } from '#machine/hypervisor.ts';
import { statusOf } from '#machine/hypervisor.suite.ts';

import { requireTools } from '../clients.ts';
import { run } from '../run.ts';
import { ConsoleShell, endMachines, openHypervisor } from './open-hypervisor.ts';
import { freePorts, ServedDisks, waitFor } from './served-disks.ts';
import { TINY_ROOT_AT, TINY_TOOLS, tinyImage } from './tiny-image.ts';

const MIB = 1024 * 1024;
const scratch = scratchDirectory('guest');
const disks = new ServedDisks(scratch);
const running: { hypervisor: Hypervisor | null } = { hypervisor: null };
after(async () => {
  if (running.hypervisor !== null) await endMachines(running.hypervisor).catch(() => {}); // Then its disks all the same.
  await disks.kill();
});

function specOf(id: InstanceId, system: MachineDisk, more: Partial<MachineSpec> = {}): MachineSpec {
  return {
    id,
    cpuCount: 1,
    memoryMib: 128,
    disks: [system],
    seed: { instance: id, hostName: `host-${id.slice(-4)}`, publicKeys: [], userData: null },
    forwards: [],
    ...more,
  };
}

async function booted(hypervisor: Hypervisor, id: InstanceId, count = 1): Promise<void> {
  const ready = `tiny-init: ready (instance ${id}`;
  const said = async (): Promise<string> => (await hypervisor.console(id, MIB)).toString('latin1');
  try {
    await waitFor(`${id} is ready`, async () => (await said()).split(ready).length > count);
  } catch (error) {
    throw new Error(`its console: ${(await said()).slice(-2000)}`, { cause: error });
  }
  await waitFor('its agent answers', async () => (await statusOf(hypervisor, id))?.agent === true);
}

/** The text of e2fsck's verdict on the root file system in a disk's file; it never repairs. */
async function checked(path: string): Promise<{ readonly code: number | null; readonly said: string }> {
  const { code, stdout, stderr } = await run('e2fsck', ['-fn', `${path}?offset=${TINY_ROOT_AT}`]);
  return { code, said: `${stdout}${stderr}` };
}

test('a guest boots from its volume, gets and loses disks, is frozen for a copy, and lives through trouble', async (t) => {
  if (!requireTools(t, [...TINY_TOOLS, 'nbdkit', 'e2fsck'])) return;
  await disks.start();
  let hypervisor: Hypervisor = await openHypervisor(scratch);
  running.hypervisor = hypervisor;
  const image = readFileSync(await tinyImage());
  const system = disks.add('/dev/sda1', image, 256 * MIB);
  const id = newInstanceId(systemRandom);
  const userData = Buffer.from(
    '#!/bin/sh\necho "user data of $(hostname): $(cat /sys/class/block/vda/size)" | tee /root/marker\n',
  );
  const [port] = await freePorts(1);
  assert.ok(port !== undefined);
  const spec = specOf(id, system, {
    seed: { instance: id, hostName: 'first', publicKeys: ['ssh-ed25519 AAAAC3Nz me: "x"\\'], userData },
    forwards: [{ protocol: 'tcp', hostAddress: '127.0.0.1', hostPort: port, guestPort: 22 }],
  });
  await hypervisor.start(spec);
  await booted(hypervisor, id);
  const frozen = join(scratch, 'frozen.raw');
  {
    using shell = new ConsoleShell(hypervisor, id, scratch);

    await t.test('its seed reached it: user data, host name, keys', async () => {
      assert.equal(await shell.run('cat /root/marker'), `user data of first: ${(256 * MIB) / 512}\n`);
      assert.equal(await shell.run('cat /root/.ssh/authorized_keys'), 'ssh-ed25519 AAAAC3Nz me-x\n');
      assert.equal(await shell.run('cat /sys/class/block/vda/serial; echo'), `${system.volume.replace('-', '')}\n`);
    });

    await t.test('its port is forwarded, and nothing goes out', async () => {
      const client = connect(port, '127.0.0.1');
      const [banner] = await once(client, 'data');
      client.destroy();
      assert.match(String(banner), /^SSH-2\.0/);
      const blocked = await shell.run('nc -w 3 10.0.2.2 22 < /dev/null && echo reached || echo blocked');
      assert.match(blocked, /blocked/);
    });

    await t.test('what it uses is measured', async () => {
      const usage = await hypervisor.usage(id);
      assert.ok(usage !== null && usage.cpuSeconds > 0.1);
      assert.ok(usage.receivedBytes !== null && usage.sentBytes !== null && usage.sentBytes > 0);
    });

    await t.test('a disk is plugged in under the device that was asked for, and out again', async () => {
      const disk = disks.add('/dev/xvdf', new Uint8Array(), 64 * MIB);
      await hypervisor.attach(id, disk);
      const link =
        'until [ -b /dev/xvdf ]; do sleep 0.1; done; cat /sys/class/block/$(basename $(readlink /dev/xvdf))/serial; echo';
      assert.equal(await shell.run(link), `${disk.volume.replace('-', '')}\n`);
      await shell.run('mke2fs -q -t ext4 /dev/xvdf && mount /dev/xvdf /mnt && echo kept > /mnt/file && umount /mnt');
      await hypervisor.detach(id, disk.volume, { graceMs: 60_000, force: false });
      assert.deepEqual((await statusOf(hypervisor, id))?.volumes, [system.volume]);
      assert.equal((await run('debugfs', ['-R', 'cat /file', disks.pathOf(disk)])).stdout, 'kept\n');
      await shell.run('until [ ! -e /dev/xvdf ]; do sleep 0.1; done');
    });

    await t.test('frozen while it writes, a copy of its disk needs no repair; then it goes on', async () => {
      await shell.run('sh -c "while :; do date >> /root/log; sync; done > /dev/null 2>&1 &"');
      {
        await using quiesced = await hypervisor.quiesce(id, { timeoutMs: 60_000 });
        assert.deepEqual([quiesced.consistency, quiesced.note], ['filesystem', null]);
        copyFileSync(disks.pathOf(system), frozen, constants.COPYFILE_FICLONE);
        assert.ok(quiesced.isHeld());
      }
      const { code, said } = await checked(frozen);
      assert.equal(code, 0, said);
      assert.doesNotMatch(said, /recover/i);
      const size = async (): Promise<number> => Number(await shell.run('wc -c < /root/log'));
      const before = await size();
      await waitFor('it writes on', async () => (await size()) > before);
    });

    await t.test('nobody lets it go: its time is over, and it goes on by itself', async () => {
      const quiesced = await hypervisor.quiesce(id, { timeoutMs: 3_000 });
      await waitFor('it is not held', async () => !quiesced.isHeld());
      assert.match(await shell.run('touch /root/thawed && sync && echo done'), /done/);
      await quiesced[Symbol.asyncDispose]();
    });

    await t.test('its NBD server is killed and comes back: it sees no error', async () => {
      const mark = await shell.begin('dd if=/dev/urandom of=/root/big bs=64k count=100 conv=fsync; echo "code $?"');
      await disks.kill();
      await systemClock.sleep(500);
      await disks.start();
      assert.match(await shell.end(mark), /code 0/);
      assert.doesNotMatch(await shell.run('dmesg'), /I\/O error/);
    });
  }

  await t.test('whoever froze it is killed: the next server thaws it', async () => {
    await hypervisor[Symbol.asyncDispose]();
    const doomed = spawn(process.execPath, [join(import.meta.dirname, 'freeze-and-die.ts'), scratch, id], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [said] = await once(doomed.stdout, 'data');
    doomed.kill('SIGKILL');
    await once(doomed, 'exit');
    assert.match(String(said), /^filesystem/);
    hypervisor = await openHypervisor(scratch);
    running.hypervisor = hypervisor;
    assert.equal((await statusOf(hypervisor, id))?.state, 'running');
    using shell = new ConsoleShell(hypervisor, id, scratch);
    assert.match(await shell.run('touch /root/found && sync && echo done'), /done/);
  });

  await t.test('it shuts down by itself: that is what is said of it', async () => {
    const heard: InstanceId[] = [];
    hypervisor.watch((changed) => heard.push(changed));
    using shell = new ConsoleShell(hypervisor, id, scratch);
    await shell.begin('poweroff');
    await waitFor('it is stopped', async () => (await statusOf(hypervisor, id))?.state === 'stopped');
    assert.equal((await statusOf(hypervisor, id))?.reason, 'the guest shut down');
    await waitFor('watchers hear of it', async () => heard.includes(id));
    assert.equal((await checked(disks.pathOf(system))).code, 0);
  });

  await t.test('another boots from the copy; it ends at once, though its NBD server went first', async () => {
    const copy = disks.add('/dev/xvda', readFileSync(frozen), 256 * MIB);
    const other = newInstanceId(systemRandom);
    await hypervisor.start(specOf(other, copy, { forwards: spec.forwards }));
    await booted(hypervisor, other);
    {
      using shell = new ConsoleShell(hypervisor, other, scratch);
      assert.equal(await shell.run('cat /root/marker'), `user data of first: ${(256 * MIB) / 512}\n`);
      await using quiesced = await hypervisor.quiesce(other, { timeoutMs: 60_000 });
      assert.equal(quiesced.consistency, 'filesystem', 'its agent does not remember that it was frozen');
    }
    const begunMs = systemClock.monotonicMs();
    {
      using shell = new ConsoleShell(hypervisor, other, scratch);
      await shell.begin('dd if=/dev/urandom of=/root/big bs=64k count=1000 conv=fsync');
      await disks.kill();
      await hypervisor.stop(other, { graceMs: 0 });
    }
    const tookMs = systemClock.monotonicMs() - begunMs;
    assert.ok(tookMs < 25_000, `it took ${tookMs} ms: as long as QEMU waits for its server`);
    assert.equal((await statusOf(hypervisor, other))?.state, 'stopped');
    await hypervisor.forget(other);
    await hypervisor.forget(id);
  });
});
