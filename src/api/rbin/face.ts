import { defineFace, type Face } from '#api/handler.ts';
import { mapFailure } from './errors.ts';

export const rbinFace: Face = defineFace({
  service: 'rbin',
  repeatable: ['Get', 'List', 'Describe'],
  mapFailure,
  handlers: {},
});
