import { createHash } from 'node:crypto';
import { zonesOf } from '#domain/region.ts';
import type { Instance } from '#domain/instance.ts';
import type { Scope } from '#domain/volume.ts';

/*
 * Every machine is alone in a network of its own, which QEMU makes: it has one address there, and reaches what this computer
 * reaches. EC2's clients know no machine without a network, so there is one of each thing that they ask for: a default VPC in
 * each region of an account, a default subnet in each zone, a default security group, and the machine's interface. Their ids
 * follow from where they are, so they are always the same; none can be made, changed or deleted.
 */

/** What QEMU's user-mode network gives to the one guest that it has (QEMU's manual, network emulation). */
export const GUEST_ADDRESS = '10.0.2.15';
export const GUEST_NETWORK = '10.0.2.0/24';
/** Addresses in it, without the five that AWS keeps and the one that the machine has. */
export const FREE_ADDRESS_COUNT = 250;
export const DEFAULT_GROUP = 'default';

function idOf(prefix: string, words: readonly string[]): string {
  const digest = createHash('sha256')
    .update(['network', prefix, ...words].join('\n'))
    .digest('hex');
  return `${prefix}-0${digest.slice(0, 16)}`;
}

export function vpcIdOf({ account, region }: Scope): string {
  return idOf('vpc', [account, region]);
}

export function subnetIdOf({ account, region }: Scope, zone: string): string {
  return idOf('subnet', [account, region, zone]);
}

/** The zone of a subnet; null: there is none of that id. */
export function zoneOfSubnet(scope: Scope, id: string): string | null {
  return zonesOf(scope.region).find(({ name }) => subnetIdOf(scope, name) === id)?.name ?? null;
}

export function groupIdOf({ account, region }: Scope): string {
  return idOf('sg', [account, region, DEFAULT_GROUP]);
}

export function interfaceIdOf({ id }: Instance): string {
  return idOf('eni', [id]);
}

export function interfaceAttachmentIdOf({ id }: Instance): string {
  return idOf('eni-attach', [id]);
}

/** What QEMU gives to the first network device of a machine that is told none. */
export const GUEST_MAC_ADDRESS = '52:54:00:12:34:56';

export function privateNameOf({ region }: Scope): string {
  const host = `ip-${GUEST_ADDRESS.replaceAll('.', '-')}`;
  return region === 'us-east-1' ? `${host}.ec2.internal` : `${host}.${region}.compute.internal`;
}

/** Whether it has an address: from its start to its end. */
export function hasAddress({ state }: Instance): boolean {
  return state !== 'terminated' && state !== 'shutting-down';
}
