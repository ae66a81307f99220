import { refuse } from './errors.ts';
import { planVolume, VOLUME_TYPES, type VolumePlan } from './volume-type.ts';
import type { VolumeType } from './volume.ts';

/** The last change of a volume's size or performance (EC2 ModifyVolume). */
export interface VolumeModification {
  readonly startedAtMs: number;
  /** When the volume had its new size; null: not yet. A change without a new size has it at once. */
  readonly grownAtMs: number | null;
  readonly from: VolumePlan;
  readonly to: VolumePlan;
}

/** What is to change; null: it stays, or follows from the type. */
export interface ModificationWish {
  readonly type: VolumeType | null;
  readonly sizeGib: number | null;
  readonly iops: number | null;
  readonly throughputMibps: number | null;
  readonly multiAttach: boolean | null;
}

/** How long a modification shows each of its states. */
export interface ModificationTimes {
  /** After the volume has its new size. */
  readonly modifyingMs: number;
  readonly optimizingMs: number;
}

export interface ModificationStatus {
  readonly state: 'modifying' | 'optimizing' | 'completed';
  /** Whole per cent. */
  readonly progressPercent: number;
  /** Null: not over. */
  readonly endedAtMs: number | null;
}

/**
 * The volume as it is to be. IOPS and throughput stay when the type does; another type begins with its own (3,000 IOPS where
 * they are provisioned, 125 MiB/s), as EC2 says. Refuses: invalid-value, volume-type rules as planVolume.
 */
export function planModification(from: VolumePlan, wish: ModificationWish): VolumePlan {
  const type = wish.type ?? from.type;
  const sizeGib = wish.sizeGib ?? from.sizeGib;
  if (sizeGib < from.sizeGib) {
    refuse({ kind: 'invalid-value', field: 'size', reason: 'New size cannot be smaller than existing size' });
  }
  const { iops, throughput } = VOLUME_TYPES[type];
  return planVolume({
    type,
    sizeGib,
    iops: iops === null ? wish.iops : (wish.iops ?? retainedIops(from, type)),
    throughputMibps:
      throughput === null ? wish.throughputMibps : (wish.throughputMibps ?? retainedThroughput(from, type)),
    multiAttach: wish.multiAttach ?? from.multiAttach,
  });
}

const IOPS_DEFAULT = 3000;

/** What a request that names no IOPS gives a volume of a type that takes them. */
export function retainedIops(from: VolumePlan, type: VolumeType): number {
  return type === from.type && from.iops !== null ? from.iops : IOPS_DEFAULT;
}

/** The same for throughput; null: the type's own. */
export function retainedThroughput(from: VolumePlan, type: VolumeType): number | null {
  return type === from.type ? from.throughputMibps : null;
}

export function isSamePlan(one: VolumePlan, other: VolumePlan): boolean {
  return (
    one.type === other.type &&
    one.sizeGib === other.sizeGib &&
    one.iops === other.iops &&
    one.throughputMibps === other.throughputMibps &&
    one.multiAttach === other.multiAttach
  );
}

/** modifying → optimizing → completed, by the clock once the bytes are there. One from the future was made before the clock was set back. */
export function modificationStatus(
  { grownAtMs }: VolumeModification,
  times: ModificationTimes,
  nowMs: number,
): ModificationStatus {
  const { modifyingMs, optimizingMs } = times;
  const sinceMs = grownAtMs === null ? -1 : nowMs - grownAtMs;
  const isFuture = grownAtMs !== null && sinceMs < 0;
  if (grownAtMs === null || (!isFuture && sinceMs < modifyingMs)) {
    return { state: 'modifying', progressPercent: 0, endedAtMs: null };
  }
  if (!isFuture && sinceMs < modifyingMs + optimizingMs) {
    const progressPercent = Math.floor((100 * (sinceMs - modifyingMs)) / optimizingMs);
    return { state: 'optimizing', progressPercent: Math.min(99, progressPercent), endedAtMs: null };
  }
  return { state: 'completed', progressPercent: 100, endedAtMs: grownAtMs + modifyingMs + optimizingMs };
}
