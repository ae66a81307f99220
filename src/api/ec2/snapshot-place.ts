import { invalidCombination, invalidParameter, unsupportedRequest } from './errors.ts';

/** `Location` is for volumes in Local Zones, and there are none here: where a snapshot goes, its volume and `OutpostArn` say. */
export function checkLocation(request: {
  readonly OutpostArn?: string | undefined;
  readonly Location?: string | undefined;
}): void {
  if (request.Location === undefined) return;
  if (request.Location !== 'regional' && request.Location !== 'local') {
    throw invalidParameter('location', request.Location, "Valid values are 'regional' and 'local'.");
  }
  if (request.OutpostArn !== undefined) {
    throw invalidCombination('The parameters OutpostArn and Location cannot be used together.');
  }
  if (request.Location === 'local') {
    throw unsupportedRequest('Local snapshots are supported only for volumes in Local Zones.');
  }
}
