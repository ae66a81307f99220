import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { SeededRandom } from '#base/random.ts';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { CommandError } from './command-error.ts';
import { looksLike, parseImageInfo, refuseReferences } from './import-format.ts';

const scratch = scratchDirectory('image-format');

async function written(bytes: Buffer | string): Promise<string> {
  const path = join(scratch, 'image');
  await writeFile(path, bytes);
  return path;
}

/** A qcow2 header of version 3 that stands alone. */
function qcow2(): Buffer {
  const head = Buffer.alloc(104);
  head.writeUInt32BE(0x514649fb, 0);
  head.writeUInt32BE(3, 4);
  head.writeUInt32BE(16, 20);
  head.writeBigUInt64BE(1n << 30n, 24);
  head.writeUInt32BE(104, 100);
  return head;
}

/** A sparse vmdk that stands alone, with this description. */
function vmdk(description: string): Buffer {
  const image = Buffer.alloc(512 * 21);
  image.write('KDMV', 0, 'latin1');
  image.writeUInt32LE(1, 4);
  image.writeBigUInt64LE(2048n, 12);
  image.writeBigUInt64LE(1n, 28);
  image.writeBigUInt64LE(20n, 36);
  image.write(description, 512, 'latin1');
  return image;
}

function edited(bytes: Buffer, edit: (bytes: Buffer) => void): Buffer {
  const copy = Buffer.from(bytes);
  edit(copy);
  return copy;
}

const ALONE = '# Disk DescriptorFile\nparentCID=ffffffff\ncreateType="monolithicSparse"\n';

test('images that stand alone are taken', async () => {
  await refuseReferences(await written(qcow2()), 'qcow2');
  await refuseReferences(await written(edited(qcow2(), (head) => head.writeUInt32BE(2, 4))), 'qcow2');
  await refuseReferences(await written(vmdk(ALONE)), 'vmdk');
});

test('whatever would read another file is refused by its header', async () => {
  const cases: readonly [Buffer | string, 'qcow2' | 'vmdk', RegExp][] = [
    [edited(qcow2(), (head) => head.writeBigUInt64BE(104n, 8)), 'qcow2', /has a backing file/],
    [edited(qcow2(), (head) => head.writeBigUInt64BE(4n, 72)), 'qcow2', /keeps its data in another file/],
    [edited(qcow2(), (head) => head.writeUInt32BE(1, 32)), 'qcow2', /is encrypted/],
    [edited(qcow2(), (head) => head.writeUInt32BE(4, 4)), 'qcow2', /of version 4/],
    [qcow2().subarray(0, 71), 'qcow2', /is no qcow2 image/],
    [qcow2().subarray(0, 76), 'qcow2', /keeps its data in another file/],
    ['', 'qcow2', /is no qcow2 image/],
    [vmdk('parentCID=12345678\n'), 'vmdk', /has a parent image/],
    [vmdk(`${ALONE}parentFileNameHint="/etc/shadow"\n`), 'vmdk', /has a parent image/],
    [edited(vmdk(ALONE), (image) => image.writeBigUInt64LE(0n, 12)), 'vmdk', /describes other files/],
    [edited(vmdk(ALONE), (image) => image.writeBigUInt64LE(1n << 50n, 36)), 'vmdk', /which is too much/],
    [ALONE, 'vmdk', /only describes other files/],
    ['COWD', 'vmdk', /no vmdk image of one sparse extent/],
  ];
  for (const [bytes, format, message] of cases) {
    await assert.rejects(refuseReferences(await written(bytes), format), (error: unknown) => {
      assert.ok(error instanceof CommandError);
      assert.match(error.message, message);
      return true;
    });
  }
});

test('no header of any bytes does anything but be taken or refused', async () => {
  const seed = Number(process.env['VARVE_SEED'] ?? 7);
  const random = new SeededRandom(seed);
  for (let round = 0; round < 500; round += 1) {
    const format = random.below(2) === 0 ? 'qcow2' : 'vmdk';
    const bytes = edited(format === 'qcow2' ? qcow2() : vmdk(ALONE), (image) => {
      for (let count = random.below(6); count > 0; count -= 1) image[4 + random.below(100)] = random.below(256);
    });
    const path = await written(bytes.subarray(0, random.below(4) === 0 ? random.below(bytes.length) : bytes.length));
    try {
      await refuseReferences(path, format);
    } catch (error) {
      assert.ok(error instanceof CommandError, `seed ${seed}, round ${round}: ${String(error)}`);
    }
  }
});

test('what qemu-img says of an image is read with the same suspicion', () => {
  const plain = {
    'virtual-size': 1024,
    format: 'qcow2',
    'format-specific': { type: 'qcow2', data: { compat: '1.1' } },
  };
  assert.deepEqual(parseImageInfo('/a', JSON.stringify(plain)), { sizeBytes: 1024 });
  const extents = (filename: string): object => ({ type: 'vmdk', data: { extents: [{ filename, format: 'SPARSE' }] } });
  assert.deepEqual(parseImageInfo('/a"b', JSON.stringify({ ...plain, 'format-specific': extents('/a"b') })), {
    sizeBytes: 1024,
  });
  for (const info of [
    { ...plain, 'backing-filename': 'x' },
    { ...plain, 'full-backing-filename': '/x' },
    { ...plain, 'format-specific': { type: 'qcow2', data: { 'data-file': '/etc/shadow' } } },
    { ...plain, 'format-specific': extents('/etc/shadow') },
    { ...plain, 'virtual-size': 0 },
    { ...plain, 'virtual-size': 'large' },
  ]) {
    assert.throws(() => parseImageInfo('/a', JSON.stringify(info)), CommandError);
  }
});

test('a file is known by its first bytes, where it has any', async () => {
  assert.equal(await looksLike(await written(qcow2())), 'qcow2');
  assert.equal(await looksLike(await written(vmdk(ALONE))), 'vmdk');
  assert.equal(await looksLike(await written(ALONE)), 'vmdk');
  assert.equal(await looksLike(await written('')), null);
  assert.equal(await looksLike(await written(Buffer.alloc(512))), null);
});
