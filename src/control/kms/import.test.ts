import assert from 'node:assert/strict';
import { constants, createPublicKey, publicEncrypt } from 'node:crypto';
import { test } from 'node:test';
import { keyState } from '#domain/kms/key.ts';
import { DAY_MS } from '#domain/kms/limits.ts';
import { World } from '#control/world.fake.ts';
import type { KmsCall } from './access.ts';
import {
  deleteImportedMaterial,
  importMaterial,
  type ImportMaterial,
  type OaepHash,
  parametersForImport,
} from './import.ts';
import * as keys from './keys.ts';
import { asRoot, NO_OPTIONS, PLAIN_KEY, refusal } from './kms-world.fake.ts';
import { decrypt, encrypt } from './messages.ts';
import { rotateOnDemand } from './rotation.ts';

const [FIRST, SECOND] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)];

async function wrapped(
  call: KmsCall,
  key: string,
  material: Buffer,
  hash: OaepHash = 'sha256',
): Promise<Pick<ImportMaterial, 'token' | 'wrapped'>> {
  const { publicKey, token } = await parametersForImport(call, { key, hash, modulusBits: 2048, words: ['', ''] });
  const rsa = createPublicKey({ key: publicKey, format: 'der', type: 'spki' });
  const options = { key: rsa, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: hash };
  return { token, wrapped: publicEncrypt(options, material) };
}

const PLAIN_IMPORT = { expiresAtMs: null, isNew: null, materialId: null, description: null } as const;

test('imported material expires at its time, and only the same bytes come back', async () => {
  await using world = await World.make();
  const call = asRoot(world, await world.account());
  const { id } = await keys.createKey(call, { ...PLAIN_KEY, origin: 'imported' });
  const state = async () => keyState(await keys.describeKey(call, id, []), world.clock.nowMs());
  const seal = async () => await encrypt(call, { ...NO_OPTIONS, key: id, plaintext: Buffer.from('x') });
  assert.equal(await refusal(seal()), 'is pending import');
  const expiresAtMs = world.clock.nowMs() + DAY_MS;
  const parcel = await wrapped(call, id, FIRST);
  await importMaterial(call, { ...PLAIN_IMPORT, ...parcel, key: id, expiresAtMs });
  const { ciphertext } = await seal();
  await world.clock.advance(DAY_MS - 1);
  assert.equal(await state(), 'enabled');
  assert.equal(await refusal(importMaterial(call, { ...PLAIN_IMPORT, ...parcel, key: id })), 'not refused');
  await importMaterial(call, { ...PLAIN_IMPORT, ...parcel, key: id, expiresAtMs });
  await world.clock.advance(1);
  assert.equal(await state(), 'pending-import', 'also before the task has run');
  assert.equal(await refusal(decrypt(call, { ...NO_OPTIONS, ciphertext, key: null })), 'is pending import');
  await world.control.run('tend-keys');
  assert.equal(
    await refusal(importMaterial(call, { ...PLAIN_IMPORT, ...parcel, key: id })),
    'import-token',
    'after a day',
  );
  const other = await wrapped(call, id, SECOND, 'sha1');
  assert.equal(await refusal(importMaterial(call, { ...PLAIN_IMPORT, ...other, key: id })), 'import-material');
  await importMaterial(call, { ...PLAIN_IMPORT, ...(await wrapped(call, id, FIRST, 'sha1')), key: id });
  assert.equal((await decrypt(call, { ...NO_OPTIONS, ciphertext, key: null })).plaintext.toString(), 'x');
});

test('new material waits for a rotation, and the key needs all that it ever had', async () => {
  await using world = await World.make();
  const call = asRoot(world, await world.account());
  const { id } = await keys.createKey(call, { ...PLAIN_KEY, origin: 'imported' });
  const bring = async (material: Buffer, isNew: boolean | null) =>
    await importMaterial(call, { ...PLAIN_IMPORT, ...(await wrapped(call, id, material)), key: id, isNew });
  const { materialId } = await bring(FIRST, null);
  const seal = async () => (await encrypt(call, { ...NO_OPTIONS, key: id, plaintext: Buffer.from('x') })).ciphertext;
  const before = await seal();
  assert.match(await refusal(rotateOnDemand(call, id)), /waits for a rotation/);
  assert.equal(await refusal(bring(FIRST, true)), 'import-material');
  const { key } = await bring(SECOND, true);
  assert.deepEqual(
    key.materials.map(({ state }) => state),
    ['current', 'pending-rotation'],
  );
  await rotateOnDemand(call, id);
  const later = await seal();
  await deleteImportedMaterial(call, id, materialId);
  assert.equal(await refusal(seal()), 'is pending import');
  await bring(FIRST, false);
  for (const ciphertext of [before, later]) {
    assert.equal((await decrypt(call, { ...NO_OPTIONS, ciphertext, key: null })).plaintext.toString(), 'x');
  }
});

test('what is made here is not imported, and what is wrapped otherwise is not taken', async () => {
  await using world = await World.make();
  const call = asRoot(world, await world.account());
  const made = await keys.createKey(call, PLAIN_KEY);
  assert.equal(await refusal(wrapped(call, made.id, FIRST)), 'unsupported');
  assert.equal(await refusal(deleteImportedMaterial(call, made.id, null)), 'unsupported');
  const { id } = await keys.createKey(call, { ...PLAIN_KEY, origin: 'imported' });
  const parcel = await wrapped(call, id, FIRST);
  const other = await wrapped(call, id, FIRST);
  const bring = (some: object) => refusal(importMaterial(call, { ...PLAIN_IMPORT, ...parcel, key: id, ...some }));
  assert.equal(await bring({ wrapped: other.wrapped }), 'ciphertext');
  assert.equal(await bring({ token: Buffer.from('nonsense') }), 'import-token');
  assert.equal(await bring({ ...(await wrapped(call, id, Buffer.alloc(31))) }), 'import-material');
  assert.equal(await bring({ expiresAtMs: world.clock.nowMs() }), 'invalid');
  assert.equal(await bring({ expiresAtMs: world.clock.nowMs() + 366 * DAY_MS }), 'invalid');
  assert.equal(await bring({}), 'not refused');
});
