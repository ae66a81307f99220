import { parseAccountId, regionName } from '#domain/ids.ts';
import { refuseKms } from '#domain/kms/failure.ts';
import type { Scope } from '#domain/volume.ts';
import type { KeyVault } from './vault.ts';

/** A grant as its token names it. */
export interface GrantName {
  readonly scope: Scope;
  readonly key: string;
  readonly grant: string;
}

const PURPOSE = ['grant token'];

/** Names a grant; sealed, so that nobody makes one. A grant here needs no token to take effect: it does so at once. */
export function makeGrantToken(vault: KeyVault, { scope, key, grant }: GrantName): string {
  return vault.seal(PURPOSE, Buffer.from(JSON.stringify([scope.account, scope.region, key, grant])));
}

/** Refuses: grant-token. */
export function readGrantToken(vault: KeyVault, token: string): GrantName {
  const body = vault.open(PURPOSE, token);
  if (body === null) refuseKms({ kind: 'grant-token' });
  // Sealed by makeGrantToken: four strings.
  const [account = '', region = '', key = '', grant = ''] = JSON.parse(body.toString()) as readonly string[];
  const id = parseAccountId(account);
  return id === null
    ? refuseKms({ kind: 'grant-token' })
    : { scope: { account: id, region: regionName(region) }, key, grant };
}

/** Refuses: grant-token. */
export function checkGrantTokens(vault: KeyVault, tokens: readonly string[]): void {
  for (const token of tokens) readGrantToken(vault, token);
}
