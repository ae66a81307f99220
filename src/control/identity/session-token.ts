import type { AccountId } from '#domain/ids.ts';
import { parseAccountId } from '#domain/ids.ts';
import type { Tags } from '#domain/volume.ts';
import type { ControlPorts } from '#control/ports.ts';
import { refuseIdentity } from './failures.ts';
import { base32, BASE32, newSecret } from './rules.ts';
import { openJson, sealJson } from './sealed-json.ts';

/**
 * Temporary credentials are not stored: the session token carries, sealed, the secret of its key and whose it is. Revoking is
 * deleting the user or role: both are looked up at every request.
 */
export interface SessionClaims {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly account: AccountId;
  readonly holder: SessionHolder;
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
}

export type SessionHolder =
  | { readonly kind: 'root' }
  | { readonly kind: 'user'; readonly userId: string }
  | {
      readonly kind: 'role';
      readonly roleArn: string;
      readonly roleId: string;
      readonly sessionName: string;
      /** The document of a session policy; null: none was given. */
      readonly policy: string | null;
      /** Managed policies as further session policies: as they are when the session is used. */
      readonly policyArns: readonly string[];
      readonly tags: Tags;
      readonly sourceIdentity: string | null;
      readonly transitiveTags: readonly string[];
    };

export interface SessionCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string;
  readonly expiresAtMs: number;
}

/** Half of what a request's headers may have together: it comes with every request. */
const TOKEN_CHARACTERS_MAX = 8192;

/** Refuses: too-large, for session policies and tags that are too long together. */
export function issueSession(
  ports: ControlPorts,
  account: AccountId,
  holder: SessionHolder,
  seconds: number,
): SessionCredentials {
  const issuedAtMs = ports.clock.nowMs();
  const claims: SessionClaims = {
    accessKeyId: temporaryKeyId(account, ports.random.bytes(8)),
    secretAccessKey: newSecret(ports.random),
    account,
    holder,
    issuedAtMs,
    expiresAtMs: issuedAtMs + seconds * 1000,
  };
  const { accessKeyId, secretAccessKey, expiresAtMs } = claims;
  const sessionToken = sealJson(ports, 'session token', claims);
  if (sessionToken.length > TOKEN_CHARACTERS_MAX) {
    refuseIdentity({ kind: 'too-large', percent: Math.ceil((sessionToken.length / TOKEN_CHARACTERS_MAX) * 100) });
  }
  return { accessKeyId, secretAccessKey, sessionToken, expiresAtMs };
}

/** Null: not a token of this installation. It may have expired. */
export function openSession(ports: Pick<ControlPorts, 'vault'>, token: string): SessionClaims | null {
  // Nobody else can seal one, so what opens is what was sealed.
  return openJson(ports, 'session token', token) as SessionClaims | null;
}

/** An account id is less than 2 ** 40: eight characters of five bits. */
const ACCOUNT_CHARACTERS = 8;

/** `ASIA`, the account in eight characters, and eight random ones: an id tells its account, as AWS's do. */
export function temporaryKeyId(account: AccountId, random: Uint8Array): string {
  let rest = BigInt(account);
  let characters = '';
  for (let count = 0; count < ACCOUNT_CHARACTERS; count += 1) {
    characters = BASE32.charAt(Number(rest & 31n)) + characters;
    rest >>= 5n;
  }
  return `ASIA${characters}${base32(random)}`;
}

/** The account of a temporary key's id; null when it is none. */
export function accountOfTemporaryKey(accessKeyId: string): AccountId | null {
  if (!/^ASIA[A-Z2-7]{16}$/.test(accessKeyId)) return null;
  const value = accessKeyId
    .slice(4, 4 + ACCOUNT_CHARACTERS)
    .split('')
    .reduce((sum, character) => sum * 32n + BigInt(BASE32.indexOf(character)), 0n);
  return parseAccountId(value.toString().padStart(12, '0'));
}
