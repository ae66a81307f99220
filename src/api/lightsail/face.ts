import { defineFace, type Face } from '#api/handler.ts';
import { createDiskSnapshot, deleteDiskSnapshot, getDiskSnapshot, getDiskSnapshots } from './disk-snapshots.ts';
import { createDisk, createDiskFromSnapshot, deleteDisk, getDisk, getDisks } from './disks.ts';
import { mapFailure } from './errors.ts';
import { getOperation, getOperations, getOperationsForResource } from './operations.ts';
import { admitRegion, getRegions } from './regions.ts';
import { tagResource, untagResource } from './tags.ts';

export const lightsailFace: Face = defineFace({
  service: 'lightsail',
  repeatable: ['Get'],
  admit: admitRegion,
  mapFailure,
  handlers: {
    GetRegions: getRegions,
    CreateDisk: createDisk,
    CreateDiskFromSnapshot: createDiskFromSnapshot,
    GetDisk: getDisk,
    GetDisks: getDisks,
    DeleteDisk: deleteDisk,
    CreateDiskSnapshot: createDiskSnapshot,
    GetDiskSnapshot: getDiskSnapshot,
    GetDiskSnapshots: getDiskSnapshots,
    DeleteDiskSnapshot: deleteDiskSnapshot,
    GetOperation: getOperation,
    GetOperations: getOperations,
    GetOperationsForResource: getOperationsForResource,
    TagResource: tagResource,
    UntagResource: untagResource,
  },
});
