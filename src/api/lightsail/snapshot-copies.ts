import { copyByName } from '#control/machines/snapshot-copies.ts';
import { findRegion } from '#domain/region.ts';
import type { CallContext } from '#api/handler.ts';
import type { CopySnapshotRequest, CopySnapshotResult } from '#wire/aws/models/lightsail.ts';
import { refuseInvalid } from './errors.ts';
import { chooseSource } from './snapshot-sources.ts';
import { operationView } from './views.ts';

/**
 * To the region of the request. Answers one operation, the copy's, with the source's region and name as its details, as the
 * reference page of copy-snapshot shows.
 */
export async function copySnapshot(
  { ports, scope, invocationId: token, operation }: CallContext,
  input: CopySnapshotRequest,
): Promise<CopySnapshotResult> {
  const source = chooseSource(
    {
      snapshotName: input.sourceSnapshotName,
      resourceName: input.sourceResourceName,
      restoreDate: input.restoreDate,
      useLatest: input.useLatestRestorableAutoSnapshot,
    },
    { snapshot: 'sourceSnapshotName', resource: 'sourceResourceName' },
  );
  const region = findRegion(input.sourceRegion);
  if (region === null || region.lightsail === null) {
    refuseInvalid(
      `${input.sourceRegion} is not a Region of Lightsail.`,
      'Use GetRegions to list them. Names are case-sensitive.',
    );
  }
  const { operations } = await copyByName(ports, scope, {
    sourceRegion: region.name,
    source,
    name: input.targetSnapshotName,
    token,
    operation,
  });
  return { operations: operations.map(operationView) };
}
