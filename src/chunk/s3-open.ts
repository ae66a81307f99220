import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { Random } from '#base/random.ts';

import { ObjectStoreError } from './object-store.ts';
import { S3Client } from './s3-client.ts';
import { CredentialChain } from './s3-credentials.ts';
import type { Environment } from './s3-found-credentials.ts';
import type { S3Location } from './s3-location.ts';
import { S3Owner } from './s3-owner.ts';
import { probeStore } from './s3-probe.ts';
import { DOUBT_MS, S3Store } from './s3-store.ts';

/** A store that is away when it is opened is waited for so long; then whoever opens it is told. */
const GIVE_UP_MS_AT_OPEN = 15_000;

export interface S3OpenOptions {
  readonly location: S3Location;
  /** Where credentials are looked for. */
  readonly environment: Environment;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** For whoever only reads, perhaps without the right to do more: no probe, and not to be put to. */
  readonly readOnly?: boolean;
  readonly stallMs?: number;
  readonly giveUpMs?: number;
}

/** Probes the bucket, takes the store over from whoever had it, and opens it. Throws ObjectStoreError with what to change. Disposing the store ends its connections. */
export async function openS3Store(options: S3OpenOptions): Promise<S3Store> {
  const { location, clock, random, log, environment } = options;
  const settleMs = settleMsOf(environment);
  const credentials = new CredentialChain({ environment, clock, log });
  const common = { location, credentials, clock, random, log };
  const timing = options.stallMs === undefined ? {} : { stallMs: options.stallMs };
  let conditionalPut = false;
  if (options.readOnly !== true) {
    using probing = new S3Client({
      ...common,
      ...timing,
      giveUpMs: Math.min(options.giveUpMs ?? GIVE_UP_MS_AT_OPEN, GIVE_UP_MS_AT_OPEN),
    });
    ({ conditionalPut } = await probeStore(probing, { random, log }));
    if (!conditionalPut) log.warn('s3.no-conditional-put', { instead: 'objects are looked for before they are put' });
  }
  const client = new S3Client({
    ...common,
    ...timing,
    ...(options.giveUpMs === undefined ? {} : { giveUpMs: options.giveUpMs }),
  });
  try {
    const owner = options.readOnly === true ? null : await S3Owner.take(client, { clock, random, log });
    return new S3Store({ client, owner, conditionalPut, settleMs });
  } catch (error) {
    client[Symbol.dispose]();
    throw error;
  }
}

/** Of a store that is known to do at once what it was asked for. */
function settleMsOf(environment: Environment): number {
  const text = environment['VARVE_S3_SETTLE_SECONDS'];
  if (text === undefined || text === '') return DOUBT_MS;
  const seconds = Number(text);
  if (Number.isFinite(seconds) && seconds >= 0) return seconds * 1000;
  throw new ObjectStoreError(`VARVE_S3_SETTLE_SECONDS: "${text}" is no number of seconds`, { retryable: false });
}
