import type { CallContext, Handler } from '#api/handler.ts';
import type { KmsCall } from '#control/kms/access.ts';
import { KmsError } from '#domain/kms/failure.ts';
import { refusalOf } from './errors.ts';

/** Who asks KMS, in a call of any service; `via`: the service that asks in the caller's name (`ec2`). */
export function kmsCallOf(context: CallContext, via: string | null = null): KmsCall {
  const { ports, scope, principal, access } = context;
  const { names, policies, keys } = access;
  const caller = { account: scope.account, arn: principal.arn, principal: names, policies, context: keys, via };
  return { ports, scope, caller };
}

/** An operation of KMS: what KMS refuses comes out in AWS's words. */
export function asking<Input, Output>(
  handle: (call: KmsCall, input: Input) => Promise<Output>,
): Handler<Input, Output> {
  return async (context, input) => {
    try {
      return await handle(kmsCallOf(context), input);
    } catch (error) {
      throw error instanceof KmsError ? refusalOf(error.failure) : error;
    }
  };
}
