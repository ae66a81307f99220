import { uuid } from '#base/random.ts';
import { refuse } from '#domain/errors.ts';
import type { ResourceId } from '#domain/ids.ts';
import type { Operation } from '#domain/operation.ts';
import type { Scope } from '#domain/volume.ts';
import type { ReadTx, Tx } from '#meta/meta-store.ts';
import { readPage } from './pages.ts';
import type { ControlPorts } from './ports.ts';

/** Refuses: not-found. */
export async function findOperation(ports: ControlPorts, scope: Scope, id: string): Promise<Operation> {
  const operation = await ports.meta.read((tx) => tx.operations.find(scope, id));
  return operation ?? refuse({ kind: 'not-found', resource: 'operation', id });
}

export interface ListOperations {
  readonly after: string | null;
  readonly countMax: number;
}

/** Oldest first. Refuses: page-token-invalid. */
export async function listOperations(
  ports: ControlPorts,
  scope: Scope,
  request: ListOperations,
): Promise<{ readonly operations: readonly Operation[]; readonly next: string | null }> {
  const page = await readPage<Operation>(ports, scope, 'operations', request, (part) =>
    ports.meta.read((tx) => tx.operations.list(scope, null, part)),
  );
  return { operations: page.records, next: page.next };
}

/** Of the resource that has, or had, the name; oldest first. Refuses: not-found when nothing of that name has ever been there, page-token-invalid. */
export async function listOperationsOf(
  ports: ControlPorts,
  scope: Scope,
  resourceName: string,
  request: ListOperations,
): Promise<{ readonly operations: readonly Operation[]; readonly next: string | null }> {
  const list = `operations of ${resourceName}`;
  const page = await readPage<Operation>(ports, scope, list, request, (part) =>
    ports.meta.read((tx) => tx.operations.list(scope, resourceName, part)),
  );
  if (page.records.length === 0 && request.after === null) {
    const holder = await ports.meta.read((tx) => tx.names.find(scope, resourceName));
    if (holder === null) refuse({ kind: 'not-found', resource: 'resource', id: resourceName });
  }
  return { operations: page.records, next: page.next };
}

/** What a request recorded for its subject, as it is now; `type` null: nothing. */
export async function operationsOf(
  tx: ReadTx,
  subject: ResourceId,
  type: string | null,
): Promise<readonly Operation[]> {
  return type === null ? [] : await tx.operations.ofSubject(subject, type);
}

export interface OperationDraft {
  readonly type: string;
  readonly resourceName: string;
  readonly resourceType: Operation['resourceType'];
  readonly zone: string;
  readonly details: string | null;
}

/** Records operations as Started, all at one time. */
export async function startOperations(
  ports: ControlPorts,
  tx: Tx,
  scope: Scope,
  subject: ResourceId,
  drafts: readonly OperationDraft[],
): Promise<readonly Operation[]> {
  return await insertOperations(ports, tx, scope, subject, drafts, 'Started');
}

/** Records an operation that ends with the transaction in which it began. */
export async function recordDone(
  ports: ControlPorts,
  tx: Tx,
  scope: Scope,
  subject: ResourceId,
  draft: OperationDraft,
): Promise<readonly Operation[]> {
  return await insertOperations(ports, tx, scope, subject, [draft], 'Succeeded');
}

async function insertOperations(
  ports: ControlPorts,
  tx: Tx,
  scope: Scope,
  subject: ResourceId,
  drafts: readonly OperationDraft[],
  status: 'Started' | 'Succeeded',
): Promise<readonly Operation[]> {
  const nowMs = ports.clock.nowMs();
  const operations = drafts.map((draft): Operation => ({
    ...draft,
    account: scope.account,
    region: scope.region,
    id: uuid(ports.random),
    subject,
    createdAtMs: nowMs,
    status,
    statusChangedAtMs: nowMs,
    errorCode: null,
    errorDetails: null,
  }));
  for (const operation of operations) await tx.operations.insert(operation);
  return operations;
}

export type OperationEnd =
  | { readonly status: 'Succeeded' }
  | { readonly status: 'Failed'; readonly errorCode: string; readonly errorDetails: string };

/** Ends all operations of the subject that have not ended; answers them as they are then. */
export async function endOperations(
  ports: ControlPorts,
  tx: Tx,
  subject: ResourceId,
  end: OperationEnd,
): Promise<readonly Operation[]> {
  const ended: Operation[] = [];
  for (const operation of await tx.operations.openOf(subject)) {
    // A clock that was set back must not let an operation end before it began.
    const statusChangedAtMs = Math.max(ports.clock.nowMs(), operation.createdAtMs);
    const changed: Operation = { ...operation, ...end, statusChangedAtMs };
    await tx.operations.update(changed);
    ended.push(changed);
  }
  return ended;
}
