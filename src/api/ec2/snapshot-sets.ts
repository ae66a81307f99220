import type { Handler } from '#api/handler.ts';
import { outpostAsked } from '#control/outposts.ts';
import { refuse } from '#domain/errors.ts';
import type { InputOf, OutputOf } from '#wire/aws/operations.ts';
import { parseDescription } from './descriptions.ts';
import { invalidParameter, invalidValue, malformedId, missingParameter } from './errors.ts';
import { checkLocation } from './snapshot-place.ts';
import { parseTagSpecifications } from './tag-rules.ts';

const INSTANCE_ID = /^i-(?:[0-9a-f]{8}|[0-9a-f]{17})$/;

/** Snapshots of all volumes of an instance. There are no instances here, so whichever is named is not found. */
export const createSnapshots: Handler<InputOf<'ec2', 'CreateSnapshots'>, OutputOf<'ec2', 'CreateSnapshots'>> = async (
  { ports, scope },
  request,
) => {
  const id = requireInstanceId(request.InstanceSpecification?.InstanceId);
  parseDescription(request.Description);
  parseTagSpecifications(request.TagSpecifications, 'snapshot');
  checkLocation(request);
  outpostAsked(ports, scope, request.OutpostArn);
  const { CopyTagsFromSource: copied } = request;
  if (copied !== undefined && copied !== 'volume')
    throw invalidValue(`Value (${copied}) for parameter copyTagsFromSource is invalid. Valid value is 'volume'.`);
  refuse({ kind: 'not-found', resource: 'instance', id });
};

function requireInstanceId(id: string | undefined): string {
  if (id === undefined || id === '') throw missingParameter('InstanceSpecification.InstanceId');
  if (!id.startsWith('i-')) throw invalidParameter('instanceId', id, "Expected: 'i-...'.");
  if (!INSTANCE_ID.test(id)) throw malformedId('instance', id);
  return id;
}
