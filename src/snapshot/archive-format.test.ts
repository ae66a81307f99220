import assert from 'node:assert/strict';
import { createDecipheriv } from 'node:crypto';
import { test } from 'node:test';

import { SeededRandom } from '#base/random.ts';
import { DamageError } from '#chunk/errors.ts';
import { accountKeys, contentCipher } from '#chunk/seal.ts';
import type { AccountId } from '#domain/ids.ts';

import { openPart, sealPart } from './archive-format.ts';

const MIB = 1024 * 1024;
const NONCE = Buffer.alloc(12, 7);
const ACCOUNT = '000000000001' as AccountId;
const MASTER_KEY = Buffer.alloc(32, 1);
const OBJECT = 'archive/snap-0123456789abcdef0/00000000';
const random = new SeededRandom(3);

for (const dataKey of [null, Buffer.alloc(32, 2)]) {
  const keys = accountKeys(MASTER_KEY, ACCOUNT, dataKey);
  const under = dataKey === null ? 'no data key' : 'a data key';

  test(`a part is sealed in pieces as it would be in one go, and opened again (${under})`, async () => {
    for (const length of [1, MIB - 1, MIB, MIB + 1, 3 * MIB + 5]) {
      const plain = random.bytes(length);
      const sealed = Buffer.concat(await sealPart(keys, OBJECT, NONCE, plain));
      assert.ok((await openPart(keys, OBJECT, sealed)).equals(plain), `${length} bytes`);
      const decipher = createDecipheriv('aes-256-gcm', keys.seal, NONCE);
      decipher.setAAD(Buffer.from(`varve varve-archive ${dataKey === null ? 1 : 2} ${OBJECT}`));
      decipher.setAuthTag(sealed.subarray(-16));
      const content = Buffer.concat([decipher.update(sealed.subarray(12, -16)), decipher.final()]);
      const expected = keys.content === null ? content : contentCipher(keys.content, NONCE).update(content);
      assert.ok(expected.equals(plain), `${length} bytes in one go`);
    }
  });

  test(`a flipped bit anywhere in a part, and another name, are found (${under})`, async () => {
    const sealed = Buffer.concat(await sealPart(keys, OBJECT, NONCE, random.bytes(2 * MIB + 100)));
    for (const at of [0, 11, 12, MIB + 11, MIB + 12, 2 * MIB + 12, sealed.length - 17, sealed.length - 1]) {
      const damaged = Buffer.from(sealed);
      damaged.writeUInt8(damaged.readUInt8(at) ^ 1, at);
      await assert.rejects(openPart(keys, OBJECT, damaged), DamageError, `byte ${at}`);
    }
    await assert.rejects(openPart(keys, OBJECT.replace(/0$/, '1'), sealed), DamageError);
    await assert.rejects(openPart(keys, OBJECT, sealed.subarray(0, 20)), DamageError);
  });

  test(`others have their turn while a part is sealed and opened (${under})`, async () => {
    const { result, turns } = await turnsOf(sealPart(keys, OBJECT, NONCE, random.bytes(8 * MIB)));
    assert.ok(turns >= 6, `${turns} turns while it is sealed`);
    const opened = await turnsOf(openPart(keys, OBJECT, Buffer.concat(result)));
    assert.ok(opened.turns >= 6, `${opened.turns} turns while it is opened`);
  });
}

/** How often another came to its turn before this was done. */
async function turnsOf<R>(work: Promise<R>): Promise<{ readonly result: R; readonly turns: number }> {
  let turns = 0;
  let other = setImmediate(function again() {
    turns += 1;
    other = setImmediate(again);
  });
  const result = await work;
  clearImmediate(other);
  return { result, turns };
}
