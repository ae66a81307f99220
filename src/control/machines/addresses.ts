import { addressAt, type AddressPool } from '#domain/address-pool.ts';
import type { InstanceId, StaticIpId } from '#domain/ids.ts';
import type { Instance } from '#domain/instance.ts';
import type { Scope } from '#domain/volume.ts';
import type { ControlPorts } from '#control/ports.ts';
import type { DocumentKind } from '#meta/document-table.ts';
import type { ReadTx, Tx } from '#meta/meta-store.ts';
import { INSTANCES } from './records.ts';

/** An address that is kept for an account, whether a machine has it or not. */
export interface StaticIp extends Scope {
  readonly id: StaticIpId;
  readonly name: string;
  readonly address: string;
  /** The machine that has it; null: none. */
  readonly instance: InstanceId | null;
  readonly createdAtMs: number;
}

export const STATIC_IPS: DocumentKind<StaticIp> = {
  name: 'static-ip',
  idOf: ({ id }) => id,
  ownerOf: ({ instance }) => instance,
};

const ALL = { after: 0, countMax: Number.MAX_SAFE_INTEGER };

/** An address of the pool that nobody of any account has; null: all are taken. */
export async function freeAddress(tx: ReadTx, pool: AddressPool): Promise<string | null> {
  const machines = await tx.documents.all(INSTANCES, ALL);
  const kept = await tx.documents.all(STATIC_IPS, ALL);
  const taken = new Set([
    ...machines.map(({ record }) => record.record.address),
    ...kept.map(({ record }) => record.record.address),
  ]);
  for (let index = 0; index < pool.count; index += 1) {
    const address = addressAt(pool, index);
    if (!taken.has(address)) return address;
  }
  return null;
}

/** With an address of its own, where there are any. */
export async function withAddress(ports: ControlPorts, tx: ReadTx, instance: Instance): Promise<Instance> {
  const { addresses } = ports.machinePlace;
  if (addresses === null || instance.address !== null) return instance;
  const address = await freeAddress(tx, addresses);
  if (address === null) ports.log.warn('instance.address', { instance: instance.id, reason: 'all are taken' });
  return { ...instance, address };
}

/** As it is while it does not run: only an address that is kept for it stays. */
export function withoutAddress(instance: Instance): Instance {
  return instance.staticIp === null ? { ...instance, address: null } : instance;
}

/** To be called when the machine goes: what was kept for it is kept for another. */
export async function freeStaticIp(tx: Tx, instance: Instance): Promise<void> {
  const { staticIp: id } = instance;
  const found = id === null ? null : await tx.documents.find(STATIC_IPS, instance, id);
  if (found !== null) await tx.documents.update(STATIC_IPS, instance, { ...found, instance: null });
}
