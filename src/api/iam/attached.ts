import type { IdentityRecord } from '#control/identity/records.ts';
import type { AttachedPolicy } from '#wire/aws/models/iam.ts';
import { pageOf, type PageOf } from './paging.ts';

interface Request {
  readonly PathPrefix?: string | undefined;
  readonly Marker?: string | undefined;
  readonly MaxItems?: number | undefined;
}

/** The managed policies that are attached to a user or role. */
export function attachedViews(
  { attached }: IdentityRecord,
  request: Request,
): { readonly AttachedPolicies: readonly AttachedPolicy[] } & PageOf<never>['more'] {
  const named = attached.flatMap((arn) => {
    const [, path = '', name = ''] = /:policy(\/(?:.*\/)?)([^/]+)$/.exec(arn) ?? [];
    return path.startsWith(request.PathPrefix ?? '/') ? [{ PolicyName: name, PolicyArn: arn }] : [];
  });
  const { items, more } = pageOf(named, ({ PolicyName, PolicyArn }) => `${PolicyName} ${PolicyArn}`, request);
  return { AttachedPolicies: items, ...more };
}
