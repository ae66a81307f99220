import assert from 'node:assert/strict';
import { mkdtempSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { scratchDirectory } from '#base/scratch-directory.fixture.ts';

import { requireTools } from '../clients.ts';
import { run, runOk } from '../run.ts';
import { makeSeed, TinyGuest } from './tiny-guest.ts';
import { TINY_ROOT_AT, TINY_TOOLS, tinyImage } from './tiny-image.ts';

const scratch = scratchDirectory('tiny-image');
const DISK_BYTES = 512 * 1024 * 1024;

function seedOf(directory: string, instance: string, userData: string): Promise<string> {
  const metaData = JSON.stringify({ 'instance-id': instance, 'local-hostname': `host-${instance.slice(-1)}` });
  return makeSeed(directory, { metaData, userData });
}

/** Whether the root file system of a disk needs no repair: not even its journal is replayed. */
async function assertClean(disk: string): Promise<void> {
  const checked = await run('e2fsck', ['-fn', `${disk}?offset=${TINY_ROOT_AT}`]);
  assert.equal(checked.code, 0, checked.stdout);
  assert.doesNotMatch(`${checked.stdout}${checked.stderr}`, /recover/i);
}

async function fileOf(disk: string, path: string): Promise<string> {
  return (await runOk('debugfs', ['-R', `cat ${path}`, `${disk}?offset=${TINY_ROOT_AT}`])).stdout;
}

test('a tiny guest grows into its disk, runs its user data once, is frozen and goes off in order', async (t) => {
  if (!requireTools(t, [...TINY_TOOLS, 'e2fsck', 'debugfs'])) return;
  const directory = mkdtempSync(join(scratch, 'first-'));
  const disk = join(directory, 'disk.raw');
  const frozen = join(scratch, 'frozen.raw');
  await runOk('cp', ['--sparse=always', await tinyImage(), disk]);
  truncateSync(disk, DISK_BYTES);
  const userData = '#!/bin/sh\necho "ran as $(id -un) on $(hostname)" | tee -a /root/marker\n';
  {
    const seed = await seedOf(directory, 'i-0000000000000000a', userData);
    await using guest = await TinyGuest.boot(directory, { disk, seed });
    await guest.says('tiny-init: ready (instance i-0000000000000000a, host-a');
    const said = await guest.console();
    assert.match(said, /ran as root on host-a/);
    assert.match(said, /tiny-init: user data ran \(exit 0\)/);
    using agent = await guest.agent();
    assert.deepEqual(await agent.call('guest-ping'), {});
    assert.equal(await agent.call('guest-fsfreeze-freeze'), 1);
    assert.equal(await agent.call('guest-fsfreeze-status'), 'frozen');
    await runOk('cp', ['--sparse=always', disk, frozen]);
    assert.equal(await agent.call('guest-fsfreeze-thaw'), 1);
    // A boot under the same instance id runs nothing again.
    agent.send('guest-shutdown', { mode: 'reboot' });
    await guest.says('tiny-init: ready', 2);
    assert.equal((await guest.console()).split('user data ran').length, 2);
    agent.send('guest-shutdown');
    await guest.ended();
  }
  await assertClean(disk);
  assert.equal(await fileOf(disk, '/root/marker'), 'ran as root on host-a\n');
  const { stdout } = await runOk('dumpe2fs', ['-h', `${disk}?offset=${TINY_ROOT_AT}`]);
  const blocks = Number(/Block count:\s+(\d+)/.exec(stdout)?.[1]);
  assert.ok(blocks * 4096 > DISK_BYTES - TINY_ROOT_AT - 4 * 1024 * 1024, `the root has ${blocks} blocks`);

  // What was copied while it was frozen is another machine's disk: it is whole, and its agent does not think it is frozen.
  await assertClean(frozen);
  const second = mkdtempSync(join(scratch, 'second-'));
  const cloudConfig = '#cloud-config\nruncmd:\n  - [sh, -c, "echo second on $(hostname) >> /root/marker"]\n';
  {
    const seed = await seedOf(second, 'i-0000000000000000b', cloudConfig);
    await using guest = await TinyGuest.boot(second, { disk: frozen, seed });
    await guest.says('tiny-init: ready (instance i-0000000000000000b, host-b');
    using agent = await guest.agent();
    assert.equal(await agent.call('guest-fsfreeze-status'), 'thawed');
    agent.send('guest-shutdown');
    await guest.ended();
  }
  await assertClean(frozen);
  assert.equal(await fileOf(frozen, '/root/marker'), 'ran as root on host-a\nsecond on host-b\n');
});
