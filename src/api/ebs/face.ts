import { defineFace } from '#api/handler.ts';
import { mapFailure } from './errors.ts';
import { getSnapshotBlock, listChangedBlocks, listSnapshotBlocks } from './read-blocks.ts';
import { completeSnapshot, putSnapshotBlock, startSnapshot } from './write-blocks.ts';

/** EBS direct: the blocks of snapshots, read and written. */
export const ebsFace = defineFace({
  service: 'ebs',
  handlers: {
    CompleteSnapshot: completeSnapshot,
    GetSnapshotBlock: getSnapshotBlock,
    ListChangedBlocks: listChangedBlocks,
    ListSnapshotBlocks: listSnapshotBlocks,
    PutSnapshotBlock: putSnapshotBlock,
    StartSnapshot: startSnapshot,
  },
  // A block put twice is the same block; keeping half a megabyte of each to compare would cost more than doing it again.
  repeatable: ['Get', 'List', 'Put'],
  mapFailure,
});
