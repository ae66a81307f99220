import { listBlueprints } from '#control/blueprints.ts';
import { listNames } from '#control/names.ts';
import { BUNDLES } from '#domain/bundle.ts';
import type { CallContext } from '#api/handler.ts';
import type {
  GetActiveNamesRequest,
  GetActiveNamesResult,
  GetBlueprintsRequest,
  GetBlueprintsResult,
  GetBundlesRequest,
  GetBundlesResult,
} from '#wire/aws/models/lightsail.ts';
import { refuseInvalid } from './errors.ts';
import { blueprintView, bundleView } from './instance-views.ts';
import { ITEMS_MAX, nextPage, pageAfter } from './paging.ts';

/** All in one reply: there are fewer than a page holds. None is for Lightsail for Research. */
export async function getBundles(_context: CallContext, input: GetBundlesRequest): Promise<GetBundlesResult> {
  refuseToken(input.pageToken);
  const shown = BUNDLES.filter(({ isActive }) => isActive || input.includeInactive === true);
  return { bundles: input.appCategory === undefined ? shown.map(bundleView) : [] };
}

/** What machines can really be made of here. */
export async function getBlueprints({ ports }: CallContext, input: GetBlueprintsRequest): Promise<GetBlueprintsResult> {
  refuseToken(input.pageToken);
  const all = input.appCategory === undefined ? await listBlueprints(ports) : [];
  return { blueprints: all.filter(({ isActive }) => isActive || input.includeInactive === true).map(blueprintView) };
}

export async function getActiveNames(
  { ports, scope }: CallContext,
  input: GetActiveNamesRequest,
): Promise<GetActiveNamesResult> {
  const { names, next } = await listNames(ports, scope, { after: pageAfter(input), countMax: ITEMS_MAX });
  return { activeNames: names, ...nextPage(next) };
}

/** No reply of these gives one. */
function refuseToken(token: string | undefined): void {
  if (token === undefined || token === '') return;
  refuseInvalid('The page token is not valid.', 'Use the nextPageToken of the reply before, or none.');
}
