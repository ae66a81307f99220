import assert from 'node:assert/strict';
import { test } from 'node:test';
import { authErrorOf, type AuthFailure } from './auth-errors.ts';
import { encodeAuthFailure } from './protocol.ts';

const nowMs = Date.UTC(2026, 10, 20, 14, 16, 14);
const failures: readonly AuthFailure[] = [
  { kind: 'missing' },
  { kind: 'malformed', reason: 'because' },
  { kind: 'unknown-key' },
  { kind: 'bad-signature' },
  { kind: 'skewed', atMs: nowMs - 600_000, nowMs, skewMsMax: 300_000 },
];

test('each service refuses a signature in its own words', () => {
  const table = (['ec2', 'lightsail', 'ebs', 'sts'] as const).map((service) =>
    failures.map((failure) => {
      const { code, status } = authErrorOf(service, failure);
      return `${status} ${code}`;
    }),
  );
  assert.deepEqual(table, [
    [
      '403 MissingAuthenticationToken',
      '400 IncompleteSignature',
      '401 AuthFailure',
      '401 AuthFailure',
      '400 RequestExpired',
    ],
    [
      '400 UnauthenticatedException',
      '400 IncompleteSignatureException',
      '400 UnrecognizedClientException',
      '400 InvalidSignatureException',
      '400 InvalidSignatureException',
    ],
    [
      '403 MissingAuthenticationTokenException',
      '403 IncompleteSignatureException',
      '403 UnrecognizedClientException',
      '403 InvalidSignatureException',
      '403 InvalidSignatureException',
    ],
    [
      '403 MissingAuthenticationToken',
      '400 IncompleteSignature',
      '403 InvalidClientTokenId',
      '403 SignatureDoesNotMatch',
      '403 SignatureDoesNotMatch',
    ],
  ]);
});

test('a clock that is off is told by how much', () => {
  const { message } = authErrorOf('lightsail', { kind: 'skewed', atMs: nowMs - 600_000, nowMs, skewMsMax: 300_000 });
  assert.equal(
    message,
    'Signature expired: 20261120T140614Z is now earlier than 20261120T141114Z (20261120T141614Z - 5 min.)',
  );
});

test('an unsigned request to Lightsail gets a whole Lightsail exception', () => {
  const reply = encodeAuthFailure('lightsail', { kind: 'missing' }, 'r');
  const body = JSON.parse(new TextDecoder().decode(reply.body)) as Record<string, string>;
  assert.deepEqual(Object.keys(body), ['__type', 'message', 'code', 'docs', 'tip']);
  assert.equal(body['__type'], 'UnauthenticatedException');
});
