import assert from 'node:assert/strict';
import { test } from 'node:test';

import { crc32c } from '#base/crc32c.ts';
import type { CutId } from '#domain/ids.ts';

import { encodeFirstCheckpoint, loadCheckpoint } from './checkpoint.ts';
import { PAGE_WORDS } from './chunk-map.ts';
import { VolumeHostError } from './host.ts';
import type { VolumeFile } from './volume-files.ts';
import { VolumeMap } from './volume-map.ts';

const IDENTITY = { volumeTag: 7, number: 1 };
const SHAPE = { chunkCount: 8, originCount: 0 };
const END_BYTES = 20;

function fileOf(bytes: Buffer): VolumeFile {
  return {
    sizeBytes: () => bytes.length,
    read: (target, start, length, position) => bytes.copy(target, start, position, position + length),
    readLater: async (target, start, length, position) => bytes.copy(target, start, position, position + length),
    write: () => assert.fail('a checkpoint is only read'),
    truncate: () => assert.fail('a checkpoint is only read'),
    sync: () => assert.fail('a checkpoint is only read'),
    close: () => {},
  };
}

interface Section {
  readonly kind: number;
  readonly epoch?: number;
  readonly pageIndex?: number;
  readonly words?: number;
  /** Of a cut's first entry. */
  readonly entryEpoch?: number;
  /** Words at the beginning, when they are not zeros. */
  readonly content?: readonly number[];
}

/** A checkpoint of a volume with one cut, of epoch 1, with good checksums whatever it says. */
function checkpointOf(sections: readonly Section[], change: (header: Buffer) => void = () => {}): VolumeFile {
  const map = new VolumeMap(SHAPE);
  map.addCut('a' as CutId, 1);
  const header = encodeFirstCheckpoint(map, IDENTITY).subarray(0, -END_BYTES);
  change(header);
  const seed = crc32c(header.subarray(0, -4));
  header.writeUInt32LE(seed, header.length - 4);
  const all = [...sections, { kind: 3, pageIndex: sections.length }];
  const encoded = all.map(({ kind, epoch = 0, pageIndex = 0, words = 0, entryEpoch = 1, content = [] }: Section) => {
    const bytes = Buffer.alloc(16 + words * 4 + 4);
    for (const [at, value] of [kind, epoch, pageIndex, words].entries()) bytes.writeUInt32LE(value, at * 4);
    if (kind === 2) bytes.writeUInt32LE(entryEpoch, 16 + 8);
    for (const [at, word] of content.entries()) bytes.writeUInt32LE(word, 16 + at * 4);
    bytes.writeUInt32LE(crc32c(bytes.subarray(0, -4), seed), bytes.length - 4);
    return bytes;
  });
  return fileOf(Buffer.concat([header, ...encoded]));
}

const PAGE: Section = { kind: 1, words: PAGE_WORDS };
const FROZEN: Section = { kind: 2, epoch: 1, words: 3 };

test('pages of the map and of a cut are loaded', async () => {
  const { map } = await loadCheckpoint(checkpointOf([PAGE, FROZEN]), IDENTITY, SHAPE);
  assert.notEqual(map.chunks.pageAt(0), null);
  assert.equal(map.tables[0]?.pageAt(0)?.length, 3);
});

const PARTIAL = 0x8000_0000;
/** Chunk 1 is in slot 4, above slot 3, with the blocks 5 and 127; and so it is, in other slots, in the cut. */
const PARTIAL_PAGE: Section = { ...PAGE, content: [0, 0, PARTIAL + 6, 2] };
const PARTIALS: Section = { kind: 4, words: 6, content: [1, 3, 1 << 5, 0, 0, PARTIAL] };
const PARTIAL_FROZEN: Section = { ...FROZEN, content: [1, PARTIAL + 9, 1] };
const FROZEN_PARTIALS: Section = { kind: 5, epoch: 1, words: 6, content: [1, 8, 1, 0, 0, 0] };

test('what describes partial slots is loaded', async () => {
  const sections = [PARTIAL_FROZEN, FROZEN_PARTIALS, PARTIAL_PAGE, PARTIALS];
  const { map } = await loadCheckpoint(checkpointOf(sections), IDENTITY, SHAPE);
  assert.deepEqual([...map.unders()].flat(), [3, 8]);
  assert.deepEqual([...map.references()].flat(), [4, 7]);
  assert.equal(map.chunks.partialCount, 1);
});

for (const [what, sections] of Object.entries<readonly Section[]>({
  'that describes partial slots of no page': [PARTIALS],
  'that describes partial slots of another page than the one before': [FROZEN, PARTIAL_PAGE, PARTIALS, PARTIALS],
  'that describes a partial slot of a cut as one of the map': [PARTIAL_FROZEN, { ...FROZEN_PARTIALS, kind: 4 }],
  'that describes partial slots of another cut': [PARTIAL_FROZEN, { ...FROZEN_PARTIALS, epoch: 2 }],
  'that describes too little': [PARTIAL_PAGE, { ...PARTIALS, words: 0, content: [] }],
  'that describes too much': [PARTIAL_PAGE, { ...PARTIALS, words: 12 }],
  'that describes another chunk': [PARTIAL_PAGE, { ...PARTIALS, content: [2, 3, 1 << 5] }],
  'that describes a slot above itself': [PARTIAL_PAGE, { ...PARTIALS, content: [1, 4, 1 << 5] }],
  'that describes a slot above what is none': [PARTIAL_PAGE, { ...PARTIALS, content: [1, PARTIAL, 1 << 5] }],
  'that describes a partial slot with nothing': [PARTIAL_PAGE, { ...PARTIALS, content: [1, 3] }],
  'that describes a partial slot with everything': [
    PARTIAL_PAGE,
    { ...PARTIALS, content: [1, 3, 0xffff_ffff, 0xffff_ffff, 0xffff_ffff, 0xffff_ffff] },
  ],
})) {
  test(`a section ${what} is damage`, async () => {
    await assert.rejects(loadCheckpoint(checkpointOf(sections), IDENTITY, SHAPE), isDamaged(/has no place|described/));
  });
}

for (const [what, sections] of Object.entries<readonly Section[]>({
  'of the map': [PARTIAL_PAGE],
  'of the map, before another page': [PARTIAL_PAGE, FROZEN, PARTIALS],
  'of a cut': [PARTIAL_FROZEN],
})) {
  test(`a page ${what} with a partial slot that is not described is damage`, async () => {
    await assert.rejects(loadCheckpoint(checkpointOf(sections), IDENTITY, SHAPE), isDamaged(/not described/));
  });
}

for (const [what, sections] of Object.entries<readonly Section[]>({
  'of an unknown kind': [{ ...FROZEN, kind: 6 }],
  'that ends it with an epoch': [{ kind: 3, epoch: 1 }],
  'that ends it with words': [{ kind: 3, words: 1 }],
  'of the kind 0': [{ ...FROZEN, kind: 0 }],
  'of a cut that the header does not name': [{ ...FROZEN, epoch: 2 }],
  'of the map with an epoch': [{ ...PAGE, epoch: 1 }],
  'of the map behind its end': [{ ...PAGE, pageIndex: 1 }],
  'of the map that is not whole': [{ ...PAGE, words: PAGE_WORDS - 2 }],
  'of the map a second time': [PAGE, PAGE],
  'of a cut behind the map': [{ ...FROZEN, pageIndex: 1 }],
  'of a cut with half an entry': [{ ...FROZEN, words: 4 }],
  'of a cut a second time': [FROZEN, FROZEN],
  'of a cut with an entry twice': [{ ...FROZEN, words: 6 }],
  'of a cut with what came after it': [{ ...FROZEN, entryEpoch: 2 }],
  'of a cut with what no cut keeps': [{ ...FROZEN, entryEpoch: 0 }],
})) {
  test(`a section ${what} is damage`, async () => {
    await assert.rejects(loadCheckpoint(checkpointOf(sections), IDENTITY, SHAPE), isDamaged(/has no place/));
  });
}

for (const [what, at, value] of [
  ['something in the reserved bytes', 44, 1],
  ['an unknown flag of a cut', 52, 2],
  ['something behind a name', 60, 0x0100_0061],
  ['a name longer than itself', 56, 1_000],
  ['fewer cuts than it has room for', 28, 0],
  ['more cuts than it has room for', 28, 2],
] as const) {
  test(`a header with ${what} is damage`, async () => {
    const file = checkpointOf([], (header) => header.writeUInt32LE(value, at));
    await assert.rejects(loadCheckpoint(file, IDENTITY, SHAPE), isDamaged(/does not know/));
  });
}

for (const [what, at, value] of [
  ['a cut that has not ended', 48, 2],
  ['a cut of no epoch', 48, 0],
  ['a cut without a name', 56, 0],
  ['no epoch', 24, 0],
  ['a sequence beyond all numbers', 36, 0xffff_ffff],
] as const) {
  test(`a header with ${what} is damage`, async () => {
    const file = checkpointOf([], (header) => header.writeUInt32LE(value, at));
    await assert.rejects(loadCheckpoint(file, IDENTITY, SHAPE), isDamaged(/cannot be|does not know/));
  });
}

function isDamaged(message: RegExp): (error: unknown) => boolean {
  return (error) => error instanceof VolumeHostError && error.kind === 'damaged' && message.test(error.message);
}
