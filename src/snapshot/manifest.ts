import { createHmac, timingSafeEqual } from 'node:crypto';

import { DamageError } from '#chunk/errors.ts';
import { derive } from '#chunk/seal.ts';
import type { Encryption } from '#domain/encryption.ts';
import {
  parseAccountId,
  parseSnapshotId,
  parseVolumeId,
  type AccountId,
  type RegionName,
  type SnapshotId,
  type VolumeId,
} from '#domain/ids.ts';
import type { OutpostId } from '#domain/outpost.ts';

import { parseTreeRoot, type TreeRoot } from './tree.ts';

/** What a manifest says beside the chunks; enough to find and restore the snapshot from the object store alone. */
export interface SnapshotLabel {
  readonly snapshot: SnapshotId;
  /** What people call it, and the disk: Lightsail's names, or the volume's tag Name. Not there: nothing. */
  readonly name?: string;
  readonly volumeName?: string;
  readonly account: AccountId;
  readonly region: RegionName;
  readonly volume: VolumeId;
  readonly sizeBytes: number;
  readonly description: string;
  readonly startedAtMs: number;
  readonly tags: Readonly<Record<string, string>>;
  /** The snapshot that this one is an increment of, as users see it; null for the first. */
  readonly parent: SnapshotId | null;
  /** The KMS key that it is encrypted with, and the data key that this one seals; not there: none. */
  readonly encryption?: Encryption;
  /** The Outpost in whose store it is; not there: it is in the region's. Not in the manifest, which is there itself. */
  readonly outpost?: OutpostId;
}

/** A completed snapshot (docs/formats/manifest.md). */
export interface Manifest {
  readonly label: SnapshotLabel;
  readonly completedAtMs: number;
  readonly root: TreeRoot;
  /** Bytes of all chunks that the snapshot holds, 512 KiB each. */
  readonly fullBytes: number;
  /** Bytes of the chunks that differ from the base it was written on. */
  readonly changedBytes: number;
  /** What the object store grew by for it: packs, without the manifest. */
  readonly storedBytes: number;
}

const FORMAT = 'varve-manifest';
const VERSION = 1;
/** Of a snapshot whose chunks are sealed under a data key: a program that knows only version 1 cannot read them. */
const VERSION_DATA_KEY = 2;
export const MANIFEST_PREFIX = 'snapshots/';

export function manifestObjectKey(snapshot: SnapshotId): string {
  return `${MANIFEST_PREFIX}${snapshot}`;
}

/** Null for an object that is no manifest. */
export function parseManifestObjectKey(objectKey: string): SnapshotId | null {
  return objectKey.startsWith(MANIFEST_PREFIX) ? parseSnapshotId(objectKey.slice(MANIFEST_PREFIX.length)) : null;
}

/** The key that manifests are authenticated with. */
export function manifestKey(masterKey: Uint8Array): Buffer {
  return derive(masterKey, 'manifest');
}

/** Two lines: JSON, and the HMAC-SHA-256 of that line under the manifest key, in hexadecimal. */
export function encodeManifest(key: Uint8Array, manifest: Manifest): Buffer {
  const { label, completedAtMs, root, fullBytes, changedBytes, storedBytes } = manifest;
  const content = {
    format: FORMAT,
    version: root.dataKey === undefined ? VERSION : VERSION_DATA_KEY,
    snapshot: label.snapshot,
    account: label.account,
    region: label.region,
    volume: label.volume,
    sizeBytes: label.sizeBytes,
    description: label.description,
    startedAtMs: label.startedAtMs,
    completedAtMs,
    // Pairs: a JSON object would be free to lose the order, and `__proto__` is a tag like any other.
    tags: Object.entries(label.tags),
    parent: label.parent,
    // Only where there is one: readers before these members take no notice of them.
    ...namesOf(label),
    ...(label.encryption === undefined ? {} : { encryption: encryptionMember(label.encryption) }),
    root: {
      key: root.key,
      depth: root.depth,
      chunkCount: root.chunkCount,
      presentCount: root.presentCount,
      ...(root.dataKey === undefined ? {} : { dataKey: root.dataKey }),
    },
    fullBytes,
    changedBytes,
    storedBytes,
  };
  const line = `${JSON.stringify(content)}\n`;
  return Buffer.from(`${line}${mac(key, line)}\n`);
}

/** Reads and verifies the manifest of this snapshot. Throws DamageError. */
export function decodeManifest(key: Uint8Array, snapshot: SnapshotId, bytes: Buffer): Manifest {
  const text = bytes.toString('utf8');
  const lineEnd = text.indexOf('\n') + 1;
  const line = text.slice(0, lineEnd);
  const found = Buffer.from(text.slice(lineEnd), 'utf8');
  const expected = Buffer.from(`${mac(key, line)}\n`);
  if (found.length !== expected.length || !timingSafeEqual(found, expected) || !Buffer.from(text).equals(bytes)) {
    throw new DamageError('the manifest fails its authentication');
  }
  const manifest = parseContent(parseObject(line));
  if (manifest.label.snapshot !== snapshot) throw new DamageError('the manifest is another snapshot’s');
  return manifest;
}

function mac(key: Uint8Array, line: string): string {
  return createHmac('sha256', key).update(line).digest('hex');
}

function parseObject(line: string): Readonly<Record<string, unknown>> {
  let content: unknown;
  try {
    content = JSON.parse(line);
  } catch (error) {
    throw new DamageError('the manifest is not JSON', { cause: error });
  }
  if (typeof content !== 'object' || content === null) throw unknownShape();
  return content as Readonly<Record<string, unknown>>;
}

/** The content was authenticated, so that a wrong shape is a format that this version does not know. */
function parseContent(content: Readonly<Record<string, unknown>>): Manifest {
  const version = content['version'];
  if (content['format'] !== FORMAT || (version !== VERSION && version !== VERSION_DATA_KEY)) {
    throw new DamageError(`the manifest is of format ${String(content['version'])}, which this version cannot read`);
  }
  const parent = content['parent'] === null ? null : known(parseSnapshotId(text(content, 'parent')));
  const root = known(parseTreeRoot(content['root']));
  if ((root.dataKey !== undefined) !== (version === VERSION_DATA_KEY)) throw unknownShape();
  return {
    label: {
      snapshot: known(parseSnapshotId(text(content, 'snapshot'))),
      account: known(parseAccountId(text(content, 'account'))),
      region: text(content, 'region') as RegionName,
      volume: known(parseVolumeId(text(content, 'volume'))),
      sizeBytes: count(content, 'sizeBytes'),
      description: text(content, 'description'),
      startedAtMs: count(content, 'startedAtMs'),
      tags: parseTags(content['tags']),
      parent,
      ...parseNames(content),
      ...(content['encryption'] === undefined ? {} : { encryption: parseEncryption(content['encryption']) }),
    },
    completedAtMs: count(content, 'completedAtMs'),
    root,
    fullBytes: count(content, 'fullBytes'),
    changedBytes: count(content, 'changedBytes'),
    storedBytes: count(content, 'storedBytes'),
  };
}

type Names = Pick<SnapshotLabel, 'name' | 'volumeName'>;

function namesOf({ name, volumeName }: Names): Names {
  return { ...(name === undefined ? {} : { name }), ...(volumeName === undefined ? {} : { volumeName }) };
}

function parseNames(content: Readonly<Record<string, unknown>>): Names {
  const names: { name?: string; volumeName?: string } = {};
  if (content['name'] !== undefined) names.name = text(content, 'name');
  if (content['volumeName'] !== undefined) names.volumeName = text(content, 'volumeName');
  return names;
}

function encryptionMember({ keyArn, dataKeyId, sealedKey }: Encryption): Encryption {
  return { keyArn, dataKeyId, sealedKey };
}

function parseEncryption(value: unknown): Encryption {
  if (typeof value !== 'object' || value === null) throw unknownShape();
  const content = value as Readonly<Record<string, unknown>>;
  return {
    keyArn: text(content, 'keyArn'),
    dataKeyId: text(content, 'dataKeyId'),
    sealedKey: text(content, 'sealedKey'),
  };
}

function parseTags(value: unknown): Readonly<Record<string, string>> {
  if (!Array.isArray(value)) throw unknownShape();
  return Object.fromEntries(
    value.map((pair: unknown) => {
      if (!Array.isArray(pair) || typeof pair[0] !== 'string' || typeof pair[1] !== 'string') throw unknownShape();
      return [pair[0], pair[1]];
    }),
  );
}

function text(content: Readonly<Record<string, unknown>>, name: string): string {
  const value = content[name];
  if (typeof value !== 'string') throw unknownShape();
  return value;
}

function count(content: Readonly<Record<string, unknown>>, name: string): number {
  const value = content[name];
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw unknownShape();
  return value;
}

function known<T>(value: T | null): T {
  if (value === null) throw unknownShape();
  return value;
}

function unknownShape(): DamageError {
  return new DamageError('the manifest has a shape that this version does not know');
}
