import type { CallContext } from '#api/handler.ts';
import { invalidParameter } from './errors.ts';

/** EC2: up to 64 ASCII characters. */
const TOKEN = /^[\x21-\x7e]{1,64}$/;

/**
 * What makes a repetition of the call one with the first, also after a restart of the server: the client's own token,
 * else the name that SDKs give to all attempts of one call, kept apart from tokens by a blank. Null: every call is new.
 */
export function clientToken(token: string | undefined, context: Pick<CallContext, 'invocationId'>): string | null {
  if (token === undefined || token === '') {
    const { invocationId } = context;
    return invocationId !== null && TOKEN.test(invocationId) ? `call ${invocationId}` : null;
  }
  if (!TOKEN.test(token)) {
    throw invalidParameter('clientToken', token.slice(0, 64), 'A token has 1 to 64 ASCII characters.');
  }
  return token;
}
