import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { requireTools } from '../clients.ts';
import { runOk } from '../run.ts';
import { RunningServer } from '../running-server.ts';

interface Listed {
  readonly volumes: readonly {
    readonly id: string;
    readonly name: string | null;
    readonly state: string;
    readonly sizeBytes: number;
    readonly ownBytes: number | null;
    readonly hydration: { readonly state: string; readonly presentBytes: number; readonly totalBytes: number } | null;
  }[];
}

const MIB = 1024 ** 2;
const scratch = scratchDirectory('cli-volumes');

async function list(server: RunningServer): Promise<Listed['volumes']> {
  const result = await server.varve(['volumes', '--json']);
  assert.equal(result.code, 0, result.stderr);
  return (JSON.parse(result.stdout) as Listed).volumes;
}

test('varve volumes lists volumes, and how a restored one fills itself', async (t) => {
  if (!requireTools(t, ['aws', 'qemu-io'])) return;
  const server = await RunningServer.start();
  try {
    assert.match((await server.varve(['volumes'])).stdout, /There are no volumes/);
    const zone = ['--availability-zone', 'us-east-1a', '--size-in-gb', '8'];
    await server.awsJson(['lightsail', 'create-disk', '--disk-name', 'disk-1', ...zone]);
    await runOk('qemu-io', ['-f', 'raw', '-c', 'write -P 5 1M 16M', '-c', 'flush', await server.uri('disk-1')]);
    const [made] = await list(server);
    assert.deepEqual(
      [made?.name, made?.state, made?.sizeBytes, made?.ownBytes, made?.hydration],
      ['disk-1', 'available', 8 * 1024 * MIB, 16 * MIB, null],
    );

    const name = ['--disk-snapshot-name', 'snapshot-1'];
    await server.awsJson(['lightsail', 'create-disk-snapshot', '--disk-name', 'disk-1', ...name]);
    while (
      (await server.awsJson(['lightsail', 'get-disk-snapshot', ...name, '--query', 'diskSnapshot.state'])) !==
      'completed'
    ) {
      await systemClock.sleep(50);
    }
    await server.awsJson(['lightsail', 'create-disk-from-snapshot', '--disk-name', 'disk-2', ...name, ...zone]);
    for (;;) {
      const restored = (await list(server)).find((volume) => volume.name === 'disk-2');
      if (restored?.hydration?.state === 'hydrated') {
        assert.deepEqual([restored.hydration.presentBytes, restored.hydration.totalBytes], [16 * MIB, 16 * MIB]);
        assert.equal(restored.ownBytes, 16 * MIB);
        break;
      }
      await systemClock.sleep(100);
    }
    const table = (await server.varve(['volumes'])).stdout;
    assert.match(
      table,
      /^VOLUME .*\nvol-\w+ +disk-1 +8 GiB +16 MiB +no +- +- +available\nvol-\w+ +disk-2 .* 100% +- +available\n$/,
    );
  } finally {
    await server[Symbol.asyncDispose]();
  }
});

test('which volumes are encrypted is shown, those of before and those since', async (t) => {
  if (!requireTools(t, ['aws'])) return;
  const data = join(scratch, 'data');
  const create = ['ec2', 'create-volume', '--availability-zone', 'us-east-1a', '--size', '1'];
  {
    await using plain = await RunningServer.start({ data });
    await plain.awsJson(create);
  }
  await using server = await RunningServer.start({ data, args: ['--encrypt-volumes'] });
  await server.awsJson(create);
  let listed: readonly { readonly encrypted: boolean | null }[] = [];
  // A volume that is being opened yet has nothing to say.
  do {
    const result = await server.varve(['volumes', '--json']);
    listed = (JSON.parse(result.stdout) as { readonly volumes: typeof listed }).volumes;
  } while (listed.some(({ encrypted }) => encrypted === null));
  assert.deepEqual(
    listed.map(({ encrypted }) => encrypted),
    [false, true],
  );
  assert.match((await server.varve(['volumes'])).stdout, / no +- .*\n.* yes +- /);
});
