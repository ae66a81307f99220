import { type AuditHeads, SERIES_NAMES } from '#api/audit-log.ts';
import type { ChainHead } from '#api/audit-chain.ts';
import type { MetaStore } from '#meta/meta-store.ts';

/** Where the metadata keep how far the audit log had come. */
const SETTING = 'audit-heads';

/** For what the key of the audit log's chains is derived from the master key. */
export const AUDIT_PURPOSE = 'audit';

export async function auditHeads(meta: MetaStore): Promise<AuditHeads> {
  const kept = await meta.read((tx) => tx.settings.get(SETTING));
  return kept === null ? {} : parseAuditHeads(JSON.parse(kept));
}

export async function keepAuditHeads(meta: MetaStore, heads: AuditHeads): Promise<void> {
  await meta.transact((tx) => tx.settings.put(SETTING, JSON.stringify(heads)));
}

/** Leaves out what is not one. */
export function parseAuditHeads(value: unknown): AuditHeads {
  const of = (name: string): ChainHead | null => {
    const head: unknown =
      typeof value === 'object' && value !== null ? Object.entries(value).find(([key]) => key === name)?.[1] : null;
    if (typeof head !== 'object' || head === null || !('sequence' in head) || !('mac' in head)) return null;
    const { sequence, mac } = head;
    return typeof sequence === 'number' && typeof mac === 'string' ? { sequence, mac } : null;
  };
  return Object.fromEntries(SERIES_NAMES.flatMap((name) => (of(name) === null ? [] : [[name, of(name)]])));
}
