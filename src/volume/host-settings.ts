import type { S3Location } from '#chunk/s3-location.ts';

import { type Decode, count, nullable, record, text } from './host-decode.ts';

/** How a volume host is set up beside its data directory. A living host with other settings is replaced, not adopted. */
export interface HostSettings {
  /** Port of 127.0.0.1 where all exports are served by name as well; 0: any free one; null: unix sockets only. */
  readonly nbdPort: number | null;
  /** The bucket that holds the objects; without it they are in the data directory. */
  readonly s3?: S3Location | null;
}

const location: Decode<S3Location> = record<S3Location>({
  bucket: text,
  prefix: text,
  region: text,
  endpoint: nullable(text),
});
const settings: Decode<Required<HostSettings>> = record<Required<HostSettings>>({
  nbdPort: nullable(count),
  s3: (value, path) => nullable(location)(value ?? null, path),
});

/** One text for one value, to compare and to pass on a command line. */
export function encodeSettings(value: HostSettings): string {
  const { nbdPort, s3 = null } = value;
  if (s3 === null) return JSON.stringify({ nbdPort, s3 });
  const { bucket, prefix, region, endpoint } = s3;
  return JSON.stringify({ nbdPort, s3: { bucket, prefix, region, endpoint } });
}

/** Throws DecodeError or SyntaxError. */
export function decodeSettings(text: string): Required<HostSettings> {
  return settings(JSON.parse(text), 'settings');
}
