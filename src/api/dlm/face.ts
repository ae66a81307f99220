import { defineFace, type Face } from '#api/handler.ts';
import { mapFailure } from './errors.ts';

export const dlmFace: Face = defineFace({
  service: 'dlm',
  repeatable: ['Get', 'List', 'Describe'],
  mapFailure,
  handlers: {},
});
