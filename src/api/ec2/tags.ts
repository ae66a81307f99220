import type { CallContext, Handler } from '#api/handler.ts';
import { findSnapshot } from '#control/snapshots.ts';
import { listTags, removeTags, setTags, type TaggedId, type TagItem } from '#control/tags.ts';
import { findVolume } from '#control/volumes.ts';
import { findImage } from '#control/machines/images.ts';
import { findKeyPairById } from '#control/machines/key-pairs.ts';
import { findInstance } from '#control/machines/records.ts';
import { parseImageId, parseInstanceId, parseKeyPairId, parseSnapshotId, parseVolumeId } from '#domain/ids.ts';
import type { TagRemoval } from '#domain/tags.ts';
import type { Tags } from '#domain/volume.ts';
import type { InputOf, OutputOf } from '#wire/aws/operations.ts';
import { endDryRun } from './dry-run.ts';
import { invalidParameter, invalidResourceId, malformedId, missingParameter } from './errors.ts';
import { exactValues, type FilterRequest, parseFilters, type FilterTable, type FilterTexts } from './filters.ts';
import { nextToken, parsePage } from './paging.ts';
import { parseTags, type TagRequest } from './tag-rules.ts';

/** AWS: so many resources in one request, and so many tags to delete. */
const RESOURCES_MAX = 1000;
const REMOVALS_MAX = 1000;

export const createTags: Handler<InputOf<'ec2', 'CreateTags'>, OutputOf<'ec2', 'CreateTags'>> = async (
  context,
  request,
) => {
  const resources = parseResources(request.Resources);
  if (request.Tags.length === 0) throw missingParameter('Tag');
  const tags = parseTags(request.Tags);
  if (request.DryRun === true) await checkResources(context, resources);
  endDryRun(request);
  await setTags(context.ports, context.scope, { face: 'ec2', resources, tags, operation: null });
  return {};
};

export const deleteTags: Handler<InputOf<'ec2', 'DeleteTags'>, OutputOf<'ec2', 'DeleteTags'>> = async (
  context,
  request,
) => {
  const resources = parseResources(request.Resources);
  const removals = parseRemovals(request.Tags);
  if (request.DryRun === true) await checkResources(context, resources);
  endDryRun(request);
  await removeTags(context.ports, context.scope, { resources, removals, operation: null });
  return {};
};

/** Ids of whatever kinds, each once. */
function parseResources(texts: readonly string[]): readonly TaggedId[] {
  if (texts.length === 0) throw missingParameter('ResourceId');
  if (texts.length > RESOURCES_MAX) {
    throw invalidParameter('resourceId', String(texts.length), `At most ${RESOURCES_MAX} resources are allowed.`);
  }
  return [...new Set(texts.map(parseResource))];
}

function parseResource(text: string): TaggedId {
  const id = parseTagged(text);
  if (id !== null) return id;
  if (text.startsWith('vol-')) throw malformedId('volume', text);
  if (text.startsWith('snap-')) throw malformedId('snapshot', text);
  if (text.startsWith('i-')) throw malformedId('instance', text);
  if (text.startsWith('ami-')) throw malformedId('blueprint', text);
  throw invalidResourceId(text);
}

function parseTagged(text: string): TaggedId | null {
  return (
    parseVolumeId(text) ?? parseSnapshotId(text) ?? parseInstanceId(text) ?? parseImageId(text) ?? parseKeyPairId(text)
  );
}

/** Without tags: every tag. A tag without a value goes whatever its value is; with an empty one, only if it is empty. */
function parseRemovals(requests: readonly TagRequest[] | undefined): readonly TagRemoval[] | null {
  if (requests === undefined || requests.length === 0) return null;
  if (requests.length > REMOVALS_MAX) {
    throw invalidParameter('tag', String(requests.length), `At most ${REMOVALS_MAX} tags are allowed.`);
  }
  return requests.map(({ Key: key, Value: value }, index) => {
    if (key === undefined) throw missingParameter(`Tag.${index + 1}.Key`);
    return { key, value: value ?? null };
  });
}

/** What the use case would refuse, for a request that ends before it. */
async function checkResources({ ports, scope }: CallContext, resources: readonly TaggedId[]): Promise<void> {
  for (const resource of resources) {
    const volume = parseVolumeId(resource);
    const snapshot = parseSnapshotId(resource);
    if (volume !== null) await findVolume(ports, scope, volume);
    const instance = parseInstanceId(resource);
    const image = parseImageId(resource);
    const keyPair = parseKeyPairId(resource);
    if (snapshot !== null) await findSnapshot(ports, scope, snapshot);
    if (instance !== null) await findInstance(ports, scope, instance);
    if (image !== null) await findImage(ports, scope, image);
    if (keyPair !== null) await findKeyPairById(ports, scope, keyPair);
  }
}

/** Every filter of EC2's DescribeTags. */
export const tagFilters: FilterTable<TagItem> = {
  named: new Map<string, FilterTexts<TagItem>>([
    ['key', (tag) => [tag.key]],
    ['resource-id', (tag) => [tag.resource]],
    ['resource-type', (tag) => [tag.kind]],
    ['value', (tag) => [tag.value]],
  ]),
  tags: (tag): Tags => Object.fromEntries([[tag.key, tag.value]]),
};

/**
 * Ids that the filter `resource-id` says in full: the request has no other way to name a resource, and what is named is
 * shown, whichever service made it. Null: the tags of EC2's lists are asked for, also with a pattern.
 */
function namedResources(filters: readonly FilterRequest[] | undefined): readonly TaggedId[] | null {
  const values = exactValues(filters, 'resource-id');
  return values && values.flatMap((text) => parseTagged(text) ?? []);
}

export const describeTags: Handler<InputOf<'ec2', 'DescribeTags'>, OutputOf<'ec2', 'DescribeTags'>> = async (
  { ports, scope },
  request,
) => {
  const page = parsePage(request);
  const match = parseFilters(request.Filters, tagFilters);
  endDryRun(request);
  const ids = namedResources(request.Filters);
  const { tags, next } = await listTags(ports, scope, { ids, face: 'ec2', ...page, match });
  return {
    Tags: tags.map((tag) => ({ Key: tag.key, ResourceId: tag.resource, ResourceType: tag.kind, Value: tag.value })),
    ...nextToken(next),
  };
};
