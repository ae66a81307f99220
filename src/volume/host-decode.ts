import {
  type AccountId,
  type CutId,
  parseAccountId,
  parseSnapshotId,
  parseVolumeId,
  type RegionName,
  type SnapshotId,
  type VolumeId,
} from '#domain/ids.ts';
import { type OutpostId, parseOutpostId } from '#domain/outpost.ts';

import type { NbdGrant } from './host.ts';

/** Turns what JSON gave into a value of a known shape, or throws DecodeError. `path` names the place in errors. */
export type Decode<T> = (value: unknown, path: string) => T;

/** A message that does not have its shape: the other side is another program, or broken. */
export class DecodeError extends Error {
  override readonly name = 'DecodeError';
}

function refuse(path: string, expected: string): never {
  throw new DecodeError(`${path} is not ${expected}`);
}

export const text: Decode<string> = (value, path) => (typeof value === 'string' ? value : refuse(path, 'text'));

export const flag: Decode<boolean> = (value, path) => (typeof value === 'boolean' ? value : refuse(path, 'a boolean'));

/** A whole number from 0 that a double holds exactly. */
export const count: Decode<number> = (value, path) =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : refuse(path, 'a count');

/** Nothing: `null` on the wire. */
export const nothing: Decode<void> = (value, path) => (value === null ? undefined : refuse(path, 'null'));

export function nullable<T>(decode: Decode<T>): Decode<T | null> {
  return (value, path) => (value === null ? null : decode(value, path));
}

export function list<T>(decode: Decode<T>): Decode<readonly T[]> {
  return (value, path) =>
    Array.isArray(value) ? value.map((item, index) => decode(item, `${path}[${index}]`)) : refuse(path, 'a list');
}

/** Exactly these fields matter; others are ignored. */
export function record<R extends object>(fields: { readonly [F in keyof R]: Decode<R[F]> }): Decode<R> {
  return (value, path) => {
    if (!isObject(value)) refuse(path, 'an object');
    const decoded: Partial<R> = {};
    for (const name in fields) {
      if (Object.hasOwn(fields, name)) {
        decoded[name] = fields[name](Object.hasOwn(value, name) ? value[name] : undefined, `${path}.${name}`);
      }
    }
    return decoded as R; // Every field of R was decoded just now.
  };
}

/** An object used as a table. `Object.fromEntries` defines own properties: a key like `__proto__` is only a key. */
export function table<K extends string, T>(key: Decode<K>, decode: Decode<T>): Decode<Readonly<Record<K, T>>> {
  return (value, path) => {
    if (!isObject(value)) refuse(path, 'an object');
    const entries = Object.entries(value).map(([name, item]) => [key(name, path), decode(item, `${path}.${name}`)]);
    return Object.fromEntries(entries) as Record<K, T>;
  };
}

export function oneOf<T extends string>(values: readonly T[]): Decode<T> {
  return (value, path) => values.find((known) => known === value) ?? refuse(path, `one of ${values.join(', ')}`);
}

export const volumeId: Decode<VolumeId> = (value, path) =>
  parseVolumeId(text(value, path)) ?? refuse(path, 'a volume id');

export const snapshotId: Decode<SnapshotId> = (value, path) =>
  parseSnapshotId(text(value, path)) ?? refuse(path, 'a snapshot id');

export const outpostId: Decode<OutpostId> = (value, path) =>
  parseOutpostId(text(value, path)) ?? refuse(path, 'an Outpost id');

export const exportId: Decode<VolumeId | SnapshotId> = (value, path) => {
  const id = text(value, path);
  return parseVolumeId(id) ?? parseSnapshotId(id) ?? refuse(path, 'the id of a volume or a snapshot');
};

export const nbdGrant: Decode<NbdGrant> = record<NbdGrant>({
  id: text,
  exportId,
  issuedAtMs: count,
  expiresAtMs: nullable(count),
});

export const accountId: Decode<AccountId> = (value, path) =>
  parseAccountId(text(value, path)) ?? refuse(path, 'an account id');

/** A region's name has no list here: the metadata knows which there are. */
export const regionName: Decode<RegionName> = (value, path) => text(value, path) as RegionName;

const CUT_ID = /^[A-Za-z0-9-]{1,64}$/;

export const cutId: Decode<CutId> = (value, path) => {
  const id = text(value, path);
  return CUT_ID.test(id) ? (id as CutId) : refuse(path, 'a cut id');
};

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
