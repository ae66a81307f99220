import { keyArn } from '#domain/kms/arn.ts';
import { refuseKms } from '#domain/kms/failure.ts';
import { isRotationDue, isUsable, type KeyMaterial, type KmsKey, requireEnabled, rotated } from '#domain/kms/key.ts';
import { DAY_MS, KMS_LIMITS } from '#domain/kms/limits.ts';
import type { Tx } from '#meta/meta-store.ts';
import { slicePage } from '#control/pages.ts';
import type { ControlPorts } from '#control/ports.ts';
import { keyFor, type KmsCall } from './access.ts';
import { changeKey, type PageOf } from './keys.ts';
import { generateMaterial } from './new-key.ts';

/** From now on, every so many days. Refuses: as keyFor; unsupported (imported), disabled, key-state, invalid. */
export async function enableRotation(call: KmsCall, text: string, periodDays: number): Promise<void> {
  const { min, max } = KMS_LIMITS.rotationPeriodDays;
  if (periodDays < min || periodDays > max) {
    refuseKms({ kind: 'invalid', reason: `RotationPeriodInDays must be between ${min} and ${max} inclusive` });
  }
  const keys = [['kms:rotationperiodindays', [String(periodDays)]]] as const;
  await changeKey(call, text, { action: 'EnableKeyRotation', keys }, (key, nowMs) => {
    requireGenerated(key);
    requireEnabled(key, nowMs);
    if (key.rotation?.periodDays === periodDays) return key;
    return { ...key, rotation: { periodDays, nextAtMs: call.ports.time.estimateMs() + periodDays * DAY_MS } };
  });
}

/** Refuses: as keyFor; unsupported (imported), disabled, key-state. */
export async function disableRotation(call: KmsCall, text: string): Promise<void> {
  await changeKey(call, text, { action: 'DisableKeyRotation' }, (key, nowMs) => {
    requireGenerated(key);
    requireEnabled(key, nowMs);
    return { ...key, rotation: null };
  });
}

/** A key on its way to deletion is not rotated; its rotation is there again when the deletion is cancelled. */
export async function rotationStatus(call: KmsCall, text: string): Promise<KmsKey> {
  return await call.ports.meta.read((tx) =>
    keyFor(call, tx, text, { action: 'GetKeyRotationStatus', isCrossAccount: true }),
  );
}

/** At once: to new material, or to what was imported for it. Refuses: as keyFor; disabled, key-state, limit. */
export async function rotateOnDemand(call: KmsCall, text: string): Promise<KmsKey> {
  const { ports } = call;
  return await changeKey(call, text, { action: 'RotateKeyOnDemand' }, async (key, nowMs, tx) => {
    requireEnabled(key, nowMs);
    const count = key.materials.filter((material) => material.rotation?.type === 'on-demand').length;
    if (count >= KMS_LIMITS.onDemandRotationsMax) {
      refuseKms({ kind: 'limit', what: 'on-demand rotations of a key', max: KMS_LIMITS.onDemandRotationsMax });
    }
    const rotation = { atMs: nowMs, type: 'on-demand' } as const;
    if (key.origin === 'generated') return rotated(key, await newMaterial(ports, tx, key), rotation);
    const waiting = key.materials.find((material) => material.state === 'pending-rotation');
    if (waiting === undefined || !isUsable(waiting, nowMs)) {
      refuseKms({
        kind: 'key-state',
        key: keyArn(key),
        state: 'has no imported key material that waits for a rotation',
      });
    }
    return rotated(key, waiting, rotation);
  });
}

/** When it is due. The key as it then is; as it was when it is not due. */
export async function rotateIfDue(ports: ControlPorts, tx: Tx, key: KmsKey): Promise<KmsKey> {
  const nowMs = ports.time.estimateMs();
  if (!isRotationDue(key, nowMs)) return key;
  return rotated(key, await newMaterial(ports, tx, key), { atMs: nowMs, type: 'automatic' });
}

async function newMaterial(ports: ControlPorts, tx: Tx, key: KmsKey): Promise<KeyMaterial> {
  const id = await generateMaterial(ports, tx, key);
  return { id, state: 'current', rotation: null, isHere: true, expiresAtMs: null, description: null };
}

/** The oldest first; the first material came by no rotation and is told only when all are asked for. Refuses: as keyFor; page-token-invalid. */
export async function listRotations(
  call: KmsCall,
  request: PageOf & { readonly key: string; readonly isAll: boolean },
): Promise<{ readonly key: KmsKey; readonly records: readonly KeyMaterial[]; readonly next: string | null }> {
  const { ports, scope } = call;
  const key = await ports.meta.read((tx) =>
    keyFor(call, tx, request.key, { action: 'ListKeyRotations', isCrossAccount: true }),
  );
  const shown = request.isAll ? key.materials : key.materials.filter(({ rotation }) => rotation !== null);
  return { key, ...(await slicePage(ports, scope, `kms rotations ${key.id} ${request.isAll}`, request, shown)) };
}

function requireGenerated(key: KmsKey): void {
  if (key.origin === 'generated') return;
  const reason = `${keyArn(key)} origin is EXTERNAL which is not valid for this operation.`;
  refuseKms({ kind: 'unsupported', reason });
}
