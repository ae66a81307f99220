import type { ControlPorts } from '#control/ports.ts';
import { changedChunks } from '#control/snapshot-changes.ts';
import { parseSnapshotId } from '#domain/ids.ts';

interface Reply {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/** `GET /changes?first=ID&second=ID&after=N` → `{ changes, next }`: a page of the chunks in which two snapshots may differ. */
export async function answerChanges(ports: ControlPorts, query: URLSearchParams): Promise<Reply> {
  const first = parseSnapshotId(query.get('first') ?? '');
  const second = parseSnapshotId(query.get('second') ?? '');
  if (first === null || second === null) return refused('first and second are ids of snapshots');
  const after = Number(query.get('after') ?? 0);
  if (!Number.isSafeInteger(after) || after < 0) return refused('after is no number of a chunk');
  return { status: 200, body: { ...(await changedChunks(ports, first, second, after)) } };
}

function refused(message: string): Reply {
  return { status: 400, body: { message } };
}
