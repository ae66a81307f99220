import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test, type TestContext } from 'node:test';

import { scratchDirectory } from '#base/scratch-directory.fixture.ts';

import { requireTools } from '../clients.ts';
import { run, runOk, type RunResult } from '../run.ts';
import { RunningServer } from '../running-server.ts';
import { Machines, ssh } from './machine-server.ts';
import { waitFor } from './served-disks.ts';
import { TINY_ROOT_AT, TINY_TOOLS, tinyImage } from './tiny-image.ts';

/*
 * A server, its machines, and the real `aws`: rows of the pages on snapshots of instances that only a guest can prove. Guests
 * are emulated, so one server and few boots serve all of it.
 */

const scratch = scratchDirectory('instances');
const data = join(scratch, 'data');

/** What a process of the server's may hold, ended last of all. */
interface Testbed {
  server: RunningServer;
  readonly machines: Machines;
}

let open: Testbed | null = null;

after(async () => {
  if (open === null) return;
  await open.machines[Symbol.asyncDispose]();
  const host = await open.server.hostProcessId();
  await open.server.stop();
  if (host > 1) await run('kill', ['-9', String(host)]);
});

async function start(): Promise<Testbed> {
  const server = await RunningServer.start({ data });
  open = { server, machines: new Machines(data, (words) => server.aws(words)) };
  const words = ['--name', 'Tiny Linux', '--id', 'tiny', '--user', 'admin'];
  const { code, stderr } = await server.varve(['blueprint', 'import', await tinyImage(), ...words]);
  assert.equal(code, 0, stderr);
  return open;
}

interface Operation {
  readonly id: string;
  readonly resourceName: string;
  readonly resourceType: string;
  readonly operationType: string;
  readonly operationDetails?: string;
  readonly status: string;
  readonly isTerminal: boolean;
  readonly location: { readonly availabilityZone: string };
}

interface Operations {
  readonly operations: readonly Operation[];
}

function summary({ operations }: Operations): readonly string[] {
  return operations.map((one) => {
    assert.deepEqual([one.status, one.isTerminal], ['Started', false]);
    const { operationType, resourceType, resourceName, location, operationDetails = '-' } = one;
    return `${operationType}: ${resourceType} ${resourceName} in ${location.availabilityZone}, ${operationDetails}`;
  });
}

/** A copy of a snapshot's bytes in a file, which is sparse. */
async function copyOf(server: RunningServer, snapshot: string): Promise<string> {
  const path = join(scratch, `${snapshot}.raw`);
  await runOk('nbdcopy', [await server.uri(snapshot), path]);
  return path;
}

async function fsck(path: string, flags: string): Promise<{ readonly code: number; readonly said: string }> {
  const { code, stdout, stderr } = await run('e2fsck', [flags, path]);
  return { code: code ?? -1, said: `${stdout}${stderr}` };
}

/** The newest snapshot of each of the volumes, whatever it is called. */
async function newestOf(server: RunningServer, volumes: readonly string[]): Promise<readonly string[]> {
  type Listed = { readonly id: string; readonly volume: string; readonly startedAtMs: number };
  const { stdout, stderr } = await server.varve(['snapshots', '--json']);
  assert.notEqual(stdout, '', stderr);
  const { snapshots } = JSON.parse(stdout) as { readonly snapshots: readonly Listed[] };
  const newest = snapshots.toSorted((a, b) => b.startedAtMs - a.startedAtMs);
  return volumes.map((volume) => {
    const found = newest.find((one) => one.volume === volume);
    assert.ok(found !== undefined, `${volume} has a snapshot`);
    return found.id;
  });
}

/** Runs a command as `admin` on a machine by ssh. */
async function sshTo(machines: Machines, name: string, privateKey: string, command: string): Promise<RunResult> {
  const keyPath = join(scratch, `key-${name}`);
  await writeFile(keyPath, privateKey, { mode: 0o600 });
  return await ssh({ user: 'admin', port: await machines.sshPort(name), keyPath }, command);
}

/** Writes a number to the system volume and then to the disk, flushed each, again and again. */
const WRITER = `
n=0
while [ ! -e /run/stop ]; do
  while [ -e /run/pause ]; do usleep 100000; done
  n=$((n+1))
  echo $n >> /root/numbers; sync
  echo $n >> /data/numbers; sync
  usleep 50000
done`;

/** What the machines that were made of the snapshot say of what they found: a disk of its own at the same place. */
const REPORT = `#!/bin/sh
mkdir -p /data; mount /dev/xvdf /data
echo "found: $(cat /root/marker), $(tail -n 1 /root/numbers), $(tail -n 1 /data/numbers)"
hostname >> /root/owner; hostname >> /data/owner; sync
`;

/** Made of one snapshot by one request, and booted at the same time. */
const COPIES = ['one', 'two', 'three', 'four'];

const TOOLS = [...TINY_TOOLS, 'aws', 'e2fsck', 'nbdcopy', 'ssh'];

test('machines boot, are snapshotted while they write, and others boot of that', async (t: TestContext) => {
  if (!requireTools(t, TOOLS)) return;
  const testbed = await start();
  const { machines } = testbed;
  const lightsail = machines.lightsail.bind(machines);

  await t.test(
    'a machine of a blueprint: user data ran, and who has the key of the access details gets in by ssh',
    async () => {
      await lightsail('create-disk', '--disk-name', 'data', '--availability-zone', 'us-east-1a', '--size-in-gb', '8');
      const userData = '#!/bin/sh\necho "made on $(hostname)" > /root/marker\n';
      await machines.create(['first'], '--bundle-id', 'pico_1_0', '--user-data', userData);
      const console = await machines.waitBooted('first');
      assert.equal(await console.run('cat /root/marker'), 'made on first\n');
      await machines.waitState('first', 'running');
      type Access = { readonly accessDetails: { readonly privateKey: string; readonly username: string } };
      const { accessDetails } = await lightsail<Access>('get-instance-access-details', '--instance-name', 'first');
      assert.equal(accessDetails.username, 'admin');
      const said = await sshTo(machines, 'first', accessDetails.privateKey, 'echo "$(whoami) on $(hostname)"');
      assert.equal(said.stdout, 'admin on first\n', said.stderr);
    },
  );

  await t.test('a disk is attached to the machine that runs, and both are written all the time', async () => {
    await lightsail('attach-disk', '--disk-name', 'data', '--instance-name', 'first', '--disk-path', '/dev/xvdf');
    const console = await machines.console('first');
    await console.run('until [ -b /dev/xvdf ]; do usleep 100000; done');
    await console.run('mkdir -p /data && mke2fs -q -t ext4 /dev/xvdf && mount /dev/xvdf /data');
    await console.run(
      `(${WRITER.trim().replaceAll('\n', '; ').replaceAll('do;', 'do')}) > /run/writer.log 2>&1 & true`,
    );
    await console.run('until [ "$(wc -l < /data/numbers 2> /dev/null || echo 0)" -gt 3 ]; do usleep 100000; done');
  });

  await t.test('B1 B3 B4 B6 B7 B8: frozen for the cut, both file systems need no repair', async () => {
    const names = ['--instance-name', 'first', '--instance-snapshot-name', 'whole', '--tags', 'key=team,value=a'];
    assert.deepEqual(summary(await lightsail<Operations>('create-instance-snapshot', ...names)), [
      'CreateInstanceSnapshot: InstanceSnapshot whole in all, first',
      'CreateInstanceSnapshot: Instance first in us-east-1a, whole',
    ]);
    await machines.waitAvailable('whole');
    const { instanceSnapshot } = await lightsail<{ readonly instanceSnapshot: Readonly<Record<string, unknown>> }>(
      ...['get-instance-snapshot', '--instance-snapshot-name', 'whole'],
    );
    const { fromInstanceName, fromBlueprintId, fromBundleId, isFromAutoSnapshot, fromAttachedDisks, sizeInGb, tags } =
      instanceSnapshot;
    assert.deepEqual(
      { fromInstanceName, fromBlueprintId, fromBundleId, isFromAutoSnapshot, sizeInGb },
      {
        fromInstanceName: 'first',
        fromBlueprintId: 'tiny',
        fromBundleId: 'pico_1_0',
        isFromAutoSnapshot: false,
        sizeInGb: 8,
      },
    );
    assert.deepEqual(fromAttachedDisks, [{ name: 'data', path: '/dev/xvdf', sizeInGb: 8, isSystemDisk: false }]);
    const volumes = (await machines.record('first')).disks.map(({ volume }) => volume);
    const [system, disk] = await newestOf(testbed.server, volumes);
    assert.ok(system !== undefined && disk !== undefined);
    const rootOf = `${await copyOf(testbed.server, system)}?offset=${TINY_ROOT_AT}`;
    for (const path of [rootOf, await copyOf(testbed.server, disk)]) {
      const { code, said } = await fsck(path, '-fn');
      assert.equal(code, 0, said);
      assert.doesNotMatch(said, /recover/i, 'no journal had to be replayed');
    }
    assert.deepEqual(tags, [{ key: 'team', value: 'a' }]);
    // It goes on: nothing of the machine is held any more.
    const console = await machines.console('first');
    const before = Number(await console.run('wc -l < /data/numbers'));
    await console.run(`until [ "$(wc -l < /data/numbers)" -gt ${before} ]; do usleep 100000; done; touch /run/pause`);
  });

  await t.test(
    'E1 E3 E4 E12 E13 E14 E15 E27: four machines of it at once, each with its own disks, user data, key and size',
    async () => {
      type KeyPair = { readonly privateKeyBase64: string };
      const { privateKeyBase64 } = await lightsail<KeyPair>('create-key-pair', '--key-pair-name', 'ops');
      const mapping = Object.fromEntries(
        COPIES.map((name) => [name, [{ originalDiskPath: '/dev/xvdf', newDiskName: `${name}-data` }]]),
      );
      const made = await lightsail<Operations>(
        ...['create-instances-from-snapshot', '--instance-names', ...COPIES, '--availability-zone', 'us-east-1a'],
        ...['--instance-snapshot-name', 'whole', '--bundle-id', 'nano_2_0', '--user-data', REPORT],
        ...['--key-pair-name', 'ops', '--attached-disk-mapping', JSON.stringify(mapping), '--tags', 'key=team,value=b'],
      );
      assert.deepEqual(
        summary(made),
        COPIES.map((name) => `CreateInstancesFromSnapshot: Instance ${name} in us-east-1a, -`),
      );
      for (const name of COPIES) {
        const console = await machines.waitBooted(name);
        const [, marker, onSystem, onDisk] = /found: ([^,]*), (\d+), (\d+)/.exec(await console.said()) ?? [];
        assert.equal(marker, 'made on first');
        const ahead = Number(onSystem) - Number(onDisk);
        assert.ok(Number(onDisk) > 3 && (ahead === 0 || ahead === 1), `one instant: ${onSystem} and ${onDisk}`);
        assert.equal(await console.run('cat /root/owner /data/owner'), `${name}\n${name}\n`, 'its own writes only');
        const rootGib = Number(await console.run("df -k / | awk 'END { print int($2 / 1048576 + 0.5) }'"));
        assert.ok(rootGib >= 19, `the root has the size of the larger bundle: ${rootGib} GiB`);
        const said = await sshTo(machines, name, privateKeyBase64, 'hostname');
        assert.equal(said.stdout, `${name}\n`, said.stderr);
        const { hardware, ...shown } = (await machines.find(name)) as Awaited<ReturnType<typeof machines.find>> & {
          readonly tags?: unknown;
        };
        assert.deepEqual(shown.tags, [{ key: 'team', value: 'b' }]);
        assert.deepEqual(
          hardware.disks.map((one) => [one.path, one.name ?? null]),
          [
            ['/dev/xvda', null],
            ['/dev/xvdf', `${name}-data`],
          ],
        );
      }
      // The rest has enough with two of them.
      for (const name of ['three', 'four']) await lightsail('delete-instance', '--instance-name', name);
    },
  );

  await t.test(
    'without its agent the snapshot is as after a power cut: whole once the journal is replayed',
    async () => {
      const console = await machines.console('first');
      await console.run('rm /run/pause; kill $(cat /run/qemu-ga.pid)');
      const names = ['--instance-name', 'first', '--instance-snapshot-name', 'crashed'];
      await lightsail('create-instance-snapshot', ...names);
      await machines.waitAvailable('crashed');
      const [, volume] = (await machines.record('first')).disks.map((disk) => disk.volume);
      const [part] = await newestOf(testbed.server, [volume ?? '']);
      const path = await copyOf(testbed.server, part ?? '');
      // e2fsck's 1 says that something was mended.
      const replayed = await fsck(path, '-p');
      assert.ok(replayed.code <= 1, replayed.said);
      const clean = await fsck(path, '-fn');
      assert.equal(clean.code, 0, clean.said);
    },
  );

  await t.test('the volume host is killed under a guest that writes: it sees no error', async () => {
    const console = await machines.console('first');
    const end = await console.begin('dd if=/dev/zero of=/data/big bs=64k count=200 conv=fsync');
    const host = await testbed.server.hostProcessId();
    process.kill(host, 'SIGKILL');
    await waitFor('another volume host', async () => {
      const now = await testbed.server.hostProcessId();
      return now > 1 && now !== host;
    });
    await end();
    assert.doesNotMatch(await console.run('dmesg'), /I\/O error/);
  });

  await t.test('the server is killed: machines go on, and the next one finds them', async () => {
    const before = await machines.processId('first');
    const console = await machines.console('first');
    const count = Number(await console.run('wc -l < /data/numbers'));
    testbed.server.signal('SIGKILL');
    await testbed.server.stop();
    await console.run(`until [ "$(wc -l < /data/numbers)" -gt ${count} ]; do usleep 100000; done`);
    testbed.server = await RunningServer.start({ data });
    machines.aws = (words) => testbed.server.aws(words);
    assert.equal(await machines.state('first'), 'running');
    assert.equal(await machines.processId('first'), before);
    await console.run('touch /run/stop');
    assert.doesNotMatch(await console.run('dmesg'), /I\/O error/);
  });

  await t.test(
    'A9 A10 A23 B7 C9 D9: a killed machine is seen as stopped, and is snapshotted as one that runs',
    async () => {
      process.kill(await machines.processId('two'), 'SIGKILL');
      await machines.waitState('two', 'stopped');
      const names = ['--instance-name', 'two', '--disk-snapshot-name', 'rescued'];
      assert.deepEqual(summary(await lightsail<Operations>('create-disk-snapshot', ...names)), [
        'CreateDiskSnapshot: DiskSnapshot rescued in all, two',
        'CreateDiskSnapshot: Instance two in us-east-1a, rescued',
      ]);
      type Reply = { readonly diskSnapshot: { readonly state: string; readonly fromInstanceName: string } };
      const found = async (): Promise<Reply['diskSnapshot']> =>
        (await lightsail<Reply>('get-disk-snapshot', '--disk-snapshot-name', 'rescued')).diskSnapshot;
      await waitFor('rescued is complete', async () => (await found()).state === 'completed');
      assert.equal((await found()).fromInstanceName, 'two');
      await lightsail('create-instance-snapshot', '--instance-name', 'two', '--instance-snapshot-name', 'stopped');
      await machines.waitAvailable('stopped');
      for (const name of ['first', 'two']) {
        const [system] = (await machines.record(name)).disks;
        const words = ['ec2', 'create-snapshot', '--volume-id', system?.volume ?? '', '--query', 'State'];
        const { code, stdout, stderr } = await machines.aws(words);
        assert.equal(code, 0, stderr);
        assert.match(stdout, /pending/);
      }
    },
  );

  await t.test('A11: the disk that is made of it is read on another machine, which runs', async () => {
    await lightsail(
      ...['create-disk-from-snapshot', '--disk-name', 'inspected', '--disk-snapshot-name', 'rescued'],
      ...['--availability-zone', 'us-east-1a', '--size-in-gb', '20'],
    );
    await lightsail('attach-disk', '--disk-name', 'inspected', '--instance-name', 'one', '--disk-path', '/dev/xvdg');
    const console = await machines.console('one');
    await console.run('until [ -b /dev/xvdg ]; do usleep 100000; done');
    await console.run('part=/dev/$(basename $(readlink /dev/xvdg))2; mkdir -p /mnt; mount $part /mnt');
    assert.equal(await console.run('cat /mnt/root/marker /mnt/etc/hostname'), 'made on first\ntwo\n');
    await console.run('umount /mnt');
  });

  await t.test('E31: without their snapshot, machines go on and start again', async () => {
    await lightsail('delete-instance-snapshot', '--instance-snapshot-name', 'whole');
    const one = await machines.console('one');
    assert.equal(await one.run('md5sum /usr/bin/busybox > /dev/null; tail -n 1 /data/owner'), 'one\n');
    const two = await machines.console('two');
    const fromByte = await two.saidBytes();
    await lightsail('start-instance', '--instance-name', 'two');
    await machines.waitBooted('two', fromByte);
    assert.doesNotMatch((await two.said()).slice(fromByte), /found:/, 'user data runs once');
    two[Symbol.dispose]();
    assert.equal(await two.run('cat /root/marker; mount /dev/xvdf /data; cat /data/owner'), 'made on first\ntwo\n');
  });

  await t.test('what is deleted leaves no process', async () => {
    const ids = await Promise.all(['first', 'one', 'two'].map((name) => machines.processId(name)));
    assert.ok(ids.every((id) => id > 1));
    for (const name of ['first', 'one', 'two']) await lightsail('delete-instance', '--instance-name', name);
    const gone = async (name: string): Promise<boolean> =>
      (await machines.aws(['lightsail', 'get-instance', '--instance-name', name])).code !== 0;
    for (const name of ['first', 'one', 'two']) await waitFor(`${name} is gone`, () => gone(name));
    // One whose parent was killed may wait for somebody to take note of its end: then it has no arguments any more.
    for (const id of ids) assert.equal(await readFile(`/proc/${id}/cmdline`, 'utf8').catch(() => ''), '');
  });
});
