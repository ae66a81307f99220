import { SeededRandom } from '#base/random.ts';
import { silentLog, type Log } from '#base/log.ts';
import type { AccountId } from '#domain/ids.ts';

import { ChunkStore } from './chunk-store.ts';
import type { ObjectStore } from './object-store.ts';
import { addressOf, sealRecord } from './seal.ts';

export const TEST_ACCOUNT = '000000000001' as AccountId;
export const TEST_ACCOUNT_OTHER = '000000000002' as AccountId;
export const TEST_MASTER_KEY = Buffer.alloc(32, 7);

let seed = 0;

/** A chunk store for tests; every one has other random numbers. */
export function openChunkStore(
  objects: ObjectStore,
  options: { readonly indexPath?: string; readonly masterKey?: Buffer; readonly log?: Log } = {},
): Promise<ChunkStore> {
  return ChunkStore.open({
    objects,
    indexPath: options.indexPath ?? ':memory:',
    masterKey: options.masterKey ?? TEST_MASTER_KEY,
    random: new SeededRandom((seed += 1)),
    log: options.log ?? silentLog,
  });
}

/** Stores plaintexts (of any length) as chunks, in one write; answers their keys. */
export async function storeChunks(
  store: ChunkStore,
  plains: readonly Buffer[],
  account: AccountId = TEST_ACCOUNT,
): Promise<Buffer[]> {
  await using writer = store.beginWrite(account);
  const keys = store.keysOf(account);
  const addresses: Buffer[] = [];
  for (const plain of plains) {
    const key = addressOf(keys, 'chunk', plain);
    addresses.push(key);
    if (writer.claim([key])[0] === true) continue;
    await writer.add(sealRecord({ keys, kind: 'chunk', key, plain, nonce: store.random.bytes(12) }));
  }
  await writer.finish();
  return addresses;
}

export async function objectKeys(objects: ObjectStore, prefix = 'packs/'): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of objects.list(prefix)) keys.push(key);
  return keys;
}
