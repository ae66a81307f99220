import { defineFace, type Face } from '#api/handler.ts';
import { mapFailure } from './errors.ts';

export const kmsFace: Face = defineFace({
  service: 'kms',
  repeatable: ['Get', 'List', 'Describe'],
  mapFailure,
  handlers: {},
});
