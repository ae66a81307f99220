import { dryRunSucceeded } from './errors.ts';

/** Ends a request that has the DryRun flag; called after every check and before the first effect. */
export function endDryRun(request: { readonly DryRun?: boolean | undefined }): void {
  if (request.DryRun === true) throw dryRunSucceeded();
}
