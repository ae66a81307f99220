import type { Tags } from '#domain/volume.ts';

export interface TagView {
  readonly Key: string;
  readonly Value: string;
}

/** Present also when empty, in the order of their keys: a client that compares two answers sees no difference where none is. */
export function tagViews(tags: Tags): readonly TagView[] {
  return Object.entries(tags)
    .sort(([first], [second]) => (first < second ? -1 : 1))
    .map(([key, value]) => ({ Key: key, Value: value }));
}
