import type { Handler } from '#api/handler.ts';
import { changeInstance } from '#control/machines/change.ts';
import { findInstance } from '#control/machines/records.ts';
import { DEFAULT_METADATA_OPTIONS, type Instance, type MetadataOptions } from '#domain/instance.ts';
import type { InputOf, OutputOf } from '#wire/aws/operations.ts';
import { endDryRun } from './dry-run.ts';
import { invalidCombination, invalidValue } from './errors.ts';
import { requireInstanceId } from './ids.ts';
import type { InstanceView } from './instance-views.ts';

// Machines are not told of themselves over HTTP, but by their seed. What clients set is kept and shown, so that who
// asks for tokens finds that he has asked.

type ModifyRequest = InputOf<'ec2', 'ModifyInstanceMetadataOptions'>;
type OptionsRequest = NonNullable<InputOf<'ec2', 'RunInstances'>['MetadataOptions']>;

const HOP_LIMIT_MAX = 64;
const TOKENS = ['optional', 'required'] as const;
const SWITCH = ['enabled', 'disabled'] as const;

/** What a request says of them. */
export function parseMetadataOptions(request: OptionsRequest): Partial<MetadataOptions> {
  const { HttpPutResponseHopLimit: hops } = request;
  if (hops !== undefined && !(hops >= 1 && hops <= HOP_LIMIT_MAX)) {
    throw invalidValue(`Invalid value '${hops}' for httpPutResponseHopLimit. It is 1 to ${HOP_LIMIT_MAX}.`);
  }
  return {
    ...oneOf('httpTokens', request.HttpTokens, TOKENS),
    ...oneOf('httpEndpoint', request.HttpEndpoint, SWITCH),
    ...(hops === undefined ? {} : { httpPutResponseHopLimit: hops }),
    ...oneOf('httpProtocolIpv6', request.HttpProtocolIpv6, SWITCH),
    ...oneOf('instanceTags', request.InstanceMetadataTags, SWITCH),
  };
}

function oneOf<Name extends string, Word extends string>(
  name: Name,
  asked: string | undefined,
  words: readonly Word[],
): { readonly [N in Name]?: Word } {
  if (asked === undefined) return {};
  const word = words.find((one) => one === asked);
  if (word === undefined) throw invalidValue(`Invalid value '${asked}' for ${name}. It is ${words.join(' or ')}.`);
  return { [name]: word } as { readonly [N in Name]?: Word };
}

export function metadataView({ metadataOptions }: Instance): NonNullable<InstanceView['MetadataOptions']> {
  const options = metadataOptions ?? DEFAULT_METADATA_OPTIONS;
  return {
    State: 'applied',
    HttpTokens: options.httpTokens,
    HttpPutResponseHopLimit: options.httpPutResponseHopLimit,
    HttpEndpoint: options.httpEndpoint,
    HttpProtocolIpv6: options.httpProtocolIpv6,
    InstanceMetadataTags: options.instanceTags ?? 'disabled',
  };
}

export const modifyInstanceMetadataOptions: Handler<
  ModifyRequest,
  OutputOf<'ec2', 'ModifyInstanceMetadataOptions'>
> = async ({ ports, scope }, request) => {
  const id = requireInstanceId(request.InstanceId);
  const metadataOptions = parseMetadataOptions(request);
  if (Object.keys(metadataOptions).length === 0) {
    throw invalidCombination('At least one of the metadata options must be given.');
  }
  await findInstance(ports, scope, id);
  endDryRun(request);
  const changed = await changeInstance(ports, scope, id, { metadataOptions });
  return { InstanceId: id, InstanceMetadataOptions: metadataView(changed) };
};
