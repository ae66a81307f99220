import { INITIALIZATION_RATE_MIBPS, parseVolumeType, VOLUME_TYPE_DEFAULT, VOLUME_TYPES } from '#domain/volume-type.ts';
import { retainedIops, retainedThroughput } from '#domain/volume-modification.ts';
import type { Volume, VolumeType } from '#domain/volume.ts';
import { invalidCombination, invalidParameter, invalidValue, missingParameter, sizeBelowSnapshot } from './errors.ts';

/** What of a CreateVolume request says how large and how fast the volume is to be. */
export interface VolumeShapeRequest {
  readonly Size?: number | undefined;
  readonly VolumeType?: string | undefined;
  readonly Iops?: number | undefined;
  readonly Throughput?: number | undefined;
  readonly MultiAttachEnabled?: boolean | undefined;
}

export interface VolumeShape {
  readonly type: VolumeType;
  readonly sizeGib: number;
  /** Null: the type's own. */
  readonly iops: number | null;
  readonly throughputMibps: number | null;
  readonly multiAttach: boolean;
}

/** What the request's volume comes from; null: nothing. */
export interface VolumeOrigin {
  readonly id: string;
  readonly volumeSizeGib: number;
}

/**
 * Checks against the type's rules with AWS's words, in AWS's order: parameters that the type does not take, then size,
 * then IOPS and throughput. The domain has the same rules for every face; what passes here passes there.
 */
export function parseVolumeShape(request: VolumeShapeRequest, origin: VolumeOrigin | null): VolumeShape {
  const type = parseVolumeType(request.VolumeType ?? VOLUME_TYPE_DEFAULT);
  checkPositive('size', request.Size);
  checkPositive('iops', request.Iops);
  checkPositive('throughput', request.Throughput);
  checkParameters(request, type);
  const sizeGib = parseSize(request.Size, type, origin);
  const iops = request.Iops ?? null;
  const throughputMibps = request.Throughput ?? null;
  checkIops(iops, type, sizeGib);
  checkThroughput(throughputMibps, type, iops);
  return { type, sizeGib, iops, throughputMibps, multiAttach: request.MultiAttachEnabled === true };
}

/** Refuses 0 and less. */
export function checkPositive(parameter: string, value: number | undefined): void {
  if (value === undefined || value > 0) return;
  throw invalidParameter(parameter, String(value), 'Value must be a positive integer.');
}

function checkParameters(request: VolumeShapeRequest, type: VolumeType): void {
  const rule = VOLUME_TYPES[type];
  if (rule.iops === null && request.Iops !== undefined) {
    throw invalidCombination(`The parameter iops is not supported for ${type} volumes.`);
  }
  if (rule.iops !== null && rule.iops.default === null && request.Iops === undefined) {
    throw invalidCombination(`The parameter iops must be specified for ${type} volumes.`);
  }
  if (rule.throughput === null && request.Throughput !== undefined) {
    throw invalidCombination(`The throughput parameter is not supported for ${type} volumes.`);
  }
  if (!rule.multiAttach && request.MultiAttachEnabled === true) {
    throw invalidCombination(`The parameter multi-attach-enabled is not supported for ${type} volumes.`);
  }
}

function parseSize(size: number | undefined, type: VolumeType, origin: VolumeOrigin | null): number {
  const sizeGib = size ?? origin?.volumeSizeGib;
  if (sizeGib === undefined) throw missingParameter('size/snapshot');
  if (origin !== null && sizeGib < origin.volumeSizeGib) throw sizeBelowSnapshot(sizeGib, origin);
  const { min, max } = VOLUME_TYPES[type].sizeGib;
  if (sizeGib < min) {
    throw invalidValue(
      `The volume size is invalid for ${type} volumes: ${sizeGib} GiB. ${type} volumes must be at least ${min} GiB in size. Please specify a volume size above the minimum limit.`,
    );
  }
  if (sizeGib > max) {
    throw invalidValue(`Volume of ${sizeGib}GiB is too large for volume type ${type}; maximum is ${max}GiB`);
  }
  return sizeGib;
}

function checkIops(iops: number | null, type: VolumeType, sizeGib: number): void {
  const rule = VOLUME_TYPES[type].iops;
  if (rule === null || iops === null) return;
  if (iops < rule.min) throw invalidValue(`Volume iops of ${iops} is too low; minimum is ${rule.min}.`);
  if (iops > rule.max) throw invalidValue(`Volume iops of ${iops} is too high; maximum is ${rule.max}.`);
  // What every volume of the type has is allowed whatever the size: 3000 for a gp3 of 1 GiB.
  if (iops > rule.perGib * sizeGib && iops !== rule.default && iops !== rule.min) {
    const ratio = (iops / sizeGib).toFixed(6);
    throw invalidValue(`Iops to volume size ratio of ${ratio} is too high; maximum is ${rule.perGib}`);
  }
}

function checkThroughput(throughputMibps: number | null, type: VolumeType, iops: number | null): void {
  const rule = VOLUME_TYPES[type].throughput;
  if (rule === null || throughputMibps === null) return;
  if (throughputMibps < rule.min) {
    throw invalidValue(`Volume throughput of ${throughputMibps} is too low; minimum is ${rule.min}.`);
  }
  if (throughputMibps > rule.max) {
    throw invalidValue(`Volume throughput of ${throughputMibps} is too high; maximum is ${rule.max}.`);
  }
  const iopsEffective = iops ?? VOLUME_TYPES[type].iops?.default ?? 0;
  if (throughputMibps > rule.perIops * iopsEffective) {
    const ratio = (throughputMibps / iopsEffective).toFixed(6);
    throw invalidValue(
      `Throughput (MiBps) to iops ratio of ${ratio} is too high; maximum is ${rule.perIops.toFixed(6)} MiBps per iops`,
    );
  }
}

/** What EC2 takes for VolumeInitializationRate: 100 to 300 MiB/s, of a volume that is made from a snapshot. */
export function checkInitializationRate(mibps: number | undefined, origin: VolumeOrigin | null): void {
  if (mibps === undefined) return;
  if (origin === null) {
    throw invalidCombination('The parameter VolumeInitializationRate requires the parameter SnapshotId to be set.');
  }
  const { min, max } = INITIALIZATION_RATE_MIBPS;
  if (mibps < min || mibps > max) {
    throw invalidParameter(
      'VolumeInitializationRate',
      String(mibps),
      `Volume initialization rate must be between ${min} and ${max} MiB/s.`,
    );
  }
}

/** Refuses a shape that a volume cannot come to; what is not given stays as far as the type has it. */
export function checkChangedShape(
  volume: Volume,
  type: VolumeType,
  given: {
    readonly size: number | undefined;
    readonly iops: number | undefined;
    readonly throughput: number | undefined;
    readonly multiAttach: boolean | undefined;
  },
): void {
  const rule = VOLUME_TYPES[type];
  const { size, iops, throughput, multiAttach } = given;
  parseVolumeShape(
    {
      Size: size ?? volume.sizeGib,
      VolumeType: type,
      Iops: iops ?? (rule.iops === null ? undefined : retainedIops(volume, type)),
      Throughput:
        throughput ?? (rule.throughput === null ? undefined : (retainedThroughput(volume, type) ?? undefined)),
      MultiAttachEnabled: multiAttach ?? volume.multiAttach,
    },
    null,
  );
}
