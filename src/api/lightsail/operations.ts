import { findOperation, listOperations, listOperationsOf } from '#control/operations.ts';
import type { CallContext } from '#api/handler.ts';
import type {
  GetOperationRequest,
  GetOperationResult,
  GetOperationsForResourceRequest,
  GetOperationsForResourceResult,
  GetOperationsRequest,
  GetOperationsResult,
} from '#wire/aws/models/lightsail.ts';
import { ITEMS_MAX, nextPage, pageAfter } from './paging.ts';
import { operationView } from './views.ts';

export async function getOperation(
  { ports, scope }: CallContext,
  input: GetOperationRequest,
): Promise<GetOperationResult> {
  return { operation: operationView(await findOperation(ports, scope, input.operationId)) };
}

/** Oldest first, 200 at most, as the API reference says. */
export async function getOperations(
  { ports, scope }: CallContext,
  input: GetOperationsRequest,
): Promise<GetOperationsResult> {
  const page = { after: pageAfter(input), countMax: ITEMS_MAX };
  const { operations, next } = await listOperations(ports, scope, page);
  return { operations: operations.map(operationView), ...nextPage(next) };
}

export async function getOperationsForResource(
  { ports, scope }: CallContext,
  input: GetOperationsForResourceRequest,
): Promise<GetOperationsForResourceResult> {
  const page = { after: pageAfter(input), countMax: ITEMS_MAX };
  const { operations, next } = await listOperationsOf(ports, scope, input.resourceName, page);
  return { operations: operations.map(operationView), ...nextPage(next) };
}
