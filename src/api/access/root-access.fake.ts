import type { AccessKey } from '#control/access.ts';
import { type CallerLookup, rootCaller } from '#control/identity/callers.ts';
import type { CallContext } from '#api/handler.ts';
import type { Scope } from '#domain/volume.ts';
import { callAccess } from './call-access.ts';

/** The part of a CallContext that says who calls, for tests of handlers: the root of the scope's account. */
export function rootAccess(scope: Scope): Pick<CallContext, 'accessKeyId' | 'principal' | 'access'> {
  const accessKeyId = 'AKIAAAAAAAAAAAAAAAAA';
  const caller = rootCaller({ accessKeyId, secretAccessKey: '', account: scope.account });
  const arrival = { sourceAddress: '127.0.0.1', isSecure: false, userAgent: null, nowMs: 0 };
  return { accessKeyId, principal: caller.principal, access: callAccess(caller, scope.region, arrival) };
}

/** A server's look-up of callers that knows one key, the root's of its account. */
export function onlyRoot(key: AccessKey): (accessKeyId: string) => Promise<CallerLookup> {
  return async (accessKeyId) =>
    accessKeyId === key.accessKeyId ? { kind: 'found', caller: rootCaller(key) } : { kind: 'unknown' };
}
