import type { CallContext } from '#api/handler.ts';
import type { GetCallerIdentityRequest, GetCallerIdentityResponse } from '#wire/aws/models/sts.ts';

/** Who one is. Nobody needs leave to ask. */
export async function getCallerIdentity(
  { principal }: CallContext,
  _input: GetCallerIdentityRequest,
): Promise<GetCallerIdentityResponse> {
  return { UserId: principal.id, Account: principal.account, Arn: principal.arn };
}
