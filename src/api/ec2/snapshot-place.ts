import { invalidParameter, unsupportedRequest } from './errors.ts';

/** A volume of a region has its snapshots in the region: nothing here is on an Outpost or in a Local Zone. */
export function refusePlace(request: {
  readonly OutpostArn?: string | undefined;
  readonly Location?: string | undefined;
}): void {
  if (request.OutpostArn !== undefined) {
    throw invalidParameter(
      'outpostArn',
      request.OutpostArn,
      'The volume is not on an Outpost; its snapshots are stored in its Region.',
    );
  }
  if (request.Location !== undefined && request.Location !== 'regional') {
    throw request.Location === 'local'
      ? unsupportedRequest('Local snapshots are supported only for volumes in Local Zones.')
      : invalidParameter('location', request.Location, "Valid values are 'regional' and 'local'.");
  }
}
