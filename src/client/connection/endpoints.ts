/** Where a service answers, and for which name and region a request to it is signed. */
import type { ServiceName } from '#wire/aws/operations.ts';
import { nestedSettings, type Configuration } from './configuration.ts';

export interface Endpoint {
  /** Without a slash at its end. */
  readonly url: string;
  readonly signingRegion: string;
}

/** Regions whose names begin like this, the suffix of their hosts, and where their IAM is. */
const partitions = [
  { region: /^cn-/, suffix: 'amazonaws.com.cn', iamHost: 'iam.cn-north-1.amazonaws.com.cn', iamRegion: 'cn-north-1' },
  { region: /^us-gov-/, suffix: 'amazonaws.com', iamHost: 'iam.us-gov.amazonaws.com', iamRegion: 'us-gov-west-1' },
  { region: /^us-iso-/, suffix: 'c2s.ic.gov', iamHost: 'iam.us-iso-east-1.c2s.ic.gov', iamRegion: 'us-iso-east-1' },
  {
    region: /^us-isob-/,
    suffix: 'sc2s.sgov.gov',
    iamHost: 'iam.us-isob-east-1.sc2s.sgov.gov',
    iamRegion: 'us-isob-east-1',
  },
  { region: /(?:)/, suffix: 'amazonaws.com', iamHost: 'iam.amazonaws.com', iamRegion: 'us-east-1' },
] as const;

/** Where AWS has the service. IAM is one for all regions of a partition. */
export function awsEndpoint(service: ServiceName, region: string): Endpoint {
  const partition = partitions.find((candidate) => candidate.region.test(region)) ?? partitions[4];
  if (service === 'iam') return { url: `https://${partition.iamHost}`, signingRegion: partition.iamRegion };
  if (service === 'sts' && region === 'aws-global') {
    return { url: 'https://sts.amazonaws.com', signingRegion: 'us-east-1' };
  }
  return { url: `https://${service}.${region}.${partition.suffix}`, signingRegion: region };
}

/** The URL that environment or settings name for the service: what is said of the service goes before what is said of all. */
export function configuredEndpoint(service: ServiceName, configuration: Configuration): string | null {
  const { environment, profile, services } = configuration;
  const ignored = environment('AWS_IGNORE_CONFIGURED_ENDPOINT_URLS') ?? profile.get('ignore_configured_endpoint_urls');
  if (ignored?.toLowerCase() === 'true') return null;
  const ofServices = services.get(profile.get('services') ?? '');
  const url =
    environment(`AWS_ENDPOINT_URL_${service.toUpperCase()}`) ??
    nestedSettings(ofServices, service).get('endpoint_url') ??
    environment('AWS_ENDPOINT_URL') ??
    profile.get('endpoint_url');
  return url === undefined || url === '' ? null : url;
}
