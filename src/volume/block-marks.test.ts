import assert from 'node:assert/strict';
import { test } from 'node:test';

import { BlockMarks } from './block-marks.ts';
import { PAGE_CHUNKS } from './chunk-map.ts';

/** 512 GiB. */
const SHARE = 1024 * 1024;

/** Of how many pages marks are kept, when chunks of all of them are written. */
function pagesKept(marks: BlockMarks, chunkCount: number): number {
  let kept = 0;
  for (let index = 0; index < chunkCount; index += PAGE_CHUNKS) {
    marks.begin(index, 1);
    if (marks.changedSince(index, 1) !== null) kept += 1;
  }
  return kept;
}

test('a volume that grew remembers as much as one that was made so large', () => {
  const grown = new BlockMarks(SHARE / 2);
  grown.grow(4 * SHARE);
  assert.equal(pagesKept(grown, 4 * SHARE), pagesKept(new BlockMarks(4 * SHARE), 4 * SHARE));
});
