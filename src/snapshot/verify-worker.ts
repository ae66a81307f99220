/** A thread that checks packs: see verify-pool.ts. */
import { parentPort, workerData } from 'node:worker_threads';

import { present } from '#base/assert.ts';
import { describeError } from '#base/log.ts';

import { checkWholePack } from './verify-pack.ts';
import { KeyRing, packCheck, type FromVerifyWorker, type ToVerifyWorker } from './verify-pool.ts';

const port = present(parentPort, 'a verifying thread has a parent');
const ring = new KeyRing((workerData as { readonly masterKey: Uint8Array }).masterKey);

port.on('message', (message: ToVerifyWorker) => void check(message));

async function check({ id, name, pack }: ToVerifyWorker): Promise<void> {
  try {
    const bytes = Buffer.from(pack.buffer, pack.byteOffset, pack.byteLength);
    const checked = packCheck(await checkWholePack(ring.of(name.account), name, bytes));
    post({ id, checked }, [checked.keys.buffer, checked.bases.buffer, checked.numbers.buffer]);
  } catch (error) {
    post({ id, failure: describeError(error) }, []);
  }
}

function post(message: FromVerifyWorker, owned: readonly ArrayBuffer[]): void {
  port.postMessage(message, [...owned]);
}
