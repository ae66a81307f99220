import type { Handlers } from '#api/handler.ts';
import { refuseNotFound } from './errors.ts';

/*
 * Databases, containers, load balancers, distributions, buckets, certificates and domains are parts of Lightsail that this
 * server does not have. So there are none of them: lists are empty, as tools that go through a whole account expect, and what
 * is asked for by its name is not there. Making one is answered as not supported, like everything that is not handled.
 */

function none(kind: string, name: string | undefined): never {
  return refuseNotFound(`The ${kind} does not exist: ${name ?? ''}`);
}

export const absentHandlers = {
  GetBuckets: async () => ({ buckets: [] }),
  GetBucketBundles: async () => ({ bundles: [] }),
  GetBucketAccessKeys: async (_context, { bucketName }) => none('Bucket', bucketName),
  GetCertificates: async () => ({ certificates: [] }),
  GetContainerServices: async () => ({ containerServices: [] }),
  GetContainerServicePowers: async () => ({ powers: [] }),
  GetContainerImages: async (_context, { serviceName }) => none('ContainerService', serviceName),
  GetContainerServiceDeployments: async (_context, { serviceName }) => none('ContainerService', serviceName),
  GetDistributions: async () => ({ distributions: [] }),
  GetDistributionBundles: async () => ({ bundles: [] }),
  GetDomains: async () => ({ domains: [] }),
  GetDomain: async (_context, { domainName }) => none('Domain', domainName),
  GetLoadBalancers: async () => ({ loadBalancers: [] }),
  GetLoadBalancer: async (_context, { loadBalancerName }) => none('LoadBalancer', loadBalancerName),
  GetLoadBalancerTlsCertificates: async (_context, { loadBalancerName }) => none('LoadBalancer', loadBalancerName),
  GetLoadBalancerTlsPolicies: async () => ({ tlsPolicies: [] }),
  GetRelationalDatabases: async () => ({ relationalDatabases: [] }),
  GetRelationalDatabaseSnapshots: async () => ({ relationalDatabaseSnapshots: [] }),
  GetRelationalDatabaseBlueprints: async () => ({ blueprints: [] }),
  GetRelationalDatabaseBundles: async () => ({ bundles: [] }),
  GetRelationalDatabase: async (_context, { relationalDatabaseName }) =>
    none('RelationalDatabase', relationalDatabaseName),
  GetRelationalDatabaseEvents: async (_context, { relationalDatabaseName }) =>
    none('RelationalDatabase', relationalDatabaseName),
  GetRelationalDatabaseParameters: async (_context, { relationalDatabaseName }) =>
    none('RelationalDatabase', relationalDatabaseName),
  GetRelationalDatabaseLogStreams: async (_context, { relationalDatabaseName }) =>
    none('RelationalDatabase', relationalDatabaseName),
  GetRelationalDatabaseSnapshot: async (_context, { relationalDatabaseSnapshotName }) =>
    none('RelationalDatabaseSnapshot', relationalDatabaseSnapshotName),
  IsVpcPeered: async () => ({ isPeered: false }),
} satisfies Handlers<'lightsail'>;
