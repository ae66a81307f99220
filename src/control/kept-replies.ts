import type { Scope } from '#domain/volume.ts';
import type { DocumentKind } from '#meta/document-table.ts';
import type { ControlPorts } from './ports.ts';

/** What a call was answered, kept so that its repetition is told the same, also by the next server on these metadata. */
export interface KeptReply {
  /** Of the call: the same for its attempts, and for nothing else. */
  readonly id: string;
  readonly atMs: number;
  readonly requestId: string;
  readonly status: number;
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Sealed by the vault for this reply: it may hold a token. */
  readonly sealedBody: string;
}

const KEPT_REPLIES: DocumentKind<KeptReply> = { name: 'kept-reply', idOf: ({ id }) => id, ownerOf: () => null };

export function sealBody({ vault }: Pick<ControlPorts, 'vault'>, id: string, body: Uint8Array): string {
  return vault.seal(['kept reply', id], body);
}

/** Null: it was sealed under another master key. */
export function openBody({ vault }: Pick<ControlPorts, 'vault'>, { id, sealedBody }: KeptReply): Buffer | null {
  return vault.open(['kept reply', id], sealedBody);
}

/** With each that is kept, so many old ones go. */
const PRUNED_AT_ONCE = 16;

export async function findKeptReply(ports: ControlPorts, scope: Scope, id: string): Promise<KeptReply | null> {
  return await ports.meta.read((tx) => tx.documents.find(KEPT_REPLIES, scope, id));
}

/** Keeps it, and forgets some that are older than `keepMs`. */
export async function keepReply(ports: ControlPorts, scope: Scope, reply: KeptReply, keepMs: number): Promise<void> {
  await ports.meta.transact(async (tx) => {
    const oldest = await tx.documents.all(KEPT_REPLIES, { after: 0, countMax: PRUNED_AT_ONCE });
    for (const { record: old } of oldest) {
      if (old.record.atMs < ports.time.earliestMs() - keepMs)
        await tx.documents.remove(KEPT_REPLIES, old, old.record.id);
    }
    const known = await tx.documents.find(KEPT_REPLIES, scope, reply.id);
    await (known === null
      ? tx.documents.insert(KEPT_REPLIES, scope, reply)
      : tx.documents.update(KEPT_REPLIES, scope, reply));
  });
}
