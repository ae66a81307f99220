import { unreachable } from '#base/assert.ts';
import type { ServiceName } from '#wire/aws/operations.ts';
import type { Principal } from '#domain/principal.ts';
import { type Asked, demandsOn, type Plan, plainPlan, textsOf } from './demand.ts';
import { ec2Plan } from './ec2-demands.ts';
import { lightsailPlan } from './lightsail-demands.ts';
import { dlmPlan, ebsPlan, iamPlan, rbinPlan, stsPlan } from './other-demands.ts';

/**
 * What must be allowed for a call to be performed, for every operation of every service: an operation of which nothing is
 * known is decided on `*`. KMS decides in its use cases, by the key's policy and grants, which this table does not know.
 */
export function planOf(service: ServiceName, asked: Asked, principal: Principal): Plan {
  switch (service) {
    case 'ec2':
      return ec2Plan(asked);
    case 'lightsail':
      return lightsailPlan(asked);
    case 'ebs':
      return ebsPlan(asked);
    case 'rbin':
      return rbinPlan(asked);
    case 'dlm':
      return dlmPlan(asked);
    case 'iam':
      return iamPlan(asked, { userName: principal.kind === 'user' ? principal.userName : null });
    case 'sts':
      return stsPlan(asked);
    case 'kms':
      return { ...plainPlan([]), named: KEY_MEMBERS.flatMap((member) => textsOf(asked.input[member])) };
    default:
      return unreachable(service);
  }
}

const KEY_MEMBERS = ['KeyId', 'TargetKeyId', 'SourceKeyId', 'DestinationKeyId', 'AliasName'];

/** For an operation that no handler performs: its action on anything. */
export function planUnhandled(service: ServiceName, operation: string): Plan {
  return plainPlan(demandsOn(`${service}:${operation}`, []));
}
