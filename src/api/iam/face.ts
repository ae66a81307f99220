import { defineFace, type Face } from '#api/handler.ts';
import { mapFailure } from './errors.ts';

export const iamFace: Face = defineFace({
  service: 'iam',
  repeatable: ['Get', 'List', 'Describe'],
  mapFailure,
  handlers: {},
});
