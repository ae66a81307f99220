import { createHash } from 'node:crypto';
import type {
  AlarmId,
  ContactMethodId,
  ExportRecordId,
  StaticIpId,
  InstanceId,
  InstanceSnapshotId,
  KeyPairId,
  SnapshotId,
  VolumeId,
} from '#domain/ids.ts';
import type { Scope } from '#domain/volume.ts';

/** `arn:aws:lightsail:<region>:<account>:Disk/<uuid>`. The UUID is made from the resource's id, so it is the same for ever and needs no table. */
export function diskArn(scope: Scope, id: VolumeId): string {
  return arn(scope, 'Disk', id);
}

export function diskSnapshotArn(scope: Scope, id: SnapshotId): string {
  return arn(scope, 'DiskSnapshot', id);
}

export function instanceArn(scope: Scope, id: InstanceId): string {
  return arn(scope, 'Instance', id);
}

export function instanceSnapshotArn(scope: Scope, id: InstanceSnapshotId): string {
  return arn(scope, 'InstanceSnapshot', id);
}

export function keyPairArn(scope: Scope, id: KeyPairId): string {
  return arn(scope, 'KeyPair', id);
}

export function staticIpArn(scope: Scope, id: StaticIpId): string {
  return arn(scope, 'StaticIp', id);
}

export function alarmArn(scope: Scope, id: AlarmId): string {
  return arn(scope, 'Alarm', id);
}

export function contactMethodArn(scope: Scope, id: ContactMethodId): string {
  return arn(scope, 'ContactMethod', id);
}

export function exportRecordArn(scope: Scope, id: ExportRecordId): string {
  return arn(scope, 'ExportSnapshotRecord', id);
}

function arn(scope: Scope, type: string, id: string): string {
  return `arn:aws:lightsail:${scope.region}:${scope.account}:${type}/${uuidOf(id)}`;
}

/** A UUID of version 8 (RFC 9562: made from a hash of one's own choice). */
function uuidOf(id: string): string {
  const bytes = createHash('sha256').update(`lightsail resource ${id}`).digest().subarray(0, 16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
