import type { InstanceId, InstanceSnapshotId, RegionName, SnapshotId } from './ids.ts';
import type { Scope, Tags } from './volume.ts';

/**
 * Snapshots of all volumes of a machine at one instant, with what is needed to make the machine again.
 *
 * cutting → pending → available; cutting → (gone); pending → error. `cutting` is invisible to clients, as of one snapshot.
 */
export type InstanceSnapshotState = 'cutting' | 'pending' | 'available' | 'error';

/** One volume of the machine, as it was at that instant. */
export interface InstanceSnapshotPart {
  readonly snapshot: SnapshotId;
  /** Where the machine had it: `/dev/xvda` is the system volume. */
  readonly device: string;
  /** Lightsail's name of the disk; null of a system volume, which has none. */
  readonly diskName: string | null;
  readonly sizeGib: number;
}

export interface InstanceSnapshot extends Scope {
  readonly id: InstanceSnapshotId;
  /** Lightsail's name. Of an automatic one it is made from the machine's and the date, and in no list of names. */
  readonly name: string;
  readonly state: InstanceSnapshotState;
  readonly createdAtMs: number;
  readonly instance: InstanceId;
  readonly instanceName: string;
  readonly zone: string;
  readonly blueprint: string;
  readonly blueprintName: string;
  readonly bundle: string;
  readonly cpuCount: number;
  readonly memoryMib: number;
  readonly userName: string;
  /** Its system volume is the first. */
  readonly parts: readonly InstanceSnapshotPart[];
  /** `filesystem`: the guest's file systems were frozen, or it did not run. `crash`: as if its power had been cut. */
  readonly consistency: 'crash' | 'filesystem';
  /** Why no more than `crash` was reached; null: nothing to say. */
  readonly consistencyNote: string | null;
  /** So long the guest's writes were held, in ms; 0 of one that did not run. */
  readonly heldMs: number;
  /** Of an automatic one: the day in UTC, `2026-11-21`; null: somebody asked for it. */
  readonly autoDate: string | null;
  /** What it is a copy of; null of others. */
  readonly copiedFrom: {
    /** What it, or the machine whose automatic one it is, was called then. */
    readonly name: string;
    readonly region: RegionName;
    readonly isAutomatic: boolean;
  } | null;
  readonly tags: Tags;
}

/** The state that the states of its parts give it. */
export function stateOfParts(
  states: readonly ('pending' | 'completed' | 'error')[],
): 'pending' | 'available' | 'error' {
  if (states.includes('error')) return 'error';
  return states.every((state) => state === 'completed') ? 'available' : 'pending';
}
