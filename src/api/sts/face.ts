import { defineFace, type Face } from '#api/handler.ts';
import { getCallerIdentity } from './caller-identity.ts';
import { mapFailure } from './errors.ts';
import { sessionHandlers } from './sessions.ts';

/** STS: who one is, and credentials for a time. */
export const stsFace: Face = defineFace({
  service: 'sts',
  // New credentials for a repetition are as good as the first, and a reply with a secret is not kept.
  repeatable: ['Get', 'Assume', 'Decode'],
  mapFailure,
  handlers: { ...sessionHandlers, GetCallerIdentity: getCallerIdentity },
});
