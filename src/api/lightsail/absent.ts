import { AwsRefusal } from '#api/aws-error.ts';
import type { Handler, Handlers } from '#api/handler.ts';
import { refuseAbsent, refuseInvalid, unsupported } from './errors.ts';

/*
 * What Lightsail has and this server has not: databases, containers, load balancers and so on. Clients that go through all
 * kinds of resources find none; who names one is told that it does not exist; who wants one is told that there are none here.
 */

interface Family {
  /** As in "This server has no …". */
  readonly what: string;
  /** What names one of them in requests, and what it is called then. */
  readonly member: string;
  readonly type: string;
  /** Answer an empty list, in this member of the reply. */
  readonly lists?: Readonly<Record<string, string>>;
  /** Answer something else that is true where there are none. */
  readonly answers?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /** Operations on one that is there: it is not. */
  readonly needing?: string;
  /** Operations that would make one, or do something for another resource. */
  readonly making?: string;
  /** What to do instead; missing: what there is. */
  readonly tip?: string;
  /** The exception of those, where the model gives them no OperationFailureException. */
  readonly refusal?: 'InvalidInputException';
}

const FAMILIES: readonly Family[] = [
  {
    what: 'relational databases',
    member: 'relationalDatabaseName',
    type: 'RelationalDatabase',
    lists: {
      GetRelationalDatabases: 'relationalDatabases',
      GetRelationalDatabaseBlueprints: 'blueprints',
      GetRelationalDatabaseBundles: 'bundles',
      GetRelationalDatabaseSnapshots: 'relationalDatabaseSnapshots',
    },
    needing: `CreateRelationalDatabaseSnapshot DeleteRelationalDatabase GetRelationalDatabase GetRelationalDatabaseEvents
      GetRelationalDatabaseLogEvents GetRelationalDatabaseLogStreams GetRelationalDatabaseMasterUserPassword
      GetRelationalDatabaseMetricData GetRelationalDatabaseParameters RebootRelationalDatabase StartRelationalDatabase
      StopRelationalDatabase UpdateRelationalDatabase UpdateRelationalDatabaseParameters`,
    making: 'CreateRelationalDatabase CreateRelationalDatabaseFromSnapshot',
  },
  {
    what: 'snapshots of relational databases',
    member: 'relationalDatabaseSnapshotName',
    type: 'RelationalDatabaseSnapshot',
    needing: 'DeleteRelationalDatabaseSnapshot GetRelationalDatabaseSnapshot',
  },
  {
    what: 'container services',
    member: 'serviceName',
    type: 'ContainerService',
    lists: {
      GetContainerServices: 'containerServices',
      GetContainerServicePowers: 'powers',
      GetContainerAPIMetadata: 'metadata',
    },
    needing: `CreateContainerServiceDeployment DeleteContainerImage DeleteContainerService GetContainerImages GetContainerLog
      GetContainerServiceDeployments GetContainerServiceMetricData RegisterContainerImage UpdateContainerService`,
    making: 'CreateContainerService CreateContainerServiceRegistryLogin',
    refusal: 'InvalidInputException',
  },
  {
    what: 'load balancers',
    member: 'loadBalancerName',
    type: 'LoadBalancer',
    lists: { GetLoadBalancers: 'loadBalancers', GetLoadBalancerTlsPolicies: 'tlsPolicies' },
    needing: `AttachInstancesToLoadBalancer AttachLoadBalancerTlsCertificate CreateLoadBalancerTlsCertificate DeleteLoadBalancer
      DeleteLoadBalancerTlsCertificate DetachInstancesFromLoadBalancer GetLoadBalancer GetLoadBalancerMetricData
      GetLoadBalancerTlsCertificates UpdateLoadBalancerAttribute`,
    making: 'CreateLoadBalancer',
  },
  {
    what: 'distributions',
    member: 'distributionName',
    type: 'Distribution',
    lists: { GetDistributions: 'distributions', GetDistributionBundles: 'bundles' },
    answers: { GetDistributionLatestCacheReset: {} },
    needing: `AttachCertificateToDistribution DeleteDistribution DetachCertificateFromDistribution GetDistributionMetricData
      ResetDistributionCache UpdateDistribution UpdateDistributionBundle`,
    making: 'CreateDistribution',
  },
  {
    what: 'buckets',
    member: 'bucketName',
    type: 'Bucket',
    lists: { GetBuckets: 'buckets', GetBucketBundles: 'bundles' },
    needing: `CreateBucketAccessKey DeleteBucket DeleteBucketAccessKey GetBucketAccessKeys GetBucketMetricData
      SetResourceAccessForBucket UpdateBucket UpdateBucketBundle`,
    making: 'CreateBucket',
    refusal: 'InvalidInputException',
  },
  {
    what: 'domains',
    member: 'domainName',
    type: 'Domain',
    lists: { GetDomains: 'domains' },
    needing: 'CreateDomainEntry DeleteDomain DeleteDomainEntry GetDomain UpdateDomainEntry',
    making: 'CreateDomain',
  },
  {
    what: 'subdomains',
    member: 'subdomainName',
    type: 'Subdomain',
    lists: { GetSubdomains: 'subdomains' },
    needing: 'DeleteSubdomain UpdateSubdomainAssociation',
    making: 'CheckSubdomainAvailability CreateSubdomain',
  },
  {
    what: 'certificates',
    member: 'certificateName',
    type: 'Certificate',
    lists: { GetCertificates: 'certificates' },
    needing: 'DeleteCertificate',
    making: 'CreateCertificate',
    refusal: 'InvalidInputException',
  },
  {
    what: 'CloudFormation stacks',
    member: 'stackName',
    type: 'CloudFormationStackRecord',
    lists: { GetCloudFormationStackRecords: 'cloudFormationStackRecords' },
    making: 'CreateCloudFormationStack',
    tip: 'Launch an instance with RunInstances of EC2, from the image that GetExportSnapshotRecords names.',
  },
  {
    what: 'peering with a VPC',
    member: 'vpcName',
    type: 'PeeredVpc',
    answers: { IsVpcPeered: { isPeered: false } },
    making: 'PeerVpc UnpeerVpc',
  },
  {
    what: 'graphical sessions',
    member: 'sessionName',
    type: 'Session',
    making: 'CreateGUISessionAccessDetails StartGUISession StopGUISession',
    refusal: 'InvalidInputException',
  },
  {
    what: 'certificates for the web server of an instance',
    member: 'setupName',
    type: 'Setup',
    lists: { GetSetupHistory: 'setupHistory' },
    making: 'SetupInstanceHttps',
    refusal: 'InvalidInputException',
  },
  // Nothing is charged, and nobody is a partner.
  { what: 'costs', member: 'costName', type: 'Cost', answers: { GetCostEstimate: {}, GetProfile: {} } },
];

const TIP = 'Use disks, instances and snapshots.';

type Input = Readonly<Record<string, unknown>>;

function handlersOf(family: Family): readonly (readonly [string, Handler<Input, unknown>])[] {
  const { what, member, type, lists = {}, answers = {}, needing = '', making = '', tip = TIP, refusal } = family;
  const absent: Handler<Input, never> = async (_, input) => {
    const name = input[member];
    return refuseAbsent(type, typeof name === 'string' ? name : '');
  };
  const unavailable: Handler<Input, never> = async () => {
    const message = `This server has no ${what}.`;
    if (refusal !== undefined) refuseInvalid(message, tip);
    throw new AwsRefusal(unsupported(message, tip));
  };
  return [
    ...Object.entries(lists).map(
      ([operation, list]) =>
        [operation, async (context, input) => (member in input ? absent(context, input) : { [list]: [] })] as [
          string,
          Handler<Input, unknown>,
        ],
    ),
    ...Object.entries(answers).map(
      ([operation, answer]) => [operation, async () => answer] as [string, Handler<Input, unknown>],
    ),
    ...wordsOf(needing).map((operation) => [operation, absent] as const),
    ...wordsOf(making).map((operation) => [operation, unavailable] as const),
  ];
}

function wordsOf(text: string): readonly string[] {
  return text.split(/\s+/).filter((word) => word !== '');
}

/** Of every operation above. A test holds names and replies against the model, which types made from data cannot. */
export const absentHandlers = Object.fromEntries(FAMILIES.flatMap(handlersOf)) as Handlers<'lightsail'>;
