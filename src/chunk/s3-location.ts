/** Where an installation keeps its objects: its own prefix in a bucket. Holds no secret; it is shown in logs and process lists. */
export interface S3Location {
  readonly bucket: string;
  /** '' or key parts that end in a slash. */
  readonly prefix: string;
  /** What requests are signed for. */
  readonly region: string;
  /** `http://host:port` or `https://host:port`; null: Amazon's own, of the region. */
  readonly endpoint: string | null;
}

/** S3's rules for names of buckets, also of the older ones: no upper case, no underscores, no address. */
const BUCKET = /^(?!\d+\.\d+\.\d+\.\d+$)(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
/** As object keys, so that nothing in a path ever needs an escape. */
const PREFIX = /^(?:[A-Za-z0-9_-][A-Za-z0-9._-]*\/)*$/;
/** An object key has at most 512 characters of S3's 1024; the rest is for the prefix. */
const PREFIX_LENGTH_MAX = 400;

/** The parts of `s3://bucket` or `s3://bucket/some/prefix` (a slash at its end changes nothing); null when it is neither. */
export function parseS3Url(text: string): { readonly bucket: string; readonly prefix: string } | null {
  const parts = /^s3:\/\/([^/]+)(?:\/(.*))?$/.exec(text);
  if (parts === null) return null;
  const bucket = parts[1] ?? '';
  const path = (parts[2] ?? '').replace(/\/$/, '');
  const prefix = path === '' ? '' : `${path}/`;
  if (!BUCKET.test(bucket) || !PREFIX.test(prefix) || prefix.length > PREFIX_LENGTH_MAX) return null;
  return { bucket, prefix };
}

/** `http(s)://host` or `http(s)://host:port`, without a path; null when it is not. */
export function parseS3Endpoint(text: string): string | null {
  if (!URL.canParse(text)) return null;
  const { protocol, host, pathname, search, hash, username, password } = new URL(text);
  if (protocol !== 'http:' && protocol !== 'https:') return null;
  return pathname === '/' && `${search}${hash}${username}${password}` === '' ? `${protocol}//${host}` : null;
}

export function isS3Region(text: string): boolean {
  return /^[a-z0-9-]{1,64}$/.test(text);
}

/** Where requests about the bucket go. */
export interface S3Address {
  readonly secure: boolean;
  readonly hostname: string;
  /** Null: the protocol's own. */
  readonly port: number | null;
  /** As in the Host header. */
  readonly host: string;
  /** Of the bucket: '' where its name is in the host. */
  readonly basePath: string;
}

/**
 * Path style when an endpoint is given: servers that one runs oneself seldom have a name for each bucket. At Amazon's, the
 * bucket's name is in the host, except where it holds dots, for which there is no certificate.
 */
export function addressOf({ bucket, region, endpoint }: S3Location): S3Address {
  if (endpoint !== null) {
    const { protocol, hostname, port, host } = new URL(endpoint);
    return {
      secure: protocol === 'https:',
      hostname: hostname.replace(/^\[|\]$/g, ''),
      port: port === '' ? null : Number(port),
      host,
      basePath: `/${bucket}`,
    };
  }
  const service = `s3.${region}.${region.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com'}`;
  const host = bucket.includes('.') ? service : `${bucket}.${service}`;
  return { secure: true, hostname: host, port: null, host, basePath: bucket.includes('.') ? `/${bucket}` : '' };
}

/** For people: `s3://bucket/prefix at http://…`. */
export function describeLocation({ bucket, prefix, region, endpoint }: S3Location): string {
  return `s3://${bucket}/${prefix} ${endpoint === null ? `in ${region}` : `at ${endpoint}`}`;
}
