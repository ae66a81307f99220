import { createHash } from 'node:crypto';
import type { CallContext } from '#api/handler.ts';

/**
 * The same text for every attempt of one call, and for no other: who calls, which call it is, and what it asks. It is kept with
 * what a creation makes, so that a repetition finds its own work, also after a restart. Null when the client does not say.
 */
export function madeBy(context: CallContext, input: unknown): string | null {
  const { invocationId, principal, operation } = context;
  if (invocationId === null) return null;
  const text = JSON.stringify([principal.id, operation, invocationId, input]);
  return createHash('sha256').update(text).digest('base64');
}
