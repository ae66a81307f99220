import type { CallContext } from '#api/handler.ts';
import type { GetCallerIdentityRequest, GetCallerIdentityResponse } from '#wire/aws/models/sts.ts';

/** Every access key is its account's root: there are no users or roles. */
export async function getCallerIdentity(
  { scope }: CallContext,
  _input: GetCallerIdentityRequest,
): Promise<GetCallerIdentityResponse> {
  return { UserId: scope.account, Account: scope.account, Arn: `arn:aws:iam::${scope.account}:root` };
}
