import { DATA_DEFAULT, PORT_DEFAULT, REGION_DEFAULT, type ConfigOptions } from '#src/config.ts';

import { Words } from './words.ts';

export const SERVE_USAGE = `Starts the server; Ctrl-C stops it.

usage: varve serve [options]

  --data DIR         where it keeps everything (default ./${DATA_DEFAULT})
  --port N           TCP port of the API (default ${PORT_DEFAULT}; 0: any free one)
  --host ADDRESS     address to listen on (default 127.0.0.1)
  --region NAME      region that is shown and put into "env" (default ${REGION_DEFAULT});
                     every region works: it is taken from each request's signature
  --store s3://BUCKET/PREFIX
                     keep snapshots in a bucket (default: in the data directory);
                     credentials as for the aws CLI, see docs/s3.md
  --s3-endpoint URL  of a store that is not Amazon's: http://host:port
  --s3-region NAME   of the bucket (default us-east-1)
  --encrypt-volumes  encrypt the data files of new volumes (AES-256-XTS, a key for each)
  --master-key-file FILE, --master-key-command COMMAND
                     where the key is that all others are derived from (default: master.key in
                     the data directory; or VARVE_MASTER_KEY): see docs/kms.md
  --hydration-rate N MiB a second with which a disk made from a snapshot is filled in
                     the background (default 32; 0: only what is read is fetched)
  --limits FILE      what accounts may have, and how often (JSON): see docs/limits.md
  --outposts FILE    sites with chunk stores of their own (JSON): see docs/outposts.md
  --machine-network isolated|internet|bridge:NAME
                     what instances reach (default isolated: nothing; they are reached by ssh)
  --machine-addresses NETWORK
                     where the open ports of instances are found, an address for each
                     (default 127.10.0.0/16: from this computer only): see docs/machines.md
  --machine-overcommit N
                     how often the memory of this computer may be promised to instances (default 1)
  --tls-cert FILE, --tls-key FILE
                     speak HTTPS with this certificate (PEM)
  --nbd-tcp [HOST:]PORT
                     also serve NBD over TCP (HOST: 127.0.0.1), with TLS and a
                     credential for each disk: see "connect --tcp"
  --leave-host       after a stop of the server serve the disks on: the next start finds them, and
                     no client is disconnected
  --replace-host     where disks are still served with other options (the server was killed): disconnect
                     their clients and serve them anew; without it the server refuses to start

Environment: VARVE_DATA, VARVE_HOST, VARVE_PORT, VARVE_REGION, VARVE_NBD_TCP, VARVE_TLS_CERT, VARVE_TLS_KEY,
VARVE_ENCRYPT_VOLUMES (1), VARVE_LEAVE_HOST (1), VARVE_STORE, VARVE_S3_ENDPOINT, VARVE_S3_REGION, VARVE_HYDRATION_RATE, VARVE_WARM_CACHE,
VARVE_LIMITS, VARVE_OUTPOSTS, VARVE_MASTER_KEY, VARVE_MASTER_KEY_FILE, VARVE_MASTER_KEY_COMMAND, VARVE_MACHINE_NETWORK,
VARVE_MACHINE_ADDRESSES. An option wins over its variable.
`;

const DATA = { data: { type: 'string' } } as const;
const SERVE = {
  ...DATA,
  port: { type: 'string' },
  host: { type: 'string' },
  region: { type: 'string' },
  'nbd-tcp': { type: 'string' },
  store: { type: 'string' },
  's3-endpoint': { type: 'string' },
  's3-region': { type: 'string' },
  'encrypt-volumes': { type: 'boolean' },
  'hydration-rate': { type: 'string' },
  limits: { type: 'string' },
  outposts: { type: 'string' },
  'master-key-file': { type: 'string' },
  'master-key-command': { type: 'string' },
  'machine-network': { type: 'string' },
  'machine-addresses': { type: 'string' },
  'machine-overcommit': { type: 'string' },
  'tls-cert': { type: 'string' },
  'tls-key': { type: 'string' },
  'leave-host': { type: 'boolean' },
  'replace-host': { type: 'boolean' },
} as const;

/** `varve serve`: until the server is stopped. Throws ConfigError for a wrong command line. */
export async function serveCommand(rest: readonly string[]): Promise<void> {
  const words = new Words('serve', rest, SERVE);
  words.take();
  const options: ConfigOptions = {
    data: words.text('data'),
    host: words.text('host'),
    port: words.text('port'),
    region: words.text('region'),
    nbdTcp: words.text('nbd-tcp'),
    store: words.text('store'),
    s3Endpoint: words.text('s3-endpoint'),
    s3Region: words.text('s3-region'),
    encryptVolumes: words.flag('encrypt-volumes') ? true : undefined,
    leaveHost: words.flag('leave-host') ? true : undefined,
    hydrationRate: words.text('hydration-rate'),
    limits: words.text('limits'),
    outposts: words.text('outposts'),
    masterKeyFile: words.text('master-key-file'),
    masterKeyCommand: words.text('master-key-command'),
    machineNetwork: words.text('machine-network'),
    machineAddresses: words.text('machine-addresses'),
    machineOvercommit: words.text('machine-overcommit'),
    tlsCert: words.text('tls-cert'),
    tlsKey: words.text('tls-key'),
  };
  const { serve } = await import('./serve.ts');
  await serve(options, { replaceHost: words.flag('replace-host') });
}
