import { defineFace, type Face } from '#api/handler.ts';
import { getCallerIdentity } from './caller-identity.ts';
import { mapFailure } from './errors.ts';

export const stsFace: Face = defineFace({
  service: 'sts',
  repeatable: ['Get'],
  mapFailure,
  handlers: { GetCallerIdentity: getCallerIdentity },
});
