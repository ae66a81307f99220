import type { ConfigOptions } from '#src/config.ts';

import { askServer, otherVersion } from './admin-client.ts';

/** What somebody means by a name or an id, as the server tells of it. */
export interface ListedResource {
  readonly kind: 'volume' | 'snapshot' | 'instance' | 'instance-snapshot';
  readonly id: string;
  /** Lightsail's name, or the tag Name. */
  readonly name: string | null;
  readonly face: 'ec2' | 'lightsail';
  readonly account: string;
  readonly region: string;
  readonly state: string;
  /** Of a volume or an instance. */
  readonly zone: string | null;
  /** ARN of the Outpost that a volume or a snapshot is on; null: it is in the region. */
  readonly outpost: string | null;
  /** Of an automatic snapshot: the day. */
  readonly autoDate: string | null;
  /** Of a snapshot: what the disk or instance is called in Lightsail. */
  readonly sourceName: string | null;
  /** The snapshot of an instance that a snapshot is a part of. */
  readonly instanceSnapshot: string | null;
  /** Of a volume or a snapshot. */
  readonly sizeBytes: number | null;
  /** Of the snapshot of an instance: what the instance had. */
  readonly bundle: string | null;
  /** Ids of the snapshots of its disks; empty of all others. */
  readonly parts: readonly string[];
}

/** Throws CommandError when there is none, or several; ServerAwayError. */
export async function findResource(options: ConfigOptions, nameOrId: string): Promise<ListedResource> {
  const value = await askServer(options, 'GET', `/resource?${new URLSearchParams({ name: nameOrId }).toString()}`);
  if (isResource(value)) return value;
  throw otherVersion();
}

const KINDS: ReadonlySet<unknown> = new Set(['volume', 'snapshot', 'instance', 'instance-snapshot']);

function isResource(value: unknown): value is ListedResource {
  return (
    typeof value === 'object' &&
    value !== null &&
    'kind' in value &&
    KINDS.has(value.kind) &&
    'id' in value &&
    typeof value.id === 'string' &&
    'face' in value &&
    (value.face === 'ec2' || value.face === 'lightsail') &&
    'region' in value &&
    typeof value.region === 'string' &&
    'bundle' in value &&
    'outpost' in value &&
    'autoDate' in value &&
    'sourceName' in value &&
    'instanceSnapshot' in value &&
    'parts' in value &&
    Array.isArray(value.parts)
  );
}
