import { defineFace, type Face } from '#api/handler.ts';
import { mapFailure } from './errors.ts';
import { ruleHandlers } from './rules.ts';

/** Recycle Bin: the rules by which deleted snapshots and volumes are kept. */
export const rbinFace: Face = defineFace({
  service: 'rbin',
  repeatable: ['Get', 'List'],
  mapFailure,
  handlers: ruleHandlers,
});
