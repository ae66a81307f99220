/** HTTP statuses of errors: the model's where it has the error, else these, else 400. */
import type { Model } from './model.ts';

/** Codes of EC2, whose model has no errors, and of the front door that all services share. */
const statuses: ReadonlyMap<string, number> = new Map([
  ['AuthFailure', 401],
  ['UnauthorizedOperation', 403],
  ['MissingAuthenticationToken', 403],
  ['SignatureDoesNotMatch', 403],
  ['InvalidClientTokenId', 403],
  ['ExpiredToken', 403],
  ['DryRunOperation', 412],
  ['RequestLimitExceeded', 503],
  ['Unavailable', 503],
  ['ServiceUnavailable', 503],
  ['InternalError', 500],
  ['InternalFailure', 500],
]);

export function statusOfError(model: Model, code: string): number {
  const modelled = model.errors.get(code);
  if (modelled?.status !== undefined) return modelled.status;
  if (modelled?.fault === 'server') return 500;
  return statuses.get(code) ?? 400;
}
