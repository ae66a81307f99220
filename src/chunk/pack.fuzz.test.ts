import assert from 'node:assert/strict';
import { createCipheriv } from 'node:crypto';
import { test } from 'node:test';
import { zstdCompressSync } from 'node:zlib';

import { systemClock } from '#base/clock.ts';
import { crc32c } from '#base/crc32c.ts';
import { FuzzWatch, mutated } from '#base/mutations.fixture.ts';
import { SeededRandom } from '#base/random.ts';
import { BLOCK_BYTES, CHUNK_BYTES } from '#domain/geometry.ts';
import type { AccountId } from '#domain/ids.ts';

import { differingBlocks } from './block-set.ts';
import { DamageError, StoreError } from './errors.ts';
import { checkPack, PackBuilder, readPackEntries, type PackName } from './pack.ts';
import {
  accountKeys,
  addressOf,
  associatedData,
  checkRecord,
  DELTA_HEADER_BYTES,
  parseRecordHeader,
  RECORD_HEADER_BYTES,
  sealDelta,
  sealRecord,
  TAG_BYTES,
  unsealRecord,
} from './seal.ts';
import { openChain } from './unseal.ts';

const SEED = Number(process.env['FUZZ_SEED'] ?? systemClock.nowMs() % 1_000_000);
const INPUTS = Number(process.env['FUZZ_INPUTS'] ?? 10_000);
const MEMORY_BYTES_MAX = 256 * 1024 * 1024;
const ACCOUNT = '000000000001' as AccountId;
const KEYS = accountKeys(new SeededRandom(9).bytes(32), ACCOUNT);
const NAME: PackName = { account: ACCOUNT, id: 'ab'.repeat(16) };

/** A chunk, and one that differs from it in two blocks. */
const BASE = Buffer.alloc(CHUNK_BYTES, 'the base ');
const CHANGED = Buffer.from(BASE);
CHANGED.fill(7, 3 * BLOCK_BYTES, 4 * BLOCK_BYTES);
CHANGED.fill(8, 90 * BLOCK_BYTES, 90 * BLOCK_BYTES + 5);
const BASE_KEY = addressOf(KEYS, 'chunk', BASE);
const CHANGED_KEY = addressOf(KEYS, 'chunk', CHANGED);

function records(random: SeededRandom): readonly Buffer[] {
  const nonce = (): Buffer => random.bytes(12);
  const small = random.bytes(1 + random.below(300));
  return [
    sealRecord({ keys: KEYS, kind: 'chunk', key: BASE_KEY, plain: BASE, nonce: nonce() }),
    sealDelta({
      keys: KEYS,
      key: CHANGED_KEY,
      plain: CHANGED,
      base: BASE_KEY,
      changed: differingBlocks(CHANGED, BASE),
      nonce: nonce(),
    }),
    sealRecord({ keys: KEYS, kind: 'node', key: addressOf(KEYS, 'node', small), plain: small, nonce: nonce() }),
  ];
}

function packOf(random: SeededRandom): Buffer {
  const all = records(random);
  const builder = new PackBuilder(NAME);
  for (let count = 1 + random.below(5); count > 0; count -= 1) builder.add(all[random.below(all.length)] as Buffer);
  return Buffer.concat(builder.finish());
}

/** Makes the checksums good again behind what was changed. */
function resealedPack(pack: Buffer): Buffer {
  if (pack.length < 64 + 32) return pack;
  pack.writeUInt32LE(crc32c(pack.subarray(0, 60)), 60);
  const trailer = pack.subarray(-32);
  const footerBytes = trailer.readUInt32LE(12) * 48;
  const footer = pack.subarray(Math.max(0, pack.length - 32 - footerBytes), pack.length - 32);
  trailer.writeUInt32LE(crc32c(footer, crc32c(pack.subarray(0, 64))), 24);
  trailer.writeUInt32LE(crc32c(trailer.subarray(0, 28)), 28);
  return pack;
}

/** Makes the tag good again behind what was changed in header or content. */
function resealedRecord(record: Buffer, content: Uint8Array): Buffer {
  const headerBytes = record[0] === 3 ? DELTA_HEADER_BYTES : RECORD_HEADER_BYTES;
  const head = Buffer.from(record.subarray(0, Math.min(headerBytes, record.length)));
  if (head.length < headerBytes) return head;
  const cipher = createCipheriv('aes-256-gcm', KEYS.seal, head.subarray(12, 24));
  cipher.setAAD(associatedData(ACCOUNT, head, headerBytes));
  const payload = Buffer.concat([cipher.update(content), cipher.final()]);
  return Buffer.concat([head, payload, cipher.getAuthTag()]);
}

async function refused(work: () => unknown): Promise<boolean> {
  try {
    await work();
    return false;
  } catch (error) {
    if (error instanceof DamageError) return true;
    // Its flag says so, and its tag is right.
    if (error instanceof StoreError && error.kind === 'key-needed') return true;
    throw error;
  }
}

test(`a pack, whatever is in it, is read or refused as damage (FUZZ_SEED=${SEED})`, async (t) => {
  const random = new SeededRandom(SEED);
  const watch = new FuzzWatch(() => systemClock.monotonicMs());
  const ends = { read: 0, damaged: 0 };
  let whole = packOf(random);
  for (let input = 0; input < INPUTS; input += 1) {
    if (input % 20 === 0) whole = packOf(random);
    const shape = random.below(8);
    const wrong = shape === 0 ? whole : shape === 1 ? random.bytes(random.below(400)) : mutatedEnds(random, whole);
    const pack = shape < 3 ? wrong : resealedPack(wrong);
    const isRefused = await watch.runAsync(async () => {
      const read = async (offset: number, length: number): Promise<Buffer> => pack.subarray(offset, offset + length);
      const isLost = await refused(() => readPackEntries(NAME, pack.length, read));
      const isDamaged = await refused(() => checkPack(KEYS, NAME, pack));
      assert(isDamaged || !isLost, 'what is whole can be listed');
      return isDamaged;
    });
    ends[isRefused ? 'damaged' : 'read'] += 1;
  }
  t.diagnostic(`${watch.summary()}; ${JSON.stringify(ends)}`);
  assert(ends.read > 0 && ends.damaged > 0, 'both ends were seen');
  assert(watch.slowestMs < 2000 && watch.growthBytes < MEMORY_BYTES_MAX, watch.summary());
});

/** Mostly at the header, footer and trailer: in a record any change fails the tag. */
function mutatedEnds(random: SeededRandom, pack: Buffer): Buffer {
  const ends = Math.min(240, pack.length - 64);
  if (random.below(5) === 0) return mutated(random, pack);
  const tail = mutated(random, pack.subarray(-ends));
  const head = random.below(4) === 0 ? mutated(random, pack.subarray(0, 64)) : pack.subarray(0, 64);
  return Buffer.concat([head, pack.subarray(64, pack.length - ends), tail]);
}

test(`a record, whatever is in it, is opened or refused as damage (FUZZ_SEED=${SEED})`, async (t) => {
  const random = new SeededRandom(SEED);
  const watch = new FuzzWatch(() => systemClock.monotonicMs());
  const ends = { opened: 0, damaged: 0 };
  const all = records(random);
  const contents = [zstdCompressSync(BASE), BASE, zstdCompressSync(Buffer.alloc(64 * CHUNK_BYTES)), Buffer.alloc(8)];
  for (let input = 0; input < INPUTS; input += 1) {
    const whole = all[random.below(all.length)] as Buffer;
    const shape = random.below(8);
    const header = Math.min(whole.length - TAG_BYTES, DELTA_HEADER_BYTES);
    const wrong =
      shape < 2
        ? mutated(random, whole)
        : Buffer.concat([mutated(random, whole.subarray(0, header)), whole.subarray(header)]);
    const record = shape < 5 ? wrong : resealedRecord(wrong, contents[random.below(contents.length)] as Uint8Array);
    const isRefused = await watch.runAsync(() => refused(() => openAny(shape === 7 ? whole : record, all)));
    ends[isRefused ? 'damaged' : 'opened'] += 1;
  }
  t.diagnostic(`${watch.summary()}; ${JSON.stringify(ends)}`);
  assert(ends.opened > 0 && ends.damaged > 0, 'both ends were seen');
  assert(watch.slowestMs < 2000 && watch.growthBytes < MEMORY_BYTES_MAX, watch.summary());
});

/** Opens it as what it says it is, and a delta on its base. */
function openAny(record: Buffer, all: readonly Buffer[]): void {
  checkRecord(KEYS, record);
  const { kind, key } = parseRecordHeader(record);
  if (kind === 'delta') {
    const chain = openChain(KEYS, [
      { key, record },
      { key: BASE_KEY, record: all[0] as Buffer },
    ]);
    assert.equal(chain.length, CHUNK_BYTES);
    return;
  }
  unsealRecord(KEYS, kind, key, record);
}
