import { DomainError, type Failure } from '#domain/errors.ts';
import type { VolumeId } from '#domain/ids.ts';
import type { CreateSnapshot } from './snapshots.ts';
import type { CreateVolume } from './volumes.ts';

// Requests as tests need them: everything plain, and what matters said in the test.

export function volumeRequest(some: Partial<CreateVolume> = {}): CreateVolume {
  return {
    face: 'ec2',
    name: null,
    zone: 'us-east-1a',
    sizeGib: 1,
    type: 'gp3',
    iops: null,
    throughputMibps: null,
    multiAttach: false,
    origin: null,
    tags: [],
    token: null,
    operation: null,
    ...some,
  };
}

export function diskRequest(name: string, some: Partial<CreateVolume> = {}): CreateVolume {
  return volumeRequest({ face: 'lightsail', name, sizeGib: 8, type: 'gp2', operation: 'CreateDisk', ...some });
}

export function snapshotRequest(volume: VolumeId, some: Partial<CreateSnapshot> = {}): CreateSnapshot {
  return { face: 'ec2', name: null, volume, description: '', tags: [], token: null, operation: null, ...some };
}

/** For assert.rejects: the failure has these members. */
export function refusal(some: Partial<Record<string, unknown>> & { readonly kind: Failure['kind'] }) {
  return (error: unknown): boolean => {
    if (!(error instanceof DomainError)) return false;
    const entries = Object.entries(error.failure);
    return Object.entries(some).every(([key, value]) => entries.some(([k, v]) => k === key && v === value));
  };
}
