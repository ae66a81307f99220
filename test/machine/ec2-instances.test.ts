import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { systemClock } from '#base/clock.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';

import { requireTools } from '../clients.ts';
import { run, runOk } from '../run.ts';
import { RunningServer } from '../running-server.ts';
import { Machines } from './machine-server.ts';
import { waitFor } from './served-disks.ts';
import { TINY_ROOT_AT, TINY_TOOLS, tinyImage } from './tiny-image.ts';

/*
 * EC2's face of the machines: the real `aws` launches one of an image, gives it a disk, makes snapshots of its volumes, stops
 * and terminates it. One boot serves all of it, since guests are emulated.
 */

const scratch = scratchDirectory('ec2-instances');
const data = join(scratch, 'data');
const cleanups: (() => Promise<unknown>)[] = [];

after(async () => {
  for (const cleanup of cleanups.toReversed()) await cleanup();
});

interface Instance {
  readonly InstanceId: string;
  readonly State: { readonly Name: string };
  readonly StateReason?: { readonly Message: string };
  readonly BlockDeviceMappings: readonly { readonly DeviceName: string; readonly Ebs: { readonly VolumeId: string } }[];
}

/** What user data wrote, as the file system of a snapshot has it. */
async function markerIn(server: RunningServer, snapshot: string): Promise<string> {
  const path = join(scratch, `${snapshot}.raw`);
  await runOk('nbdcopy', [await server.uri(snapshot), path]);
  const { stdout } = await run('debugfs', ['-R', 'cat /root/marker', `${path}?offset=${TINY_ROOT_AT}`]);
  await rm(path);
  return stdout;
}

const USER_DATA = '#!/bin/sh\necho launched > /root/marker; sync\n';
const TOOLS = [...TINY_TOOLS, 'aws', 'nbdcopy', 'debugfs'];

test('C9 D9: aws launches an instance of an image, attaches a volume, makes snapshots of both, stops and terminates it', async (t) => {
  if (!requireTools(t, TOOLS)) return;
  const server = await RunningServer.start({ data });
  cleanups.push(async () => {
    const startMs = systemClock.monotonicMs();
    await server.stop();
    // Nothing of the machine that was stopped and ended is waited for: its guest had 90 s.
    assert.ok(systemClock.monotonicMs() - startMs < 45_000, 'the server stops when it is told to');
  });
  const machines = new Machines(data, (words) => server.aws(words));
  cleanups.push(() => machines[Symbol.asyncDispose]());
  const ec2 = async <T>(...words: readonly string[]): Promise<T> => {
    const { code, stdout, stderr } = await server.aws(['ec2', ...words]);
    assert.equal(code, 0, `aws ec2 ${words.join(' ')}: ${stderr}`);
    return (stdout.trim() === '' ? {} : JSON.parse(stdout)) as T;
  };
  const words = ['--name', 'Tiny Linux', '--id', 'tiny', '--user', 'admin'];
  const imported = await server.varve(['blueprint', 'import', await tinyImage(), ...words]);
  assert.equal(imported.code, 0, imported.stderr);

  type Images = { readonly Images: readonly { readonly ImageId: string }[] };
  const { Images: images } = await ec2<Images>(
    'describe-images',
    '--owners',
    'amazon',
    '--filters',
    'Name=name,Values=ti*',
  );
  const image = images[0]?.ImageId ?? '';
  const launch = ['--image-id', image, '--instance-type', 'pico_1_0', '--user-data', USER_DATA];
  const run1 = await ec2<{ readonly Instances: readonly Instance[] }>('run-instances', ...launch);
  const id = run1.Instances[0]?.InstanceId ?? '';
  type Reservations = { readonly Reservations: readonly { readonly Instances: readonly Instance[] }[] };
  const instance = async (): Promise<Instance> => {
    const { Reservations: found } = await ec2<Reservations>('describe-instances', '--instance-ids', id);
    const one = found[0]?.Instances[0];
    assert.ok(one !== undefined);
    return one;
  };
  const becomes = (state: string): Promise<void> =>
    waitFor(`the instance is ${state}`, async () => {
      const { State: now, StateReason: reason } = await instance();
      // One that cannot be launched is terminated, and says why.
      assert.ok(state === 'terminated' || now.Name !== 'terminated', reason?.Message);
      return now.Name === state;
    });
  await becomes('running');
  const root = (await instance()).BlockDeviceMappings[0]?.Ebs.VolumeId ?? '';

  await waitFor('the guest says that it is ready', async () => {
    type Console = { readonly Output?: string };
    const { Output: output = '' } = await ec2<Console>('get-console-output', '--instance-id', id);
    // Some command lines decode it.
    return [output, Buffer.from(output, 'base64').toString()].some((text) => text.includes(`instance ${id}`));
  });

  type Volume = { readonly VolumeId: string };
  const { VolumeId: disk } = await ec2<Volume>('create-volume', '--availability-zone', 'us-east-1a', '--size', '1');
  await waitFor('the volume is there', async () => {
    type Volumes = { readonly Volumes: readonly { readonly State: string }[] };
    return (await ec2<Volumes>('describe-volumes', '--volume-ids', disk)).Volumes[0]?.State === 'available';
  });
  await ec2('attach-volume', '--volume-id', disk, '--instance-id', id, '--device', '/dev/sdf');
  await waitFor('the volume is attached', async () => {
    const filters = ['Name=attachment.instance-id,Values=' + id, 'Name=attachment.status,Values=attached'];
    type Volumes = { readonly Volumes: readonly Volume[] };
    const { Volumes: found } = await ec2<Volumes>('describe-volumes', '--volume-ids', disk, '--filters', ...filters);
    return found.length === 1;
  });

  type Set = { readonly Snapshots: readonly { readonly SnapshotId: string; readonly VolumeId: string }[] };
  const { Snapshots: set } = await ec2<Set>('create-snapshots', '--instance-specification', `InstanceId=${id}`);
  assert.deepEqual(
    set.map(({ VolumeId }) => VolumeId),
    [root, disk],
  );
  type One = { readonly Snapshots: readonly { readonly State: string }[] };
  const ids = set.map(({ SnapshotId }) => SnapshotId);
  await waitFor('the snapshots are complete', async () => {
    const { Snapshots: found } = await ec2<One>('describe-snapshots', '--snapshot-ids', ...ids);
    return found.every(({ State }) => State === 'completed');
  });

  await ec2('stop-instances', '--instance-ids', id);
  await becomes('stopped');
  // Of a code that may go away by itself the aws command asks again.
  const env = { ...server.environment(), AWS_MAX_ATTEMPTS: '1' };
  const refused = async (code: string, ...command: readonly string[]): Promise<void> => {
    const { stderr } = await server.aws(['ec2', ...command], { env });
    assert.ok(stderr.includes(`(${code})`), `${code}: ${stderr}`);
  };
  await refused('IncorrectInstanceState', 'reboot-instances', '--instance-ids', id);
  const large = ['--image-id', image, '--instance-type', 'm5.4xlarge', '--count', '20'];
  await refused('InsufficientInstanceCapacity', 'run-instances', ...large);
  await refused('InvalidAttachment.NotFound', 'detach-volume', '--volume-id', disk, '--device', '/dev/sdg');
  const zoned = async (zone: string): Promise<string> =>
    (await ec2<Volume>('create-volume', '--availability-zone', zone, '--size', '1')).VolumeId;
  const attach = (volume: string, letter: string): readonly string[] => {
    const where = ['--instance-id', id, '--device', `/dev/sd${letter}`];
    return ['attach-volume', '--volume-id', volume, ...where];
  };
  await refused('InvalidVolume.ZoneMismatch', ...attach(await zoned('us-east-1b'), 'g'));
  for (const letter of 'ghijklmnopqrst') await ec2(...attach(await zoned('us-east-1a'), letter));
  await refused('AttachmentLimitExceeded', ...attach(await zoned('us-east-1a'), 'u'));
  // Of the stopped one's root device, too.
  const { SnapshotId: rested } = await ec2<{ readonly SnapshotId: string }>('create-snapshot', '--volume-id', root);
  await waitFor('the snapshot of the stopped instance is complete', async () => {
    const { Snapshots: found } = await ec2<One>('describe-snapshots', '--snapshot-ids', rested);
    return found[0]?.State === 'completed';
  });
  for (const snapshot of [ids[0] ?? '', rested]) assert.equal(await markerIn(server, snapshot), 'launched\n');

  await ec2('terminate-instances', '--instance-ids', id);
  await becomes('terminated');
  const gone = await server.aws(['ec2', 'describe-volumes', '--volume-ids', root]);
  assert.match(gone.stderr, /InvalidVolume\.NotFound/);
  type Left = { readonly Volumes: readonly { readonly State: string }[] };
  assert.equal((await ec2<Left>('describe-volumes', '--volume-ids', disk)).Volumes[0]?.State, 'available');
});

test('where QEMU is missing, a launch says so, and nothing else is', async (t) => {
  if (!requireTools(t, ['aws'])) return;
  await using server = await RunningServer.start({ environment: { PATH: '/nowhere' } });
  const ec2 = async (...words: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await server.aws(['ec2', ...words, '--output', 'text']);
    return code === 0 ? stdout.trim() : stderr;
  };
  const volume = await ec2('create-volume', '--availability-zone', 'us-east-1a', '--size', '1', '--query', 'VolumeId');
  const snapshot = await ec2('create-snapshot', '--volume-id', volume, '--query', 'SnapshotId');
  await waitFor('the snapshot is complete', async () => {
    const state = await ec2('describe-snapshots', '--snapshot-ids', snapshot, '--query', 'Snapshots[0].State');
    return state === 'completed';
  });
  const mapping = `DeviceName=/dev/xvda,Ebs={SnapshotId=${snapshot}}`;
  const words = ['--name', 'plain', '--root-device-name', '/dev/xvda', '--block-device-mappings', mapping];
  const image = await ec2('register-image', ...words, '--query', 'ImageId');
  const said = await ec2('run-instances', '--image-id', image, '--instance-type', 't3.micro');
  assert.match(said, /\(Unsupported\).*(?:install|QEMU|qemu)/);
  assert.equal(await ec2('describe-instances', '--query', 'Reservations'), '');
});
