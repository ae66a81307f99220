import type { ExportRecord } from '#domain/export-record.ts';
import type { ExportRecordId } from '#domain/ids.ts';
import { type Snapshot, visibleState } from '#domain/snapshot.ts';
import { endOperations } from '#control/operations.ts';
import type { ControlPorts } from '#control/ports.ts';
import type { DocumentKind } from '#meta/document-table.ts';
import type { Tx } from '#meta/meta-store.ts';

/** Found by name. */
export const EXPORT_RECORDS: DocumentKind<ExportRecord> = {
  name: 'export-record',
  idOf: ({ id }) => id,
  ownerOf: ({ name }) => name,
};

/** To be called in the transaction in which a snapshot of an export ends, or is deleted: the export may end with it. */
export async function exportPartEnded(ports: ControlPorts, tx: Tx, part: Snapshot, id: ExportRecordId): Promise<void> {
  const record = await tx.documents.find(EXPORT_RECORDS, part, id);
  if (record?.state !== 'Started') return;
  let state: ExportRecord['state'] = 'Succeeded';
  let errorDetails = 'a snapshot was deleted before it was complete';
  for (const one of record.snapshots) {
    const snapshot = await tx.snapshots.find(one);
    const seen = snapshot === null ? null : visibleState(snapshot);
    if (seen === 'completed' || snapshot?.state === 'recoverable' || seen === 'recovering') continue;
    if (seen === 'pending') {
      if (state === 'Succeeded') state = 'Started';
      continue;
    }
    state = 'Failed';
    errorDetails = snapshot?.stateMessage ?? errorDetails;
  }
  if (state === 'Started') return;
  await tx.documents.update(EXPORT_RECORDS, record, { ...record, state });
  const end =
    state === 'Succeeded' ? ({ status: state } as const) : { status: state, errorCode: 'ExportFailed', errorDetails };
  await endOperations(ports, tx, id, end);
}
