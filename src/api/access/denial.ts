import { type SealPurpose, sealJson } from '#control/identity/sealed-json.ts';
import type { ControlPorts } from '#control/ports.ts';
import type { Principal } from '#domain/principal.ts';
import { AwsRefusal } from '#api/aws-error.ts';
import type { ServiceName } from '#wire/aws/operations.ts';
import type { Denied } from './authorize.ts';

/** What an encoded authorization message holds; only for the account whose principal was refused. */
export interface AuthorizationMessage {
  readonly account: string;
  readonly message: unknown;
}

export const MESSAGE: SealPurpose = 'authorization message';

/** A refusal in the words of the service. EC2's carries an encoded message, which DecodeAuthorizationMessage opens for who may. */
export function denialOf(
  service: ServiceName,
  ports: Pick<ControlPorts, 'vault'>,
  principal: Principal,
  denied: Denied,
): AwsRefusal {
  const { action, resource } = denied.demand;
  const reason = denied.explicit
    ? 'with an explicit deny in a policy'
    : `because no ${denied.demand.guard === null ? 'identity-based policy' : 'policy'} allows the ${action} action`;
  const text = `User: ${principal.arn} is not authorized to perform: ${action} on resource: ${resource} ${reason}`;
  switch (service) {
    case 'ec2': {
      const encoded = encodedMessage(ports, principal, denied);
      const message = `You are not authorized to perform this operation. ${text}. Encoded authorization failure message: ${encoded}`;
      return new AwsRefusal({ code: 'UnauthorizedOperation', message, status: 403 });
    }
    case 'iam':
    case 'sts':
      return new AwsRefusal({ code: 'AccessDenied', message: text, status: 403 });
    case 'lightsail':
    case 'kms':
      return new AwsRefusal({ code: 'AccessDeniedException', message: text, status: 400 });
    case 'ebs':
    case 'rbin':
    case 'dlm':
      return new AwsRefusal({ code: 'AccessDeniedException', message: text, status: 403 });
  }
}

/** Members as AWS's decoded messages have them. */
function encodedMessage(
  ports: Pick<ControlPorts, 'vault'>,
  principal: Principal,
  { demand, explicit, context }: Denied,
): string {
  const conditions = [...context].map(([key, values]) => ({
    key,
    values: { items: values.map((value) => ({ value })) },
  }));
  const content: AuthorizationMessage = {
    account: principal.account,
    message: {
      allowed: false,
      explicitDeny: explicit,
      matchedStatements: { items: [] },
      failures: { items: [] },
      context: {
        principal: { id: principal.id, arn: principal.arn },
        action: demand.action,
        resource: demand.resource,
        conditions: { items: conditions },
      },
    },
  };
  return sealJson(ports, MESSAGE, content);
}
