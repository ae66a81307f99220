import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { VirtualClock } from '#base/virtual-clock.ts';
import { regionName, type AccountId } from '#domain/ids.ts';
import { KyselyStore } from './kysely-store.ts';
import { MetaStoreError } from './meta-store.ts';

const clock = new VirtualClock();
const account = '123456789012' as AccountId;
const scope = { account, region: regionName('us-east-1') };

function directory(context: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'varve-meta-'));
  context.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

test('what was committed is there after the store is opened again, and nobody else can read the file', async (context) => {
  const path = join(directory(context), 'meta.db');
  {
    await using store = await KyselyStore.open(path, clock);
    await store.transact((tx) => tx.settings.put('key', 'value'));
    assert.equal(statSync(path).mode & 0o777, 0o600);
  }
  await using store = await KyselyStore.open(path, clock);
  assert.equal(await store.read((tx) => tx.settings.get('key')), 'value');
});

test('a body that throws leaves nothing, and its error comes out as it is', async () => {
  await using store = await KyselyStore.open(':memory:', clock);
  const error = new Error('no');
  await assert.rejects(
    store.transact(async (tx) => {
      await tx.settings.put('key', 'value');
      throw error;
    }),
    (thrown) => thrown === error,
  );
  assert.equal(await store.read((tx) => tx.settings.get('key')), null);
});

test('transactions run one after another, in the order in which they were asked for', async () => {
  await using store = await KyselyStore.open(':memory:', clock);
  const count = async (): Promise<void> =>
    await store.transact(async (tx) => {
      const before = Number((await tx.settings.get('count')) ?? 0);
      await new Promise((resolve) => setImmediate(resolve)); // The others could come between here.
      await tx.settings.put('count', String(before + 1));
    });
  await Promise.all(Array.from({ length: 20 }, count));
  assert.equal(await store.read((tx) => tx.settings.get('count')), '20');
});

test('of transactions that share a commit, one that throws takes back only itself, and reads see what was before them', async () => {
  await using store = await KyselyStore.open(':memory:', clock);
  const order: string[] = [];
  const put = (key: string) => store.transact((tx) => tx.settings.put(key, 'x')).then(() => order.push(`put ${key}`));
  const read = (key: string) =>
    store.read((tx) => tx.settings.get(key)).then((value) => order.push(`read ${key}: ${value}`));
  const failed = store
    .transact(async (tx) => {
      await tx.settings.put('b', 'x');
      throw new Error('no');
    })
    .catch(() => order.push('failed b'));
  await Promise.all([read('a'), put('a'), failed, read('a'), read('b'), put('c')]);
  assert.deepEqual(order.toSorted(), ['failed b', 'put a', 'put c', 'read a: null', 'read a: x', 'read b: null']);
  assert.equal(order[0], 'failed b', 'it is over before the commit');
  assert.equal(await store.read((tx) => tx.settings.get('c')), 'x');
});

test('a second server is told who it is that has the directory', async (context) => {
  const path = join(directory(context), 'meta.db');
  // Another process, killed later without a chance to tidy up.
  const script = `
    const { KyselyStore } = await import(${JSON.stringify(new URL('kysely-store.ts', import.meta.url).href)});
    const store = await KyselyStore.open(${JSON.stringify(path)}, { nowMs: () => 1 });
    await store.transact((tx) => tx.settings.put('by', 'the first'));
    process.stdout.write('ready');
    setInterval(() => {}, 1000);
  `;
  const first = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(first.stdout, 'data');
  try {
    await assert.rejects(KyselyStore.open(path, clock), (error) => {
      assert.ok(error instanceof MetaStoreError);
      assert.match(error.message, /another server is using the data directory/);
      assert.ok(error.message.includes(path.slice(0, -'/meta.db'.length)));
      return true;
    });
  } finally {
    first.kill('SIGKILL');
    await once(first, 'exit');
  }
  await using store = await KyselyStore.open(path, clock);
  assert.equal(await store.read((tx) => tx.settings.get('by')), 'the first');
});

test('a database of a newer program is refused and left as it is', async (context) => {
  const path = join(directory(context), 'meta.db');
  await (await KyselyStore.open(path, clock))[Symbol.asyncDispose]();
  const raw = new DatabaseSync(path);
  raw.exec('insert into schema_versions (version, applied_at_ms) values (99, 0)');
  raw.close();
  await assert.rejects(KyselyStore.open(path, clock), /meta\.db: the metadata has version 99.*newer program/);
});

test('a file that is no database is a loud error that names it', async (context) => {
  const path = join(directory(context), 'missing', 'meta.db');
  await assert.rejects(KyselyStore.open(path, clock), (error) => {
    assert.ok(error instanceof MetaStoreError);
    return error.message.includes(path);
  });
});

test('a name has one holder in its account and region, and only the holder frees it', async () => {
  await using store = await KyselyStore.open(':memory:', clock);
  await store.transact(async (tx) => {
    const [one, two] = ['vol-00000000000000001', 'vol-00000000000000002'] as Parameters<typeof tx.names.claim>[2][];
    assert.ok(one !== undefined && two !== undefined);
    assert.equal(await tx.names.claim(scope, 'n', one), true);
    assert.equal(await tx.names.claim(scope, 'n', two), false);
    assert.equal(await tx.names.claim({ ...scope, region: regionName('us-east-2') }, 'n', two), true);
    await tx.names.free(scope, 'n', two);
    assert.equal(await tx.names.find(scope, 'n'), one);
    await tx.names.free(scope, 'n', one);
    assert.equal(await tx.names.find(scope, 'n'), null);
  });
});
