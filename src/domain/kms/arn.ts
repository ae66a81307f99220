import { type AccountId, parseAccountId, regionName } from '#domain/ids.ts';
import type { Scope } from '#domain/volume.ts';
import { refuseKms } from './failure.ts';

/** A key as a client names it: by its id or by an alias, of its own account and region or, by an ARN, of another's. */
export type KeyRef =
  | { readonly kind: 'key'; readonly scope: Scope; readonly id: string }
  | { readonly kind: 'alias'; readonly scope: Scope; readonly name: string };

const KEY_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const ARN = /^arn:aws[a-z-]*:kms:(?<region>[a-z0-9-]+):(?<account>[0-9]{12}):(?<resource>.+)$/;
const ALIAS = /^alias\/[a-zA-Z0-9/_-]{1,250}$/;
/** Aliases of keys that services make. */
export const MANAGED_PREFIX = 'alias/aws/';

export function keyArn(key: Scope & { readonly id: string }): string {
  return `arn:aws:kms:${key.region}:${key.account}:key/${key.id}`;
}

export function aliasArn(scope: Scope, name: string): string {
  return `arn:aws:kms:${scope.region}:${scope.account}:${name}`;
}

export function rootArn(account: AccountId): string {
  return `arn:aws:iam::${account}:root`;
}

/** What a client's text means in its account and region. Refuses: malformed-arn, malformed-key-id, other-region. */
export function parseKeyRef(scope: Scope, text: string): KeyRef {
  if (text.startsWith('arn:')) return parseArn(scope, text);
  if (text.startsWith('alias/')) return { kind: 'alias', scope, name: text };
  if (!KEY_ID.test(text)) refuseKms({ kind: 'malformed-key-id', id: text });
  return { kind: 'key', scope, id: text };
}

function parseArn(scope: Scope, text: string): KeyRef {
  const parts = ARN.exec(text)?.groups;
  const account = parseAccountId(parts?.['account'] ?? '');
  const resource = parts?.['resource'] ?? '';
  if (parts === undefined || account === null) refuseKms({ kind: 'malformed-arn', arn: text });
  const region = regionName(parts['region'] ?? '');
  if (region !== scope.region) refuseKms({ kind: 'other-region', region });
  if (resource.startsWith('alias/')) return { kind: 'alias', scope: { account, region }, name: resource };
  const id = resource.startsWith('key/') ? resource.slice('key/'.length) : '';
  if (!KEY_ID.test(id)) refuseKms({ kind: 'malformed-arn', arn: text });
  return { kind: 'key', scope: { account, region }, id };
}

/** As `parseKeyRef`, where an alias is not taken. Refuses: invalid too. */
export function parseKeyOnly(scope: Scope, text: string): KeyRef & { readonly kind: 'key' } {
  const ref = parseKeyRef(scope, text);
  return ref.kind === 'key' ? ref : refuseKms({ kind: 'malformed-key-id', id: text });
}

/** A name for a new or changed alias. Refuses: alias-name, alias-reserved. */
export function checkAliasName(name: string): void {
  if (!ALIAS.test(name)) refuseKms({ kind: 'alias-name', name });
  if (name.startsWith(MANAGED_PREFIX)) refuseKms({ kind: 'alias-reserved', name });
}
