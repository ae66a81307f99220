import type { AccountId, RegionName } from './ids.ts';

declare const brand: unique symbol;

/** `op-` and 17 hexadecimal digits. */
export type OutpostId = string & { readonly [brand]: 'OutpostId' };
/** `arn:aws:outposts:REGION:ACCOUNT:outpost/op-…`, of the account that owns it. */
export type OutpostArn = string & { readonly [brand]: 'OutpostArn' };

/** A named site of this installation with a chunk store of its own. */
export interface Outpost {
  readonly id: OutpostId;
  readonly arn: OutpostArn;
  readonly name: string;
  readonly region: RegionName;
  /** Where its volumes are: `us-east-1a`. */
  readonly zone: string;
  /** The only account that may use it; null: all may. */
  readonly account: AccountId | null;
}

const ID = /^op-[0-9a-f]{17}$/;
const ARN = /^arn:aws:outposts:[a-z0-9-]+:[0-9]{12}:outpost\/(op-[0-9a-f]{17})$/;

export function parseOutpostId(text: string): OutpostId | null {
  return ID.test(text) ? (text as OutpostId) : null;
}

export function parseOutpostArn(text: string): OutpostArn | null {
  return ARN.test(text) ? (text as OutpostArn) : null;
}

export function outpostArn(region: RegionName, account: AccountId, id: OutpostId): OutpostArn {
  return `arn:aws:outposts:${region}:${account}:outpost/${id}` as OutpostArn;
}

/** The Outpost that an ARN names. */
export function outpostIdOf(arn: OutpostArn): OutpostId {
  return arn.slice(arn.indexOf('/') + 1) as OutpostId;
}
