import { findRegion, REGIONS } from '#domain/region.ts';
import type { CallContext } from '#api/handler.ts';
import type { GetRegionsRequest, GetRegionsResult } from '#wire/aws/models/lightsail.ts';
import { refuseInvalid } from './errors.ts';
import { regionView } from './views.ts';

export async function getRegions(_context: CallContext, input: GetRegionsRequest): Promise<GetRegionsResult> {
  const options = {
    zones: input.includeAvailabilityZones === true,
    databaseZones: input.includeRelationalDatabaseAvailabilityZones === true,
  };
  return { regions: REGIONS.map((region) => regionView(region, options)).filter((region) => region !== null) };
}

/** Lightsail is in fewer regions than EC2: what it would make in another one, its own model could not show. */
export function admitRegion({ scope }: Pick<CallContext, 'scope'>): void {
  if (findRegion(scope.region)?.lightsail !== null) return;
  refuseInvalid(
    `Lightsail is not available in the Region ${scope.region}.`,
    'Use GetRegions in us-east-1 to list its Regions.',
  );
}
