import type { AccountId } from '#domain/ids.ts';
import { rootArn } from '#domain/kms/arn.ts';
import { refuseKms } from '#domain/kms/failure.ts';
import { KMS_LIMITS } from '#domain/kms/limits.ts';
import { parsePolicy } from '#domain/policy/document.ts';
import type { Trustee } from '#domain/policy/trustees.ts';
import type { Scope } from '#domain/volume.ts';
import type { ReadTx } from '#meta/meta-store.ts';
import { findTrustees } from '#control/identity/trustees.ts';
import { type Caller, decideOnKey } from './access.ts';

/** What a key has when its maker says nothing: the account decides, by the policies of its users and roles. */
export function defaultPolicy(account: AccountId): string {
  const statement = {
    Sid: 'Enable IAM User Permissions',
    Effect: 'Allow',
    Principal: { AWS: rootArn(account) },
    Action: 'kms:*',
    Resource: '*',
  };
  return JSON.stringify({ Version: '2012-10-17', Id: 'key-default-1', Statement: [statement] });
}

/** A key that a service made: for everybody of the account, through that service; nobody changes or deletes it. */
export function servicePolicy(scope: Scope, service: string, title: string): string {
  const through = {
    Sid: `Allow access through ${title} for all principals in the account that are authorized to use ${title}`,
    Effect: 'Allow',
    Principal: { AWS: '*' },
    Action: [
      'kms:Encrypt',
      'kms:Decrypt',
      'kms:ReEncrypt*',
      'kms:GenerateDataKey*',
      'kms:CreateGrant',
      'kms:DescribeKey',
    ],
    Resource: '*',
    Condition: {
      StringEquals: {
        'kms:CallerAccount': scope.account,
        'kms:ViaService': `${service}.${scope.region}.amazonaws.com`,
      },
    },
  };
  const direct = {
    Sid: 'Allow direct access to key metadata to the account',
    Effect: 'Allow',
    Principal: { AWS: rootArn(scope.account) },
    Action: ['kms:Describe*', 'kms:Get*', 'kms:List*', 'kms:RevokeGrant'],
    Resource: '*',
  };
  return JSON.stringify({ Version: '2012-10-17', Id: `auto-${title.toLowerCase()}-2`, Statement: [through, direct] });
}

/**
 * A policy that a client gives a key. Unless they say that they know, one that would shut them out is refused: nobody could
 * change it any more. Answers the users and roles that it names. Refuses: policy, also for such as are not there; limit.
 */
export async function checkKeyPolicy(
  tx: ReadTx,
  caller: Caller,
  key: Scope & { readonly id: string },
  policy: string,
  options: { readonly mayLockOut: boolean },
): Promise<readonly Trustee[]> {
  if (policy.length > KMS_LIMITS.policyCharactersMax) {
    refuseKms({ kind: 'limit', what: 'characters of a key policy', max: KMS_LIMITS.policyCharactersMax });
  }
  const parsed = parsePolicy(policy, 'resource');
  if (parsed.kind === 'malformed') refuseKms({ kind: 'policy', reason: parsed.reason });
  const trustees = await findTrustees(tx, parsed.policy);
  if (typeof trustees === 'string') {
    const reason = `Policy contains a statement with one or more invalid principals: ${trustees}`;
    return refuseKms({ kind: 'policy', reason });
  }
  if (options.mayLockOut) return trustees;
  const context = new Map([...caller.context, ['kms:calleraccount', [caller.account]] as const]);
  if (decideOnKey(caller, { ...key, policy, trustees }, 'PutKeyPolicy', [context]) !== 'allowed') {
    const reason = 'The new key policy will not allow you to update the key policy in the future.';
    refuseKms({ kind: 'policy', reason });
  }
  return trustees;
}
