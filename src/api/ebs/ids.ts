import { parseSnapshotId, type SnapshotId } from '#domain/ids.ts';
import { invalid } from './errors.ts';

/** The wire has checked the form `snap-` and hexadecimal digits; how many they are is checked here. */
export function requireSnapshotId(text: string): SnapshotId {
  const id = parseSnapshotId(text);
  if (id === null) throw invalid('INVALID_SNAPSHOT_ID', `The snapshot ID '${text}' is not valid.`);
  return id;
}
