import type { Tag } from '#domain/tags.ts';
import type { Tags } from '#domain/volume.ts';

/** Whether one of the wanted tags is there, with its value. */
export function hasOne(tags: Tags, wanted: readonly Tag[]): boolean {
  return wanted.some(({ key, value }) => Object.hasOwn(tags, key) && tags[key] === value);
}
