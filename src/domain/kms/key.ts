import type { Trustee } from '#domain/policy/trustees.ts';
import type { Scope, Tags } from '#domain/volume.ts';
import { keyArn } from './arn.ts';
import { refuseKms } from './failure.ts';
import { DAY_MS } from './limits.ts';

/**
 * A key of KMS: what is known of it beside its material, which lies sealed in records of its own.
 *
 *   pending-import ⇄ enabled ⇄ disabled;  any → pending-deletion → (gone);  pending-deletion → disabled
 *
 * The state follows from the record and the time; it is not stored.
 */
export interface KmsKey extends Scope {
  /** A UUID. */
  readonly id: string;
  readonly description: string;
  /** Made by a user, or by a service for its users (`alias/aws/ebs`). */
  readonly manager: 'customer' | 'service';
  /** Whether the material is made here, or brought by its owner. */
  readonly origin: 'generated' | 'imported';
  readonly createdAtMs: number;
  readonly enabled: boolean;
  readonly deletion: { readonly atMs: number; readonly windowDays: number } | null;
  readonly rotation: { readonly periodDays: number; readonly nextAtMs: number } | null;
  /** The oldest first. One is current, unless nothing was imported yet. */
  readonly materials: readonly KeyMaterial[];
  /** JSON, as it was given. */
  readonly policy: string;
  /** The users and roles that the policy names, as they were when it was put; missing, of an earlier version: it goes by names. */
  readonly trustees?: readonly Trustee[];
  readonly tags: Tags;
}

/** One backing key. Data is sealed with the current one; the earlier ones open what they sealed. */
export interface KeyMaterial {
  /** 64 hexadecimal digits; follows from the key and the bytes, so the same bytes imported again have it again. */
  readonly id: string;
  /** `pending-rotation`: imported, and becomes current by a rotation. */
  readonly state: 'current' | 'non-current' | 'pending-rotation';
  /** When it became current by a rotation; null for the first. */
  readonly rotation: { readonly atMs: number; readonly type: 'automatic' | 'on-demand' } | null;
  /** False: deleted or expired, and can be imported again. */
  readonly isHere: boolean;
  readonly expiresAtMs: number | null;
  readonly description: string | null;
}

export type KeyState = 'enabled' | 'disabled' | 'pending-deletion' | 'pending-import';

export function keyState(key: KmsKey, nowMs: number): KeyState {
  if (key.deletion !== null) return 'pending-deletion';
  const needed = key.materials.filter((material) => material.state !== 'pending-rotation');
  if (needed.length === 0 || needed.some((material) => !isUsable(material, nowMs))) return 'pending-import';
  return key.enabled ? 'enabled' : 'disabled';
}

export function isUsable(material: KeyMaterial, nowMs: number): boolean {
  return material.isHere && (material.expiresAtMs === null || material.expiresAtMs > nowMs);
}

export function currentMaterial(key: KmsKey): KeyMaterial | null {
  return key.materials.find((material) => material.state === 'current') ?? null;
}

/** Refuses unless the state is one of those: disabled, key-state. */
export function requireState(key: KmsKey, nowMs: number, allowed: readonly KeyState[]): void {
  const state = keyState(key, nowMs);
  if (allowed.includes(state)) return;
  const arn = keyArn(key);
  switch (state) {
    case 'disabled':
      return refuseKms({ kind: 'disabled', key: arn });
    case 'pending-deletion':
      return refuseKms({ kind: 'key-state', key: arn, state: 'is pending deletion' });
    case 'pending-import':
      return refuseKms({ kind: 'key-state', key: arn, state: 'is pending import' });
    case 'enabled':
      return refuseKms({ kind: 'key-state', key: arn, state: 'is enabled' });
  }
}

/** What every cryptographic operation asks. */
export function requireEnabled(key: KmsKey, nowMs: number): void {
  requireState(key, nowMs, ['enabled']);
}

/** Of every state but on its way to deletion. */
export const NOT_PENDING_DELETION: readonly KeyState[] = ['enabled', 'disabled', 'pending-import'];

/** The key with `material` as its current one. */
export function rotated(
  key: KmsKey,
  material: KeyMaterial,
  rotation: { readonly atMs: number; readonly type: 'automatic' | 'on-demand' },
): KmsKey {
  const others = key.materials.filter((one) => one.id !== material.id).map(retired);
  const next =
    key.rotation === null
      ? null
      : rotation.type === 'automatic'
        ? { ...key.rotation, nextAtMs: nextRotationMs(key.rotation, rotation.atMs) }
        : key.rotation;
  return { ...key, materials: [...others, { ...material, state: 'current', rotation }], rotation: next };
}

function retired(material: KeyMaterial): KeyMaterial {
  return material.state === 'current' ? { ...material, state: 'non-current' } : material;
}

/** After the date that was due, in whole periods: a server that slept does not shift the dates. */
function nextRotationMs(
  { periodDays, nextAtMs }: { readonly periodDays: number; readonly nextAtMs: number },
  nowMs: number,
): number {
  const periodMs = periodDays * DAY_MS;
  return nextAtMs + Math.max(1, Math.ceil((nowMs - nextAtMs + 1) / periodMs)) * periodMs;
}

/** Whether an automatic rotation is due. A disabled key is not rotated; it is when it is enabled again. */
export function isRotationDue(key: KmsKey, nowMs: number): boolean {
  return key.rotation !== null && key.rotation.nextAtMs <= nowMs && keyState(key, nowMs) === 'enabled';
}
