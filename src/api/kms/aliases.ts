import type { KmsCall } from '#control/kms/access.ts';
import * as aliases from '#control/kms/aliases.ts';
import type * as model from '#wire/aws/models/kms.ts';
import { nextOf, pageOf, PAGES } from './paging.ts';
import { aliasEntry } from './views.ts';

export async function createAlias(call: KmsCall, input: model.CreateAliasRequest): Promise<model.Nothing> {
  await aliases.createAlias(call, input.AliasName, input.TargetKeyId);
  return {};
}

export async function updateAlias(call: KmsCall, input: model.UpdateAliasRequest): Promise<model.Nothing> {
  await aliases.updateAlias(call, input.AliasName, input.TargetKeyId);
  return {};
}

export async function deleteAlias(call: KmsCall, input: model.DeleteAliasRequest): Promise<model.Nothing> {
  await aliases.deleteAlias(call, input.AliasName);
  return {};
}

export async function listAliases(call: KmsCall, input: model.ListAliasesRequest): Promise<model.ListAliasesResponse> {
  const page = { ...pageOf(input, PAGES.grants), key: input.KeyId ?? null };
  const { records, next } = await aliases.listAliases(call, page);
  return { Aliases: records.map((alias) => aliasEntry(call.scope, alias)), ...nextOf(next) };
}
