import {
  type ImageId,
  type InstanceId,
  parseImageId,
  parseInstanceId,
  parseSnapshotId,
  parseVolumeId,
  type SnapshotId,
  type VolumeId,
} from '#domain/ids.ts';
import { invalidParameter, malformedId, missingParameter } from './errors.ts';

// EC2 tells three wrong ids apart: what does not begin like an id is a wrong value, what begins like one and is not one is
// malformed, and a well-formed one that nobody has is not found (the use case says that).

/** The id under `parameter` (spelled `VolumeId`). Refuses what is missing, is not an id, or has the wrong length. */
export function requireVolumeId(text: string | undefined, parameter = 'VolumeId'): VolumeId {
  return requireId(text, parameter, { resource: 'volume', prefix: 'vol-', parse: parseVolumeId });
}

export function requireSnapshotId(text: string | undefined, parameter = 'SnapshotId'): SnapshotId {
  return requireId(text, parameter, { resource: 'snapshot', prefix: 'snap-', parse: parseSnapshotId });
}

export function requireInstanceId(text: string | undefined, parameter = 'InstanceId'): InstanceId {
  return requireId(text, parameter, { resource: 'instance', prefix: 'i-', parse: parseInstanceId });
}

export function requireImageId(text: string | undefined, parameter = 'ImageId'): ImageId {
  return requireId(text, parameter, { resource: 'blueprint', prefix: 'ami-', parse: parseImageId });
}

interface IdKind<Id> {
  readonly resource: 'volume' | 'snapshot' | 'instance' | 'blueprint';
  readonly prefix: string;
  readonly parse: (text: string) => Id | null;
}

function requireId<Id>(text: string | undefined, parameter: string, kind: IdKind<Id>): Id {
  if (text === undefined) throw missingParameter(parameter);
  const spelled = parameter.charAt(0).toLowerCase() + parameter.slice(1);
  if (text === '') throw invalidParameter(spelled, '', 'Parameter may not be null or empty');
  if (!text.startsWith(kind.prefix)) throw invalidParameter(spelled, text, `Expected: '${kind.prefix}...'.`);
  const id = kind.parse(text);
  if (id === null) throw malformedId(kind.resource, text);
  return id;
}

/** All of a request's ids, each once, in the order in which they were given; null when it gave none. */
export function parseIds<Id>(texts: readonly string[] | undefined, parse: (text: string) => Id): readonly Id[] | null {
  if (texts === undefined || texts.length === 0) return null;
  return [...new Set(texts.map(parse))];
}
