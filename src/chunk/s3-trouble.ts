import { describeError } from '#base/log.ts';

import { ObjectStoreError } from './object-store.ts';
import { errorBodyOf, headerOf, type S3Answer, type S3ErrorBody } from './s3-answer.ts';

/** What went wrong with one attempt, and what follows. */
export interface S3Trouble {
  /** One sentence for whoever runs the server. */
  readonly why: string;
  /**
   * 'again': it may pass by itself; 'slow-down': it passes if asked less; 'credentials': read them anew, then once more;
   * 'room': somebody has to make some; 'never': somebody has to change something.
   */
  readonly remedy: 'again' | 'slow-down' | 'credentials' | 'room' | 'never';
  /** The request may have been done, or may be done yet. */
  readonly inDoubt: boolean;
  readonly code: string | null;
  readonly cause?: unknown;
}

/** Ended by a time-out of ours. */
export class S3TimeoutError extends Error {
  override readonly name = 'S3TimeoutError';
}

const SLOW_DOWN = new Set(['SlowDown', 'Throttling', 'ThrottlingException', 'RequestLimitExceeded', 'TooManyRequests']);
/** Not 5xx, and passing: another put of the same key is on its way, or the body was spoilt or cut on the way. */
const PASSING = new Set([
  'OperationAborted',
  'ConditionalRequestConflict',
  'RequestTimeout',
  'IncompleteBody',
  'BadDigest',
  'XAmzContentSHA256Mismatch',
]);
const STALE_CREDENTIALS = new Set([
  'ExpiredToken',
  'ExpiredTokenException',
  'TokenRefreshRequired',
  'InvalidToken',
  'InvalidAccessKeyId',
]);

/** A quota is used up, or the store is full. */
const NO_ROOM = new Set([
  'QuotaExceeded',
  'XMinioStorageFull',
  'XMinioAdminBucketQuotaExceeded',
  'InsufficientStorage',
]);

/** Of an answer whose status the caller did not expect. */
export function troubleOfAnswer(answer: S3Answer, nowMs: number): S3Trouble {
  const { status } = answer;
  const body = errorBodyOf(answer);
  const code = body?.code ?? null;
  const why = sentence(answer, body, nowMs);
  const inDoubt = status >= 500;
  // Fewer bytes, or others, than were asked for.
  if (status < 300)
    return {
      why: `the answer is not what was asked for (HTTP status ${status})`,
      remedy: 'again',
      inDoubt: true,
      code,
    };
  if (status === 429 || (code !== null && SLOW_DOWN.has(code)) || (status === 503 && code === null)) {
    return { why, remedy: 'slow-down', inDoubt, code };
  }
  if (status === 507 || (code !== null && NO_ROOM.has(code))) {
    return { why: `the store has no room (${why})`, remedy: 'room', inDoubt: false, code };
  }
  // What is not implemented will not be.
  if (status === 501) return { why, remedy: 'never', inDoubt: false, code };
  if (status >= 500 || status === 408 || (code !== null && PASSING.has(code)))
    return { why, remedy: 'again', inDoubt, code };
  if (code !== null && STALE_CREDENTIALS.has(code)) return { why, remedy: 'credentials', inDoubt, code };
  return { why, remedy: 'never', inDoubt, code };
}

function sentence(answer: S3Answer, body: S3ErrorBody | null, nowMs: number): string {
  const region = body?.region ?? headerOf(answer, 'x-amz-bucket-region');
  const told =
    body === null ? `HTTP status ${answer.status}` : `${body.code}${body.message === '' ? '' : `: ${body.message}`}`;
  if (answer.status === 301 || answer.status === 307 || body?.code === 'AuthorizationHeaderMalformed') {
    if (region !== null) return `the bucket is in region ${region}: give --s3-region ${region} (${told})`;
    return `the bucket is in another region, or at another endpoint (${told})`;
  }
  if (body === null) return `the answer is not S3's: ${told}`;
  switch (body.code) {
    case 'NoSuchBucket':
      return `there is no such bucket; make it first (${told})`;
    case 'AccessDenied':
    case 'AllAccessDisabled':
      return `access denied: the credentials must be allowed s3:ListBucket on the bucket, and s3:GetObject, s3:PutObject and s3:DeleteObject below the prefix (${told})`;
    case 'InvalidAccessKeyId':
      return `the store does not know the access key (${told})`;
    case 'SignatureDoesNotMatch':
      return `the store refuses the signature: is the secret key the right one? (${told})`;
    case 'ExpiredToken':
    case 'ExpiredTokenException':
      return `the credentials have expired (${told})`;
    case 'RequestTimeTooSkewed':
      return `${skewSentence(answer, nowMs)} (${told})`;
    default:
      return told;
  }
}

function skewSentence(answer: S3Answer, nowMs: number): string {
  const storeMs = Date.parse(headerOf(answer, 'date') ?? '');
  if (Number.isNaN(storeMs)) return 'the clock of this machine differs too much from that of the store';
  const seconds = Math.round((nowMs - storeMs) / 1000);
  return `the clock of this machine is ${Math.abs(seconds)} seconds ${seconds > 0 ? 'ahead of' : 'behind'} that of the store: set it`;
}

const TLS_CODE =
  /^(?:ERR_TLS_|ERR_SSL_|CERT_|UNABLE_TO_|SELF_SIGNED_CERT|DEPTH_ZERO_|HOSTNAME_MISMATCH|EPROTO$|INVALID_CA)/;

/** Of a request that got no whole answer. */
export function troubleOfError(error: unknown): S3Trouble {
  const code = codeOf(error);
  if (code !== null && TLS_CODE.test(code)) {
    const advice =
      code === 'EPROTO' || code.startsWith('ERR_SSL_')
        ? 'does the endpoint speak https at all?'
        : 'NODE_EXTRA_CA_CERTS names a file of authorities to trust besides the usual ones';
    return {
      why: `no secure connection (${describeError(error).replace(/\s+/g, ' ').trim()}); ${advice}`,
      remedy: 'never',
      inDoubt: false,
      code,
    };
  }
  // Nothing was sent to a host that was not found, or that refused.
  const inDoubt =
    code === null || !['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH'].includes(code);
  if (error instanceof S3TimeoutError) return { why: error.message, remedy: 'again', inDoubt, code };
  return { why: 'no answer', remedy: 'again', inDoubt, code, cause: error };
}

/** `attempts`: made so far, when it was more than one. */
export function toStoreError(doing: string, trouble: S3Trouble, attempts: number): ObjectStoreError {
  // As a file system says it: whoever puts tells a full store from other trouble by this code.
  const cause = trouble.remedy === 'room' ? Object.assign(new Error('no room'), { code: 'EDQUOT' }) : trouble.cause;
  const tries = attempts > 1 ? `, ${attempts} attempts` : '';
  return new ObjectStoreError(`${doing}${tries}: ${trouble.why}`, {
    cause,
    retryable: trouble.remedy !== 'never',
  });
}

function codeOf(error: unknown): string | null {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if ('code' in cause && typeof cause.code === 'string') return cause.code;
    // Several addresses were tried.
    if (cause instanceof AggregateError && cause.errors.length > 0) return codeOf(cause.errors[0]);
  }
  return null;
}
