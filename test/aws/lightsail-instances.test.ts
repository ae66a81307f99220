import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { requireTools } from '../clients.ts';
import { runOk } from '../run.ts';
import { RunningServer } from '../running-server.ts';

/** What of instances needs none: with the real `aws`, on a server that finds no QEMU. */

interface KeyPair {
  readonly name: string;
  readonly arn: string;
  readonly fingerprint: string;
  readonly resourceType: string;
}

interface CreatedKeyPair {
  readonly keyPair: KeyPair;
  readonly publicKeyBase64: string;
  readonly privateKeyBase64: string;
  readonly operation: { readonly operationType: string; readonly resourceType: string; readonly status: string };
}

async function ok<T>(server: RunningServer, words: readonly string[]): Promise<T> {
  const { code, stdout, stderr } = await server.aws(['lightsail', ...words]);
  assert.equal(code, 0, `${words.join(' ')}: ${stderr}`);
  return (stdout.trim() === '' ? {} : JSON.parse(stdout)) as T;
}

async function refused(server: RunningServer, words: readonly string[]): Promise<string> {
  const { code, stderr } = await server.aws(['lightsail', ...words]);
  assert.ok(code !== 0, words.join(' '));
  return stderr;
}

const CREATE = ['create-instances', '--instance-names', 'web', '--availability-zone', 'us-east-1a'];

test('bundles, key pairs and disks without QEMU, and what instances answer then', async (t) => {
  if (!requireTools(t, ['aws', 'ssh-keygen'])) return;
  const work = await mkdtemp(join(tmpdir(), 'varve-instances-'));
  await using server = await RunningServer.start({ environment: { PATH: join(work, 'no-programs') } });
  try {
    await t.test('GetBundles and GetBlueprints tell what there is', async () => {
      const { bundles } = await ok<{ bundles: readonly { bundleId: string; price: number; isActive: boolean }[] }>(
        server,
        ['get-bundles', '--include-inactive'],
      );
      assert.equal(bundles.find(({ bundleId }) => bundleId === 'micro_1_0')?.isActive, false);
      assert.equal(bundles.find(({ bundleId }) => bundleId === 'nano_3_0')?.price, 5);
      assert.deepEqual(await ok(server, ['get-blueprints']), { blueprints: [] });
      assert.deepEqual(await ok(server, ['get-instances']), { instances: [] });
      const { regions } = await ok<{
        regions: readonly { name: string; availabilityZones: readonly { zoneName: string }[] }[];
      }>(server, ['get-regions', '--include-availability-zones']);
      const zones = regions.find(({ name }) => name === 'us-east-1')?.availabilityZones.map(({ zoneName }) => zoneName);
      assert.ok(zones?.includes('us-east-1a'));
    });

    await t.test(
      'the private key of a new pair is a file that ssh reads, and the public one is its other half',
      async () => {
        const made = await ok<CreatedKeyPair>(server, ['create-key-pair', '--key-pair-name', 'mine']);
        assert.deepEqual(
          [made.operation.operationType, made.operation.resourceType, made.operation.status],
          ['CreateKeyPair', 'KeyPair', 'Succeeded'],
        );
        const path = join(work, 'mine.pem');
        await writeFile(path, made.privateKeyBase64);
        await chmod(path, 0o600);
        const { stdout: derived } = await runOk('ssh-keygen', ['-y', '-f', path]);
        assert.equal(derived.trim().split(' ')[1], made.publicKeyBase64.split(' ')[1]);
        const { keyPair } = await ok<{ keyPair: KeyPair }>(server, ['get-key-pair', '--key-pair-name', 'mine']);
        assert.equal(keyPair.fingerprint, made.keyPair.fingerprint);
        assert.match(await refused(server, ['create-key-pair', '--key-pair-name', 'mine']), /InvalidInputException/);
        const downloaded = await ok<CreatedKeyPair>(server, ['download-default-key-pair']);
        const again = await ok<CreatedKeyPair>(server, ['download-default-key-pair']);
        assert.equal(again.privateKeyBase64, downloaded.privateKeyBase64);
      },
    );

    await t.test('a key of one’s own is imported as it lies in its file', async () => {
      const path = join(work, 'own');
      await runOk('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'me@home', '-f', path]);
      await ok(server, ['import-key-pair', '--key-pair-name', 'own', '--public-key-base64', `file://${path}.pub`]);
      const { keyPair } = await ok<{ keyPair: KeyPair }>(server, ['get-key-pair', '--key-pair-name', 'own']);
      const { stdout: told } = await runOk('ssh-keygen', ['-l', '-f', `${path}.pub`]);
      assert.ok(told.includes(keyPair.fingerprint.replaceAll('=', '')), told);
      const { keyPairs } = await ok<{ keyPairs: readonly KeyPair[] }>(server, [
        'get-key-pairs',
        '--include-default-key-pair',
      ]);
      assert.deepEqual(
        keyPairs.map(({ name }) => name),
        ['LightsailDefaultKeyPair', 'mine', 'own'],
      );
      const wrong = ['delete-key-pair', '--key-pair-name', 'own', '--expected-fingerprint', 'aa'];
      assert.match(await refused(server, wrong), /InvalidInputException/);
      await ok(server, ['delete-key-pair', '--key-pair-name', 'own']);
      assert.match(await refused(server, ['get-key-pair', '--key-pair-name', 'own']), /NotFoundException/);
    });

    await t.test('an instance of what is not there, and one that cannot run, are refused with what to do', async () => {
      const tiny = [...CREATE, '--bundle-id', 'pico_1_0', '--blueprint-id', 'blank'];
      assert.match(await refused(server, tiny), /NotFoundException.*blank/);
      const image = join(work, 'blank.img');
      await writeFile(image, '');
      await truncate(image, 1024 * 1024);
      const { code, stderr } = await server.varve(['blueprint', 'import', image, '--name', 'Blank']);
      assert.equal(code, 0, stderr);
      assert.match(await refused(server, tiny), /OperationFailureException.*apt-get install qemu-system-x86/);
      const said = server.log.filter(({ event }) => event === 'instances cannot be run');
      assert.equal(said.length, 1);
      assert.deepEqual((await ok<{ activeNames: readonly string[] }>(server, ['get-active-names'])).activeNames, [
        'mine',
      ]);
      const disk = ['--disk-name', 'data', '--availability-zone', 'us-east-1a', '--size-in-gb', '8'];
      await ok(server, ['create-disk', ...disk]);
      const attach = ['attach-disk', '--disk-name', 'data', '--instance-name', 'web', '--disk-path', '/dev/xvdf'];
      assert.match(await refused(server, attach), /NotFoundException.*web/);
      assert.match(await refused(server, ['detach-disk', '--disk-name', 'data']), /OperationFailureException/);
      const { disk: shown } = await ok<{ disk: { isAttached: boolean; state: string } }>(server, [
        'get-disk',
        '--disk-name',
        'data',
      ]);
      assert.deepEqual([shown.isAttached, shown.state], [false, 'available']);
    });

    await t.test('varve ssh and varve console name what is wrong', async () => {
      for (const command of ['ssh', 'console']) {
        const { code, stderr } = await server.varve([command, 'web']);
        assert.deepEqual([code, stderr.trim()], [1, 'varve: there is no instance "web"'], command);
      }
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
});
