import { checkTag, EC2_TAG_RULES, type Tag } from '#domain/tags.ts';
import { invalidTagKey, invalidValue, missingParameter, tagLimitExceeded } from './errors.ts';

/** Of one request. How many a resource has is a limit of its account, by default AWS's 50. */
export const TAGS_MAX = 1000;

/** A tag as the wire decodes it. */
export interface TagRequest {
  readonly Key?: string | undefined;
  readonly Value?: string | undefined;
}

export interface TagSpecificationRequest {
  readonly ResourceType?: string | undefined;
  readonly Tags?: readonly TagRequest[] | undefined;
}

/** Tags to set, each checked, no key twice. A tag without a value has the empty one. */
export function parseTags(requests: readonly TagRequest[], parameter = 'Tag'): readonly Tag[] {
  const tags = requests.map((request, index) => parseTag(request, `${parameter}.${index + 1}`));
  const keys = new Set<string>();
  for (const { key } of tags) {
    if (keys.has(key)) throw invalidValue(`Duplicate tag key '${key}' specified.`);
    keys.add(key);
  }
  if (tags.length > TAGS_MAX) throw tagLimitExceeded(TAGS_MAX);
  return tags;
}

function parseTag(request: TagRequest, parameter: string): Tag {
  if (request.Key === undefined) throw missingParameter(`${parameter}.Key`);
  const tag = { key: request.Key, value: request.Value ?? '' };
  if (tag.key === '') throw invalidTagKey('Tag keys cannot be empty or null.');
  const { keyLengthMax, valueLengthMax } = EC2_TAG_RULES;
  if (isLonger(tag.key, keyLengthMax)) {
    throw invalidValue(`Tag key exceeds the maximum length of ${keyLengthMax} characters`);
  }
  if (isLonger(tag.value, valueLengthMax)) {
    throw invalidValue(`Tag value exceeds the maximum length of ${valueLengthMax} characters`);
  }
  checkTag(EC2_TAG_RULES, tag);
  return tag;
}

/** AWS counts characters, not UTF-16 units; there are never more of them, and never fewer than half. */
function isLonger(text: string, lengthMax: number): boolean {
  return text.length > lengthMax && (text.length > 2 * lengthMax || Array.from(text).length > lengthMax);
}

/**
 * The tags that a creation gives its new `resourceType`. A specification says what kind of resource its tags are for; any
 * other kind than what the operation makes is a mistake of the request.
 */
export function parseTagSpecifications(
  specifications: readonly TagSpecificationRequest[] | undefined,
  resourceType: 'volume' | 'snapshot' | 'image' | 'key-pair',
): readonly Tag[] {
  return parseTagsByType(specifications, [resourceType]).get(resourceType) ?? [];
}

/** The same for an operation that makes several kinds of resources: tags by kind. */
export function parseTagsByType<Type extends string>(
  specifications: readonly TagSpecificationRequest[] | undefined,
  resourceTypes: readonly Type[],
): ReadonlyMap<Type, readonly Tag[]> {
  const given = specifications ?? [];
  const found = new Map<Type, readonly Tag[]>();
  for (const [index, { ResourceType: text, Tags: tags }] of given.entries()) {
    if (text === undefined || text === '') throw invalidValue('Tag specification resource type must have a value');
    const type = resourceTypes.find((one) => one === text);
    if (type === undefined) throw invalidValue(`'${text}' is not a valid taggable resource type for this operation.`);
    if (tags === undefined || tags.length === 0) throw invalidValue('Tag specification must have at least one tag');
    if (found.has(type)) {
      throw invalidValue('The same resource type may not be specified more than once in tag specifications');
    }
    found.set(type, parseTags(tags, `TagSpecification.${index + 1}.Tag`));
  }
  return found;
}
