import type { KmsKey } from '#domain/kms/key.ts';
import type { Scope } from '#domain/volume.ts';
import type { Tx } from '#meta/meta-store.ts';
import type { ControlPorts } from '#control/ports.ts';
import { keyKind, putMaterial } from './records.ts';

/** A new key, enabled; one that is generated has its first material. */
export async function insertKey(
  ports: ControlPorts,
  tx: Tx,
  scope: Scope,
  some: Pick<KmsKey, 'id' | 'description' | 'origin' | 'policy' | 'trustees' | 'tags' | 'manager' | 'rotation'>,
): Promise<KmsKey> {
  const { account, region } = scope;
  const empty: KmsKey = {
    ...some,
    account,
    region,
    createdAtMs: ports.clock.nowMs(),
    enabled: true,
    deletion: null,
    materials: [],
  };
  const key = some.origin === 'generated' ? await withNewMaterial(ports, tx, empty) : empty;
  await tx.documents.insert(keyKind, key, key);
  return key;
}

async function withNewMaterial(ports: ControlPorts, tx: Tx, key: KmsKey): Promise<KmsKey> {
  const id = await generateMaterial(ports, tx, key);
  return { ...key, materials: [{ id, ...FIRST_MATERIAL }] };
}

const FIRST_MATERIAL = {
  state: 'current',
  rotation: null,
  isHere: true,
  expiresAtMs: null,
  description: null,
} as const satisfies Partial<KmsKey['materials'][number]>;

/** Seals new random material for the key; its id. */
export async function generateMaterial(ports: ControlPorts, tx: Tx, key: KmsKey): Promise<string> {
  const material = ports.random.bytes(32);
  try {
    return await putMaterial(ports.vault, tx, key, material);
  } finally {
    material.fill(0);
  }
}
