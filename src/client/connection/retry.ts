/** Which failures of a call are tried again, and after which pause. */
import type { ServiceName } from '#wire/aws/operations.ts';
import type { Random } from '#base/random.ts';
import type { RetryMode } from './settings.ts';
import type { ErrorFacts } from './service-error.ts';

const throttledAt400 = new Set([
  'Throttling',
  'ThrottlingException',
  'ThrottledException',
  'RequestThrottledException',
  'ProvisionedThroughputExceededException',
]);
const statusesAgain = new Set([429, 500, 502, 503, 504, 509]);

// The modes that came later know more codes, whatever their status.
const transientCodes = new Set(['RequestTimeout', 'RequestTimeoutException', 'PriorRequestNotComplete']);
const throttlingCodes = new Set([
  ...throttledAt400,
  'TooManyRequestsException',
  'RequestLimitExceeded',
  'BandwidthLimitExceeded',
  'LimitExceededException',
  'RequestThrottled',
  'SlowDown',
  'EC2ThrottledException',
  'TransactionInProgressException',
]);
const transientStatuses = new Set([500, 502, 503, 504]);

/** Whether an error of the service may pass by itself. */
export function isRetryable(service: ServiceName, mode: RetryMode, { status, code }: ErrorFacts): boolean {
  if (mode !== 'legacy') {
    return transientStatuses.has(status) || throttlingCodes.has(code) || transientCodes.has(code);
  }
  if (statusesAgain.has(status)) return true;
  if (status !== 400) return false;
  return throttledAt400.has(code) || (service === 'sts' && code === 'IDPCommunicationError');
}

/** Milliseconds before the attempt after the `attempt`-th, which begin at 1: a random part of 1, 2, 4, 8 … seconds. */
export function pauseMs(mode: RetryMode, attempt: number, random: Random): number {
  const fraction = random.bytes(4).readUInt32BE() / 2 ** 32;
  const pause = fraction * 1000 * 2 ** (attempt - 1);
  return mode === 'legacy' ? pause : Math.min(pause, 20_000);
}
