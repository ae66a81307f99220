import { createHash } from 'node:crypto';
import { refuse } from '#domain/errors.ts';
import type { ResourceId } from '#domain/ids.ts';
import type { Scope } from '#domain/volume.ts';
import type { ReadTx, Tx } from '#meta/meta-store.ts';

// A client token is recorded in the transaction that records the intent, so of two requests with one token, however they
// race, one makes (or deletes) the resource and the other finds it.

export interface TokenUse {
  /** Which use case. */
  readonly purpose: string;
  readonly token: string | null;
  /** Everything that must be the same when the token is used again: plain JSON values. */
  readonly request: unknown;
}

/** What the token made, or deleted, before; null when it is new or there is none. Refuses: token-mismatch. */
export async function findTokenResult(tx: ReadTx, scope: Scope, use: TokenUse): Promise<ResourceId | null> {
  if (use.token === null) return null;
  const record = await tx.tokens.find(scope, use.purpose, use.token);
  if (record === null) return null;
  if (record.requestHash !== hashOf(use.request)) refuse({ kind: 'token-mismatch', token: use.token });
  return record.result;
}

export async function recordToken(
  tx: Tx,
  scope: Scope,
  use: TokenUse,
  result: ResourceId,
  nowMs: number,
): Promise<void> {
  if (use.token === null) return;
  const { purpose, token } = use;
  await tx.tokens.insert(scope, { purpose, token, requestHash: hashOf(use.request), result, createdAtMs: nowMs });
}

/** For a request whose effect was taken back. */
export async function freeToken(tx: Tx, scope: Scope, { purpose, token }: TokenUse): Promise<void> {
  if (token !== null) await tx.tokens.remove(scope, purpose, token);
}

function hashOf(request: unknown): string {
  return createHash('sha256')
    .update(JSON.stringify(sorted(request)))
    .digest('hex');
}

/** The same value with the keys of every object in order. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return entries.map(([key, inner]) => [key, sorted(inner)]);
}
