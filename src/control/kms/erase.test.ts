import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { SeededRandom } from '#base/random.ts';
import { SteadyTime } from '#base/steady-time.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { silentLog } from '#base/log.ts';
import { VirtualClock } from '#base/virtual-clock.ts';
import { regionName } from '#domain/ids.ts';
import { DAY_MS } from '#domain/kms/limits.ts';
import { FakeHypervisor } from '#machine/hypervisor.fake.ts';
import { KyselyStore } from '#meta/kysely-store.ts';
import { createAccount } from '#control/access.ts';
import { makeControl } from '#control/control.ts';
import { limits } from '#control/limits.ts';
import { MemoryHost } from '#control/memory-host.fake.ts';
import { rootCaller } from './access.ts';
import * as keys from './keys.ts';
import { PLAIN_KEY } from './kms-world.fake.ts';
import { aliasKind, grantKind, materialKind, ofOwner, type SealedMaterial } from './records.ts';
import { rotateOnDemand } from './rotation.ts';
import { KeyVault } from './vault.ts';

/** Every byte of every file of the directory. */
async function everything(directory: string): Promise<Buffer> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return Buffer.concat(await Promise.all(files.map((file) => readFile(join(file.parentPath, file.name)))));
}

for (const seed of [1, 2]) {
  test(`the sealed material of a destroyed key is in no file any more (seed ${seed})`, async () => {
    const directory = scratchDirectory('kms-erase');
    const clock = new VirtualClock();
    const random = new SeededRandom(seed);
    await using meta = await KyselyStore.open(join(directory, 'meta.db'), clock);
    const vault = new KeyVault({ root: random.bytes(32), random });
    const time = new SteadyTime(clock, clock, null);
    const parts = { meta, clock, time, random, vault, host: new MemoryHost(), log: silentLog, limits: limits() };
    const machines = {
      hypervisor: new FakeHypervisor({ clock }),
      machinePlace: { address: '127.0.0.1', addresses: null, lowestPort: 1024, boot: null },
    };
    await using control = makeControl({ ...parts, ...machines, tokenKey: random.bytes(32) });
    const { account } = await createAccount(control.ports, {});
    const call = {
      ports: control.ports,
      scope: { account, region: regionName('us-east-1') },
      caller: rootCaller(account),
    };

    // Rows come, grow and go around each other, so that pages are split and merged.
    const living: string[] = [];
    const doomed: string[] = [];
    for (let step = 0; step < 300; step += 1) {
      const choice = random.fraction();
      const some = living[random.below(Math.max(1, living.length))];
      if (choice < 0.5 || some === undefined) {
        living.push((await keys.createKey(call, { ...PLAIN_KEY, description: 'd'.repeat(random.below(2000)) })).id);
      } else if (choice < 0.7) {
        await rotateOnDemand(call, some).catch(() => {}); // Its limit, perhaps.
      } else if (choice < 0.85) {
        await keys.updateDescription(call, some, 'e'.repeat(random.below(8000)));
      } else {
        living.splice(living.indexOf(some), 1);
        doomed.push(some);
        await keys.scheduleDeletion(call, some, 7);
      }
    }
    const sealedOf = async (ids: readonly string[]): Promise<readonly SealedMaterial[]> =>
      (await meta.read((tx) => ofOwner(tx, materialKind, call.scope, null))).filter(({ key }) => ids.includes(key));
    const [gone, kept] = [await sealedOf(doomed), await sealedOf(living)];
    assert.ok(gone.length >= 10 && kept.length >= 10, `${gone.length} and ${kept.length}`);
    const before = await everything(directory);
    assert.ok(
      gone.every(({ sealed }) => before.includes(sealed)),
      'it was there',
    );

    await clock.advance(7 * DAY_MS);
    await control.run('tend-keys');
    const after = await everything(directory);
    assert.deepEqual(
      gone.filter(({ sealed }) => after.includes(sealed)).map(({ key }) => key),
      [],
    );
    assert.ok(
      kept.every(({ sealed }) => after.includes(sealed)),
      'what lives is there',
    );
    for (const kind of [aliasKind, grantKind]) {
      assert.equal(
        (await meta.read((tx) => tx.documents.all<unknown>(kind as never, { after: 0, countMax: 9 }))).length,
        0,
      );
    }
  });
}
