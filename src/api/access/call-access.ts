import type { Caller } from '#control/identity/callers.ts';
import type { PolicySet, RequestPrincipal } from '#domain/policy/evaluate.ts';
import type { Context } from '#domain/policy/template.ts';
import type { Principal } from '#domain/principal.ts';
import type { RegionName } from '#domain/ids.ts';

/** What has a say about what a call may do; `decide` of domain/policy takes it as it is. */
export interface CallAccess {
  readonly names: RequestPrincipal;
  readonly policies: PolicySet;
  /** Condition keys that hold for the whole request (`aws:sourceip`), in lower case. */
  readonly keys: Context;
}

/** How a request came in. */
export interface Arrival {
  /** Null: not known, the connection is gone. */
  readonly sourceAddress: string | null;
  readonly isSecure: boolean;
  readonly userAgent: string | null;
  readonly nowMs: number;
}

export function isSecureSocket(socket: object): boolean {
  return 'encrypted' in socket && socket.encrypted === true;
}

export function callAccess(
  caller: Pick<Caller, 'principal' | 'names' | 'policies'>,
  region: RegionName,
  arrival: Arrival,
): CallAccess {
  const { principal, names, policies } = caller;
  return { names, policies, keys: new Map([...principalKeys(principal), ...requestKeys(region, arrival)]) };
}

type Keys = readonly (readonly [string, readonly string[]])[];

const TYPES = { root: 'Account', user: 'User', role: 'AssumedRole' } as const;

/** What every policy of a principal can ask about the principal. */
export function principalKeys(principal: Principal): Keys {
  const keys: (readonly [string, readonly string[]])[] = [
    // Of a session, the ARN of its role, as AWS has it.
    ['aws:principalarn', [principal.kind === 'role' ? principal.roleArn : principal.arn]],
    ['aws:principalaccount', [principal.account]],
    ['aws:principaltype', [TYPES[principal.kind]]],
    ['aws:userid', [principal.id]],
    ['aws:principalisawsservice', ['false']],
    ['aws:viaawsservice', ['false']],
  ];
  if (principal.kind === 'role' && principal.sourceIdentity !== null) {
    keys.push(['aws:sourceidentity', [principal.sourceIdentity]]);
  }
  if (principal.kind === 'user') keys.push(['aws:username', [principal.userName]]);
  for (const [key, value] of Object.entries(principal.tags))
    keys.push([`aws:principaltag/${key.toLowerCase()}`, [value]]);
  if (principal.issuedAtMs !== null) {
    keys.push(['aws:tokenissuetime', [new Date(principal.issuedAtMs).toISOString()]]);
    keys.push(['aws:multifactorauthpresent', ['false']]);
  }
  return keys;
}

/** Every wildcard of a policy may be compared with each character. */
const USER_AGENT_CHARACTERS_MAX = 1024;

function requestKeys(region: RegionName, { sourceAddress, isSecure, userAgent, nowMs }: Arrival): Keys {
  const keys: (readonly [string, readonly string[]])[] = [
    ['aws:currenttime', [new Date(nowMs).toISOString()]],
    ['aws:epochtime', [String(Math.floor(nowMs / 1000))]],
    ['aws:securetransport', [String(isSecure)]],
    ['aws:requestedregion', [region]],
    ['ec2:region', [region]],
  ];
  if (sourceAddress !== null) keys.push(['aws:sourceip', [sourceAddress]]);
  if (userAgent !== null) keys.push(['aws:useragent', [userAgent.slice(0, USER_AGENT_CHARACTERS_MAX)]]);
  return keys;
}
