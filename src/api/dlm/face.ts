import { defineFace, type Face } from '#api/handler.ts';
import { mapFailure } from './errors.ts';
import { policyHandlers } from './policies.ts';

/** Data Lifecycle Manager: policies by which snapshots are made and removed. */
export const dlmFace: Face = defineFace({
  service: 'dlm',
  repeatable: ['Get', 'List'],
  mapFailure,
  handlers: policyHandlers,
});
