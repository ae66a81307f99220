/** Refused signatures in the words of each service: the table of codes and statuses that real clients were seen to expect. */
import { formatAmzDate } from './amz-date.ts';
import type { ServiceName } from './operations.ts';

/** Why a request is not believed. The instants let the message say by how much a clock is off. */
export type AuthFailure =
  | { readonly kind: 'missing' }
  | { readonly kind: 'malformed'; readonly reason: string }
  | { readonly kind: 'unknown-key' }
  /** Temporary credentials whose time is over. */
  | { readonly kind: 'expired-token' }
  | { readonly kind: 'bad-signature' }
  | { readonly kind: 'expired'; readonly atMs: number; readonly nowMs: number }
  | { readonly kind: 'skewed'; readonly atMs: number; readonly nowMs: number; readonly skewMsMax: number }
  | { readonly kind: 'bad-payload-hash' }
  | { readonly kind: 'wrong-scope'; readonly reason: string };

export interface AuthError {
  readonly code: string;
  readonly status: number;
  readonly message: string;
}

interface Codes {
  readonly missing: readonly [code: string, status: number];
  readonly malformed: readonly [code: string, status: number];
  readonly unknownKey: readonly [code: string, status: number];
  readonly badSignature: readonly [code: string, status: number];
  readonly expired: readonly [code: string, status: number];
  readonly expiredToken: readonly [code: string, status: number];
}

const query: Codes = {
  missing: ['MissingAuthenticationToken', 403],
  malformed: ['IncompleteSignature', 400],
  unknownKey: ['InvalidClientTokenId', 403],
  badSignature: ['SignatureDoesNotMatch', 403],
  expired: ['SignatureDoesNotMatch', 403],
  expiredToken: ['ExpiredToken', 403],
};

const rest: Codes = {
  missing: ['MissingAuthenticationTokenException', 403],
  malformed: ['IncompleteSignatureException', 403],
  unknownKey: ['UnrecognizedClientException', 403],
  badSignature: ['InvalidSignatureException', 403],
  expired: ['InvalidSignatureException', 403],
  expiredToken: ['ExpiredTokenException', 403],
};

const codes: Readonly<Record<ServiceName, Codes>> = {
  ec2: {
    missing: ['MissingAuthenticationToken', 403],
    malformed: ['IncompleteSignature', 400],
    unknownKey: ['AuthFailure', 401],
    badSignature: ['AuthFailure', 401],
    expired: ['RequestExpired', 400],
    expiredToken: ['RequestExpired', 400],
  },
  lightsail: {
    missing: ['UnauthenticatedException', 400],
    malformed: ['IncompleteSignatureException', 400],
    unknownKey: ['UnrecognizedClientException', 400],
    badSignature: ['InvalidSignatureException', 400],
    expired: ['InvalidSignatureException', 400],
    expiredToken: ['ExpiredTokenException', 400],
  },
  kms: {
    missing: ['MissingAuthenticationTokenException', 400],
    malformed: ['IncompleteSignatureException', 400],
    unknownKey: ['UnrecognizedClientException', 400],
    badSignature: ['InvalidSignatureException', 400],
    expired: ['InvalidSignatureException', 400],
    expiredToken: ['ExpiredTokenException', 400],
  },
  ebs: rest,
  dlm: rest,
  rbin: rest,
  sts: query,
  iam: query,
};

const mismatch =
  'The request signature we calculated does not match the signature you provided. ' +
  'Check your AWS Secret Access Key and signing method. Consult the service documentation for details.';
const invalidToken = 'The security token included in the request is invalid.';
const ec2Refusal = 'AWS was not able to validate the provided access credentials';

/** Code, status and message for a refused signature. */
export function authErrorOf(service: ServiceName, failure: AuthFailure): AuthError {
  const of = codes[service];
  switch (failure.kind) {
    case 'missing':
      return named(of.missing, service === 'ec2' ? 'Request is missing Authentication Token' : missingMessage(service));
    case 'malformed':
      return named(of.malformed, failure.reason);
    case 'unknown-key':
      return named(of.unknownKey, service === 'ec2' ? ec2Refusal : invalidToken);
    case 'expired-token':
      return named(
        of.expiredToken,
        service === 'ec2' ? 'Request has expired.' : 'The security token included in the request is expired',
      );
    case 'bad-signature':
    case 'bad-payload-hash':
      return named(of.badSignature, service === 'ec2' ? ec2Refusal : mismatch);
    case 'wrong-scope':
      return named(of.badSignature, service === 'ec2' ? `${ec2Refusal}. ${failure.reason}` : failure.reason);
    case 'expired':
      return named(
        of.expired,
        service === 'ec2' ? 'Request has expired.' : expiredMessage(failure.atMs, failure.nowMs),
      );
    case 'skewed':
      return named(of.expired, service === 'ec2' ? 'Request has expired.' : skewMessage(failure));
  }
}

function missingMessage(service: ServiceName): string {
  return service === 'lightsail'
    ? 'The request is not signed. Sign it with the credentials of an account.'
    : 'Request is missing Authentication Token';
}

function expiredMessage(atMs: number, nowMs: number): string {
  return `Signature expired: ${formatAmzDate(atMs)} is now earlier than ${formatAmzDate(nowMs)}`;
}

function skewMessage(failure: Extract<AuthFailure, { kind: 'skewed' }>): string {
  const { atMs, nowMs, skewMsMax } = failure;
  const minutes = `${Math.round(skewMsMax / 60_000)} min.`;
  const [at, now] = [formatAmzDate(atMs), formatAmzDate(nowMs)];
  return atMs < nowMs
    ? `Signature expired: ${at} is now earlier than ${formatAmzDate(nowMs - skewMsMax)} (${now} - ${minutes})`
    : `Signature not yet current: ${at} is still later than ${formatAmzDate(nowMs + skewMsMax)} (${now} + ${minutes})`;
}

function named([code, status]: readonly [string, number], message: string): AuthError {
  return { code, status, message };
}
