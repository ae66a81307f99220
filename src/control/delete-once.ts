import { assert } from '#base/assert.ts';
import type { ResourceId } from '#domain/ids.ts';
import type { Operation } from '#domain/operation.ts';
import type { Scope } from '#domain/volume.ts';
import type { ReadTx } from '#meta/meta-store.ts';
import { findTokenResult, type TokenUse } from './idempotency.ts';
import { operationsOf } from './operations.ts';
import type { ControlPorts } from './ports.ts';

export interface DeleteRequest {
  /** Client token: the same request again answers what the first did, and leaves alone what has the name by then. */
  readonly token: string | null;
  /** Lightsail's operation type to record (`DeleteDisk`); null: none. */
  readonly operation: string | null;
}

export interface Deleted {
  readonly operations: readonly Operation[];
}

export interface Deletion<Id extends ResourceId> {
  readonly use: TokenUse;
  readonly operation: string | null;
  /** What the request means. Refuses: not-found. */
  readonly find: (tx: ReadTx) => Promise<Id>;
  readonly isId: (id: ResourceId) => id is Id;
  /** Deletes it, and records the token in the transaction that decides so. */
  readonly retire: (id: Id) => Promise<Deleted>;
}

/** Runs a deletion as the one that works on its resource; a token whose deletion is decided answers that one. */
export async function deleteOnce<Id extends ResourceId>(
  ports: ControlPorts,
  scope: Scope,
  { use, operation, find, isId, retire }: Deletion<Id>,
): Promise<Deleted> {
  // The token first: what it deleted is not found any more, or its name is another's.
  const id = await ports.meta.read(async (tx) => {
    const before = await findTokenResult(tx, scope, use);
    if (before === null) return await find(tx);
    assert(isId(before), 'the token of a deletion names what it deleted');
    return before;
  });
  return await ports.intents.run(id, async () => {
    // Whoever worked on it has ended: by now the token is recorded, or was freed because nothing was deleted.
    const again = await ports.meta.read(async (tx) => {
      const isDecided = (await findTokenResult(tx, scope, use)) !== null;
      // Of several attempts at one resource, only the last can have deleted it.
      return isDecided ? { operations: (await operationsOf(tx, id, operation)).slice(-1) } : null;
    });
    return again ?? (await retire(id));
  });
}
