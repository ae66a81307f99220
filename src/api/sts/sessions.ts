import { MESSAGE, type AuthorizationMessage } from '#api/access/denial.ts';
import type { Handlers } from '#api/handler.ts';
import { identityHandler, validationError } from '#api/iam/errors.ts';
import { openJson } from '#control/identity/sealed-json.ts';
import { accountOfKey, assumeRole, sessionToken } from '#control/identity/sessions.ts';
import type { SessionCredentials } from '#control/identity/session-token.ts';
import type { Credentials } from '#wire/aws/models/sts.ts';
import { invalidMessage } from './errors.ts';

export const sessionHandlers: Handlers<'sts'> = {
  AssumeRole: identityHandler(async ({ ports, principal }, input) => {
    if (input.SerialNumber !== undefined || input.TokenCode !== undefined) {
      throw validationError('MFA devices are not known to this server: leave SerialNumber and TokenCode out.');
    }
    const { credentials, account, role } = await assumeRole(ports, principal, {
      roleArn: input.RoleArn,
      sessionName: input.RoleSessionName,
      seconds: input.DurationSeconds ?? null,
      policy: input.Policy ?? null,
      policyArns: (input.PolicyArns ?? []).flatMap(({ arn }) => arn ?? []),
      tags: (input.Tags ?? []).map(({ Key: key, Value: value }) => ({ key, value })),
      transitiveTags: input.TransitiveTagKeys ?? [],
      sourceIdentity: input.SourceIdentity ?? null,
      externalId: input.ExternalId ?? null,
    });
    return {
      Credentials: credentialsView(credentials),
      AssumedRoleUser: {
        AssumedRoleId: `${role.id}:${input.RoleSessionName}`,
        Arn: `arn:aws:sts::${account}:assumed-role/${role.name}/${input.RoleSessionName}`,
      },
      ...(input.SourceIdentity === undefined ? {} : { SourceIdentity: input.SourceIdentity }),
      ...(input.Policy === undefined ? {} : { PackedPolicySize: Math.ceil((input.Policy.length / 2048) * 100) }),
    };
  }),

  GetSessionToken: identityHandler(async ({ ports, principal }, input) => {
    if (input.SerialNumber !== undefined || input.TokenCode !== undefined) {
      throw validationError('MFA devices are not known to this server: leave SerialNumber and TokenCode out.');
    }
    return { Credentials: credentialsView(sessionToken(ports, principal, input.DurationSeconds ?? null)) };
  }),

  GetAccessKeyInfo: identityHandler(async ({ ports }, input) => {
    const account = await accountOfKey(ports, input.AccessKeyId);
    if (account === null) throw validationError(`The access key ID ${input.AccessKeyId.slice(0, 128)} is not valid.`);
    return { Account: account };
  }),

  /** Only what was refused to a principal of the caller's account. */
  DecodeAuthorizationMessage: identityHandler(async ({ ports, scope }, input) => {
    // Nobody else can seal one, so what opens is what was sealed.
    const content = openJson(ports, MESSAGE, input.EncodedMessage) as AuthorizationMessage | null;
    if (content === null || content.account !== scope.account) throw invalidMessage();
    return { DecodedMessage: JSON.stringify(content.message) };
  }),
};

function credentialsView({
  accessKeyId,
  secretAccessKey,
  sessionToken: token,
  expiresAtMs,
}: SessionCredentials): Credentials {
  return {
    AccessKeyId: accessKeyId,
    SecretAccessKey: secretAccessKey,
    SessionToken: token,
    Expiration: new Date(expiresAtMs),
  };
}
