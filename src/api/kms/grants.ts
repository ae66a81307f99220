import type { KmsCall } from '#control/kms/access.ts';
import * as grants from '#control/kms/grants.ts';
import { GRANT_OPERATIONS, type GrantOperation } from '#domain/kms/grant.ts';
import type * as model from '#wire/aws/models/kms.ts';
import { invalid, unsupported } from './errors.ts';
import { nextOf, pageOf, PAGES } from './paging.ts';
import { grantEntry } from './views.ts';

const NAME = /^[a-zA-Z0-9:/_-]{1,256}$/;

export async function createGrant(call: KmsCall, input: model.CreateGrantRequest): Promise<model.CreateGrantResponse> {
  const { Constraints: constraints, Name: name } = input;
  if (input.GranteeServicePrincipal !== undefined || input.RetiringServicePrincipal !== undefined) {
    throw unsupported('Grants to service principals are not supported by this server.');
  }
  if (constraints?.SourceArn !== undefined) {
    throw unsupported('The constraint SourceArn is not supported by this server.');
  }
  if (input.GranteePrincipal === undefined) throw invalid('GranteePrincipal is required');
  if (input.Operations.length === 0) throw invalid('Operations must name at least one operation');
  if (name !== undefined && !NAME.test(name))
    throw invalid('Name must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$');
  const { grant, token } = await grants.createGrant(call, {
    key: input.KeyId,
    grantee: input.GranteePrincipal,
    retiring: input.RetiringPrincipal ?? null,
    operations: input.Operations.map(operationOf),
    constraints: {
      subset: constraints?.EncryptionContextSubset ?? null,
      equals: constraints?.EncryptionContextEquals ?? null,
    },
    name: name ?? null,
    grantTokens: input.GrantTokens ?? [],
    isRehearsal: input.DryRun === true,
  });
  return { GrantId: grant.id, GrantToken: token };
}

function operationOf(operation: model.GrantOperation): GrantOperation {
  const known = GRANT_OPERATIONS.find((one) => one === operation);
  if (known === undefined) throw invalid(`Operation ${operation} is not valid for a key of the usage ENCRYPT_DECRYPT`);
  return known;
}

export async function listGrants(call: KmsCall, input: model.ListGrantsRequest): Promise<model.ListGrantsResponse> {
  const { key, records, next } = await grants.listGrants(call, {
    ...pageOf(input, PAGES.grants),
    key: input.KeyId,
    grant: input.GrantId ?? null,
    grantee: input.GranteePrincipal ?? input.GranteeServicePrincipal ?? null,
  });
  return { Grants: records.map((grant) => grantEntry(key, grant)), ...nextOf(next) };
}

export async function listRetirableGrants(
  call: KmsCall,
  input: model.ListRetirableGrantsRequest,
): Promise<model.ListGrantsResponse> {
  if (input.RetiringPrincipal === undefined) throw invalid('RetiringPrincipal is required');
  const page = { ...pageOf(input, PAGES.grants), retiring: input.RetiringPrincipal };
  const { records, next } = await grants.listRetirable(call, page);
  return { Grants: records.map((row) => grantEntry(row, row.record)), ...nextOf(next) };
}

export async function revokeGrant(call: KmsCall, input: model.RevokeGrantRequest): Promise<model.Nothing> {
  await grants.revokeGrant(call, { key: input.KeyId, grant: input.GrantId, isRehearsal: input.DryRun === true });
  return {};
}

export async function retireGrant(call: KmsCall, input: model.RetireGrantRequest): Promise<model.Nothing> {
  await grants.retireGrant(call, { which: whichOf(input), isRehearsal: input.DryRun === true });
  return {};
}

function whichOf({ GrantToken: token, KeyId: key, GrantId: grant }: model.RetireGrantRequest): grants.RetiredGrant {
  if (token !== undefined && key === undefined && grant === undefined) return { token };
  if (token === undefined && key !== undefined && grant !== undefined) return { key, grant };
  throw invalid('You must provide either the GrantToken, or the KeyId and the GrantId');
}
