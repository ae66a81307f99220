import type { SnapshotId } from './ids.ts';

/** What a machine that is made from a blueprint runs. */
export type Platform = 'LINUX_UNIX';

/**
 * What machines are made from: a snapshot of a system disk, with what a client has to know of it. Every account sees every
 * blueprint, in every region; the snapshot belongs to the account that brought it.
 */
export interface Blueprint {
  /** `debian_12`: unique in the server. */
  readonly id: string;
  /** For people: `Debian`. */
  readonly name: string;
  readonly platform: Platform;
  readonly type: 'os';
  /** What Lightsail's lists are grouped by: `debian`. */
  readonly group: string;
  readonly description: string;
  /** Of what is inside: `12.11`. */
  readonly version: string;
  readonly snapshot: SnapshotId;
  /** The least size of a system disk. */
  readonly diskGibMin: number;
  /** The least `power` of a bundle (Lightsail's number; 0: any). */
  readonly minimumPower: number;
  /** Who logs in by ssh, with the key pair of the machine. */
  readonly userName: string;
  /** Machines are made of it. One that is not is shown, and keeps its snapshot. */
  readonly isActive: boolean;
  readonly createdAtMs: number;
}

/** What whoever makes one says of it. */
export type BlueprintWords = Pick<
  Blueprint,
  'id' | 'name' | 'group' | 'description' | 'version' | 'userName' | 'minimumPower'
>;

const ID = /^[a-z][a-z0-9]*(?:_[a-z0-9]+)*$/;
const ID_LENGTH_MAX = 64;
const TEXT_LENGTH_MAX = 255;
/** Debian's rule for the names of users. */
const USER_NAME = /^[a-z_][a-z0-9_-]{0,31}$/;

/** What an id may be, in words. */
export const BLUEPRINT_ID_RULE = `${ID_LENGTH_MAX} small letters, digits and single _ at most, a letter first`;

export function isBlueprintId(text: string): boolean {
  return ID.test(text) && text.length <= ID_LENGTH_MAX;
}

/** The id that a name suggests: `Debian 12.11 (slim)` gives `debian_12_11_slim`; null where no id is left of it. */
export function blueprintIdOf(name: string): string | null {
  const id = name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '_')
    .replaceAll(/^[^a-z]+|_+$/g, '')
    .slice(0, ID_LENGTH_MAX)
    .replace(/_$/, '');
  return isBlueprintId(id) ? id : null;
}

/** What is wrong with the words of a blueprint; null: nothing. */
export function blueprintProblem(
  words: BlueprintWords,
): { readonly field: keyof BlueprintWords; readonly reason: string } | null {
  if (!isBlueprintId(words.id)) return { field: 'id', reason: `an id has ${BLUEPRINT_ID_RULE}` };
  if (!isBlueprintId(words.group)) return { field: 'group', reason: `a group has ${BLUEPRINT_ID_RULE}` };
  if (!USER_NAME.test(words.userName)) return { field: 'userName', reason: 'it is no name of a user' };
  if (!Number.isSafeInteger(words.minimumPower) || words.minimumPower < 0) {
    return { field: 'minimumPower', reason: 'it is a whole number, 0 or more' };
  }
  if (words.name === '') return { field: 'name', reason: 'it is empty' };
  for (const field of ['name', 'description', 'version'] as const) {
    const text = words[field];
    if (text.length > TEXT_LENGTH_MAX) return { field, reason: `it has more than ${TEXT_LENGTH_MAX} characters` };
    if (/\p{Cc}/u.test(text)) return { field, reason: 'it has control characters' };
  }
  return null;
}
