import type { AccountId } from '#domain/ids.ts';
import type { DocumentKind } from '#meta/document-table.ts';
import type { ReadTx } from '#meta/meta-store.ts';
import { inAccount } from './records.ts';

const PAGE_ROWS = 1000;

/** Every record of a kind in an account, in the order of creation; of one owner, or all. An account has at most some thousands. */
export async function allOf<R>(
  tx: ReadTx,
  kind: DocumentKind<R>,
  account: AccountId,
  owner: string | null = null,
): Promise<readonly R[]> {
  const found: R[] = [];
  for (let after = 0; ;) {
    const rows = await tx.documents.list(kind, inAccount(account), owner, { after, countMax: PAGE_ROWS });
    found.push(...rows.map(({ record }) => record));
    const last = rows.at(-1);
    if (last === undefined || rows.length < PAGE_ROWS) return found;
    after = last.sequence;
  }
}
