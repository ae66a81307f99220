import { refuse } from './errors.ts';
import type { VolumeType } from './volume.ts';

interface Range {
  readonly min: number;
  readonly max: number;
}

/** What AWS's public tables of EBS volume types say (EBS user guide, "Amazon EBS volume types"; EC2 CreateVolume). */
export interface VolumeTypeRule {
  readonly sizeGib: Range;
  /** Provisioned IOPS: none for types that do not take them. `default` null: must be given. `perGib`: at most so many a GiB. */
  readonly iops: (Range & { readonly default: number | null; readonly perGib: number }) | null;
  /** IOPS that follow from the size and are shown, not asked for. */
  readonly baselineIops: ((sizeGib: number) => number) | null;
  /** MiB/s. `perIops`: at most so many for each provisioned IOPS. */
  readonly throughput: (Range & { readonly default: number; readonly perIops: number }) | null;
  readonly multiAttach: boolean;
  /** Snapshots of one volume that may be pending at once. */
  readonly pendingSnapshotsMax: number;
}

const PLAIN = { iops: null, baselineIops: null, throughput: null, multiAttach: false, pendingSnapshotsMax: 5 } as const;

export const VOLUME_TYPES: Readonly<Record<VolumeType, VolumeTypeRule>> = {
  standard: { ...PLAIN, sizeGib: { min: 1, max: 1024 } },
  gp2: {
    ...PLAIN,
    sizeGib: { min: 1, max: 16_384 },
    baselineIops: (sizeGib) => Math.min(Math.max(100, 3 * sizeGib), 16_000),
  },
  gp3: {
    ...PLAIN,
    sizeGib: { min: 1, max: 65_536 },
    iops: { min: 3000, max: 80_000, default: 3000, perGib: 500 },
    throughput: { min: 125, max: 2000, default: 125, perIops: 0.25 },
  },
  io1: {
    ...PLAIN,
    sizeGib: { min: 4, max: 16_384 },
    iops: { min: 100, max: 64_000, default: null, perGib: 50 },
    multiAttach: true,
  },
  io2: {
    ...PLAIN,
    sizeGib: { min: 4, max: 65_536 },
    iops: { min: 100, max: 256_000, default: null, perGib: 1000 },
    multiAttach: true,
  },
  st1: { ...PLAIN, sizeGib: { min: 125, max: 16_384 }, pendingSnapshotsMax: 1 },
  sc1: { ...PLAIN, sizeGib: { min: 125, max: 16_384 }, pendingSnapshotsMax: 1 },
};

/** EC2's default when CreateVolume names no type. */
export const VOLUME_TYPE_DEFAULT: VolumeType = 'gp2';

/** Lightsail's disks: SSD, 8 GiB to 16 TiB. */
export const LIGHTSAIL_DISK_GIB: Range = { min: 8, max: 16_384 };
export const LIGHTSAIL_VOLUME_TYPE: VolumeType = 'gp2';

/** MiB/s at which a volume made from a snapshot can be asked to be filled (EC2 CreateVolume, VolumeInitializationRate). */
export const INITIALIZATION_RATE_MIBPS: Range = { min: 100, max: 300 };

/** The type of that name; refuses volume-type-unknown. */
export function parseVolumeType(text: string): VolumeType {
  if (!Object.hasOwn(VOLUME_TYPES, text)) refuse({ kind: 'volume-type-unknown', type: text });
  return text as VolumeType;
}

export interface VolumePlan {
  readonly type: VolumeType;
  readonly sizeGib: number;
  readonly iops: number | null;
  readonly throughputMibps: number | null;
  readonly multiAttach: boolean;
}

/** The shape of a volume with its type's defaults filled in; refuses what the type does not allow. Nulls: not given. */
export function planVolume(wish: VolumePlan): VolumePlan {
  const rule = VOLUME_TYPES[wish.type];
  checkRange('size', wish.sizeGib, rule.sizeGib, 'GiB', wish.type);
  if (wish.multiAttach && !rule.multiAttach) {
    refuse({
      kind: 'invalid-value',
      field: 'multi-attach',
      reason: `${wish.type} volumes cannot be attached more than once`,
    });
  }
  const iops = planIops(wish, rule);
  return { ...wish, iops, throughputMibps: planThroughput(wish, rule, iops) };
}

function planIops(wish: VolumePlan, rule: VolumeTypeRule): number | null {
  if (rule.iops === null) {
    if (wish.iops !== null) {
      refuse({ kind: 'invalid-value', field: 'iops', reason: `${wish.type} volumes take no iops` });
    }
    return rule.baselineIops === null ? null : rule.baselineIops(wish.sizeGib);
  }
  const iops = wish.iops ?? rule.iops.default;
  if (iops === null) refuse({ kind: 'missing', field: 'iops' });
  checkRange('iops', iops, rule.iops, 'IOPS', wish.type);
  // What every volume of the type has may exceed the ratio: 3000 for a gp3 of 1 GiB.
  const iopsMax = Math.max(rule.iops.perGib * wish.sizeGib, rule.iops.default ?? rule.iops.min);
  if (iops > iopsMax) {
    refuse({ kind: 'invalid-value', field: 'iops', reason: `at most ${rule.iops.perGib} IOPS a GiB: ${iopsMax}` });
  }
  return iops;
}

function planThroughput(wish: VolumePlan, rule: VolumeTypeRule, iops: number | null): number | null {
  if (rule.throughput === null) {
    if (wish.throughputMibps !== null) {
      refuse({ kind: 'invalid-value', field: 'throughput', reason: `${wish.type} volumes take no throughput` });
    }
    return null;
  }
  const throughput = wish.throughputMibps ?? rule.throughput.default;
  checkRange('throughput', throughput, rule.throughput, 'MiB/s', wish.type);
  if (iops !== null && throughput > rule.throughput.perIops * iops) {
    refuse({
      kind: 'invalid-value',
      field: 'throughput',
      reason: `at most ${rule.throughput.perIops} MiB/s for each of ${iops} IOPS`,
    });
  }
  return throughput;
}

function checkRange(field: string, value: number, range: Range, unit: string, type: VolumeType): void {
  if (!Number.isSafeInteger(value) || value < range.min || value > range.max) {
    refuse({ kind: 'invalid-value', field, reason: `${type} volumes have ${range.min} to ${range.max} ${unit}` });
  }
}
