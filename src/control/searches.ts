/** By what lists are searched, for those who say it: a face does not know the metadata. */
export type { SnapshotSearch, TagSearch } from '#meta/meta-store.ts';
