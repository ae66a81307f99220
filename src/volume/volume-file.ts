import { crc32c } from '#base/crc32c.ts';
import { CHUNK_BYTES } from '#domain/geometry.ts';
import { parseAccountId, parseSnapshotId, parseVolumeId } from '#domain/ids.ts';
import type { AccountId, Generation, VolumeId } from '#domain/ids.ts';
import { parseTreeRoot } from '#snapshot/tree.ts';

import { VolumeHostError } from './host.ts';
import type { VolumeOrigin } from './volume-origin.ts';

/** What `volume.json` says: what the volume is, and who may write it. */
export interface VolumeRecord {
  readonly volume: VolumeId;
  readonly account: AccountId;
  readonly sizeBytes: number;
  readonly origin: VolumeOrigin | null;
  /** All that the origin held is in the volume: nothing reads it any more, and it may be gone. */
  readonly detached: boolean;
  /** At most, while the origin's chunks are fetched in the background; null: as the host is set. */
  readonly hydrationBytesPerSecond: number | null;
  /** The newest writer that opened it; 0: nobody yet. */
  readonly generation: Generation;
  /** Of an encrypted volume, its key as VolumeKeys seals it; null: it is not encrypted. */
  readonly sealedKey: string | null;
}

const FORMAT = 'varve-volume';
const VERSION = 1;
/** Of a volume that is detached from its origin. A program that knows only version 1 would go and read that. */
const VERSION_DETACHED = 2;
/** Of a volume whose origin is sealed under a data key, detached or not. A program that knows only versions 1 and 2 could not read that. */
const VERSION_DATA_KEY = 3;
/** Of a volume whose origin is in an Outpost's store, whatever else it is. A program that knows only the others would read it in the region's. */
const VERSION_OUTPOST = 4;
const VERSIONS: readonly unknown[] = [VERSION, VERSION_DETACHED, VERSION_DATA_KEY, VERSION_OUTPOST];

const BODY_END = '\n}\n';

export function encodeVolumeRecord(record: VolumeRecord): Buffer {
  return encodeMembers({ version: versionOf(record), ...record });
}

function versionOf({ origin, detached }: Pick<VolumeRecord, 'origin' | 'detached'>): number {
  if (origin?.root.outpost !== undefined) return VERSION_OUTPOST;
  if (origin?.root.dataKey !== undefined) return VERSION_DATA_KEY;
  return detached ? VERSION_DETACHED : VERSION;
}

/** JSON whose last member is the CRC-32C of the bytes before that member's comma. */
export function encodeMembers(members: Readonly<Record<string, unknown>>): Buffer {
  const json = `${JSON.stringify({ format: FORMAT, ...members }, null, 2)}\n`;
  const body = Buffer.from(json.slice(0, -BODY_END.length));
  return Buffer.concat([body, checksumMember(body)]);
}

function checksumMember(body: Uint8Array): Buffer {
  return Buffer.from(`,\n  "crc32c": "${crc32c(body).toString(16).padStart(8, '0')}"${BODY_END}`);
}

function isWhole(bytes: Uint8Array): boolean {
  const bodyBytes = Math.max(0, bytes.length - checksumMember(new Uint8Array()).length);
  return checksumMember(bytes.subarray(0, bodyBytes)).equals(bytes.subarray(bodyBytes));
}

/** Throws VolumeHostError `damaged`, or `internal` for a version that this program does not know. */
export function decodeVolumeRecord(bytes: Uint8Array): VolumeRecord {
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch (error) {
    throw new VolumeHostError('damaged', 'volume.json is not JSON', { cause: error });
  }
  if (!isObject(json) || json['format'] !== FORMAT) throw damaged('format');
  const version = json['version'];
  if (!VERSIONS.includes(version)) {
    throw new VolumeHostError(
      'internal',
      `volume.json has version ${String(version)}; this program knows ${VERSIONS.join(', ')}`,
    );
  }
  if (!isWhole(bytes)) throw new VolumeHostError('damaged', 'volume.json fails its checksum');
  const sizeBytes = whole(json, 'sizeBytes');
  if (sizeBytes === 0 || sizeBytes % CHUNK_BYTES !== 0) throw damaged('sizeBytes');
  const origin = json['origin'] === null ? null : decodeOrigin(json['origin']);
  const detached = json['detached'] === true;
  if ((json['detached'] ?? false) !== detached || (detached && origin === null)) throw damaged('detached');
  if (version !== versionOf({ origin, detached })) throw damaged('version');
  return {
    volume: parseVolumeId(text(json, 'volume')) ?? fail('volume'),
    account: parseAccountId(text(json, 'account')) ?? fail('account'),
    sizeBytes,
    origin,
    detached,
    hydrationBytesPerSecond: isMissing(json, 'hydrationBytesPerSecond') ? null : rate(json, 'hydrationBytesPerSecond'),
    generation: whole(json, 'generation'),
    sealedKey: isMissing(json, 'sealedKey') ? null : text(json, 'sealedKey'),
  };
}

function decodeOrigin(value: unknown): VolumeOrigin {
  if (!isObject(value)) throw damaged('origin');
  const snapshot = parseSnapshotId(text(value, 'snapshot')) ?? fail('origin.snapshot');
  const root = parseTreeRoot(value['root']) ?? fail('origin.root');
  const chunkCount = whole(value, 'chunkCount');
  if (chunkCount !== root.chunkCount) throw damaged('origin.chunkCount');
  return { snapshot, root, chunkCount };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Or null. */
function isMissing(object: Readonly<Record<string, unknown>>, member: string): boolean {
  return (object[member] ?? null) === null;
}

function rate(object: Readonly<Record<string, unknown>>, member: string): number {
  const value = whole(object, member);
  return value > 0 ? value : fail(member);
}

function text(object: Readonly<Record<string, unknown>>, member: string): string {
  const value = object[member];
  return typeof value === 'string' ? value : fail(member);
}

function whole(object: Readonly<Record<string, unknown>>, member: string): number {
  const value = object[member];
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : fail(member);
}

function fail(member: string): never {
  throw damaged(member);
}

function damaged(member: string): VolumeHostError {
  return new VolumeHostError('damaged', `volume.json: ${member} is not what it should be`);
}
