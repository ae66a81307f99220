/** Decoders meet what no client sends: whatever comes, the answer is a value or a WireError, and soon. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { SeededRandom } from '#base/random.ts';
import type { HttpRequestParts } from './http.ts';
import { loadModel } from './model.ts';
import type { OperationName, ServiceName } from './operations.ts';
import { decodeRequest, encodeWireError, routeRequest } from './protocol.ts';
import { decodeChunkedBody, parseAuthorization, verifySignature } from './sigv4.ts';
import { WireError } from './wire-error.ts';

const seed = Number(process.env['VARVE_FUZZ_SEED'] ?? systemClock.nowMs() % 2 ** 31);
const roundsMs = Number(process.env['VARVE_FUZZ_MS'] ?? 1500);
const services: readonly ServiceName[] = ['lightsail', 'ec2', 'ebs', 'sts'];
/** One decode of a few kilobytes; a hundred times what it takes. */
const DECODE_MS_MAX = 2_000;

const words = [
  'Filter',
  'Value',
  'Name',
  'TagSpecification',
  'Tag',
  'Key',
  'VolumeId',
  'Action',
  'Version',
  'DryRun',
  'member',
  'entry',
  '__proto__',
  'constructor',
  'toString',
  '1',
  '2',
  '0',
  '01',
  '-1',
  '4294967296',
  '99999999999',
  '1e9',
  '',
  ' ',
  '%',
  '%2',
  '%zz',
  '%ff',
  '%00',
  '+',
  '.',
  '..',
  '...',
  '&',
  '=',
  'true',
  'null',
  '{',
  '}',
  '[',
  ']',
  '"',
  ':',
  ',',
  '\\u0000',
  '\uD800',
  '☃',
  'diskName',
  'tags',
  'attachedDiskMapping',
  'VolumeSize',
  'Timeout',
  'snap-1',
  'vol-1',
  'NaN',
  '1.5',
  'AAAA',
  'us-east-1',
  '\n',
  '\r\n',
];

function soup(random: SeededRandom, separators: readonly string[], countMax: number): string {
  let text = '';
  for (let count = random.below(countMax); count > 0; count -= 1) {
    text += words[random.below(words.length)] ?? '';
    text += separators[random.below(separators.length)] ?? '';
  }
  return text;
}

function jsonSoup(random: SeededRandom, depth: number): unknown {
  const kind = random.below(depth > 40 ? 5 : 9);
  const word = words[random.below(words.length)] ?? '';
  if (kind < 5) return [word, random.fraction() * 2 ** random.below(80), null, random.below(2) === 1, -0][kind];
  const children = Array.from({ length: random.below(4) }, () => jsonSoup(random, depth + 1));
  if (kind < 7) return children;
  return Object.fromEntries(children.map((child) => [words[random.below(words.length)] ?? '', child]));
}

function requestSoup(random: SeededRandom): HttpRequestParts {
  const encoder = new TextEncoder();
  const bodies: readonly (() => Uint8Array)[] = [
    () => random.bytes(random.below(300)),
    () => encoder.encode(soup(random, ['=', '&', '.', '.1.', ''], 200)),
    () => encoder.encode(JSON.stringify(jsonSoup(random, 0)).slice(0, 5000)),
    () => encoder.encode(soup(random, ['":', '{"', ',', '}', '['], 200)),
    () => new Uint8Array(0),
  ];
  const headers: [string, string][] = Array.from({ length: random.below(6) }, () => [
    ['x-amz-data-length', 'x-amz-checksum', 'authorization', 'x-amz-target', 'host', 'x-amz-date'][random.below(6)] ??
      '',
    soup(random, [' ', ';', ',', '='], 12),
  ]);
  return {
    method: ['GET', 'PUT', 'POST', 'PATCH'][random.below(4)] ?? '',
    path: `/${soup(random, ['/', ''], 8)}`,
    query: soup(random, ['=', '&', '.'], 20),
    headers,
    body: (bodies[random.below(bodies.length)] ?? (() => new Uint8Array(0)))(),
  };
}

function everyRound(body: (random: SeededRandom, round: number) => void): number {
  const endMs = systemClock.monotonicMs() + roundsMs;
  let round = 0;
  for (; systemClock.monotonicMs() < endMs; round += 1) {
    try {
      body(new SeededRandom(seed + round), round);
    } catch (error) {
      throw new Error(`round ${round}: repeat with VARVE_FUZZ_SEED=${seed + round}`, { cause: error });
    }
  }
  return round;
}

test(`decoders throw nothing but WireError (seed ${seed})`, (context) => {
  const operations = services.flatMap((service) =>
    [...loadModel(service).operations.keys()].map((operation) => ({ service, operation })),
  );
  let accepted = 0;
  const rounds = everyRound((random) => {
    const target = operations[random.below(operations.length)];
    assert(target !== undefined);
    const request = requestSoup(random);
    const startMs = systemClock.monotonicMs();
    routeRequest(request, random.below(3) === 0 ? null : target.service);
    try {
      decodeRequest(target.service, target.operation as OperationName<ServiceName>, request);
      accepted += 1;
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      assert(error.reason !== '' && error.reason.length < 20_000, 'a reason is short and never empty');
      assert(encodeWireError(target.service, error, 'r').body.length > 0);
    }
    assert(systemClock.monotonicMs() - startMs < DECODE_MS_MAX, 'a decode is quick');
  });
  context.diagnostic(`${rounds} rounds, ${accepted} accepted`);
});

test(`nothing that resembles a signature is one (seed ${seed})`, () => {
  everyRound((random) => {
    const request = requestSoup(random);
    const header =
      `AWS4-HMAC-SHA256 Credential=${soup(random, ['/', ''], 6)}/20261120/us-east-1/ec2/aws4_request, ` +
      `SignedHeaders=host, Signature=${random.bytes(32).toString('hex')}`;
    const head = {
      ...request,
      headers: [
        ['host', 'h'],
        ['x-amz-date', '20261120T000000Z'],
        ['authorization', header],
      ] as const,
    };
    for (const candidate of [request, head]) {
      const parsed = parseAuthorization(candidate);
      if (parsed.kind === 'failed') continue;
      const options = { secretAccessKey: 'secret', nowMs: parsed.authorization.timestampMs, body: request.body };
      assert.notEqual(verifySignature(candidate, parsed.authorization, options), null);
      assert.equal(decodeChunkedBody(parsed.authorization, 'secret', request.body).kind, 'failed');
    }
  });
});
