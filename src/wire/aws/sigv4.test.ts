import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { HeaderList, RequestHead } from './http.ts';
import { decodeChunkedBody, parseAuthorization, verifySignature, type Authorization } from './sigv4.ts';
import { formatAmzDate, parseAmzDate } from './amz-date.ts';
import { signRequest } from './sigv4-sign.ts';

const nowMs = Date.UTC(2026, 10, 20, 14, 16, 14);
const minuteMs = 60_000;
const credentials = {
  accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
  secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
};
const body = new TextEncoder().encode('Action=DescribeVolumes&Version=2016-11-15');
const head: RequestHead = {
  method: 'POST',
  path: '/',
  query: '',
  headers: [
    ['Host', '127.0.0.1:4577'],
    ['Content-Type', 'application/x-www-form-urlencoded'],
  ],
};

function signed(target: RequestHead = head, content: Uint8Array | null = body): RequestHead {
  return {
    ...target,
    headers: signRequest(target, content, { credentials, region: 'us-west-2', service: 'ec2', nowMs }),
  };
}

function parsed(target: RequestHead): Authorization {
  const result = parseAuthorization(target);
  assert(result.kind === 'parsed', JSON.stringify(result));
  return result.authorization;
}

function verify(
  target: RequestHead,
  options: { nowMs?: number; body?: Uint8Array | null; secret?: string } = {},
): unknown {
  const failure = verifySignature(target, parsed(target), {
    secretAccessKey: options.secret ?? credentials.secretAccessKey,
    nowMs: options.nowMs ?? nowMs,
    body: options.body === undefined ? body : options.body,
  });
  return failure?.kind ?? null;
}

function replaced(target: RequestHead, name: string, value: string): RequestHead {
  return { ...target, headers: target.headers.map(([given, old]) => (given === name ? [given, value] : [given, old])) };
}

function authorization(target: RequestHead, change: (value: string) => string): RequestHead {
  const headers: HeaderList = target.headers.map(([name, value]) => [
    name,
    name === 'Authorization' ? change(value) : value,
  ]);
  return { ...target, headers };
}

function malformed(target: RequestHead): unknown {
  const result = parseAuthorization(target);
  return result.kind === 'failed' ? result.failure.kind : 'parsed';
}

suite('signatures in the header', () => {
  test('the published vector get-vanilla verifies', () => {
    const vector: RequestHead = {
      method: 'GET',
      path: '/',
      query: '',
      headers: [
        ['Host', 'example.amazonaws.com'],
        ['X-Amz-Date', '20150830T123600Z'],
        [
          'Authorization',
          'AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, ' +
            'Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31',
        ],
      ],
    };
    const failure = verifySignature(vector, parsed(vector), {
      secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
      nowMs: Date.UTC(2015, 7, 30, 12, 36),
      body: new Uint8Array(0),
    });
    assert.equal(failure, null);
  });

  test('a path that is encoded already is encoded again, as botocore signed it', () => {
    const vector: RequestHead = {
      method: 'GET',
      path: '/tags/arn%3Aaws%3Adlm%3Aus-west-2%3A012345678901%3Apolicy%2Fp%20%C3%A9~x/',
      query: 'resourceTypes=VOLUME&resourceTypes=SNAPSHOT&b=%20%2B&A=~&a=',
      headers: [
        ['Host', '127.0.0.1:4577'],
        ['X-Custom', 'a   b'],
        ['X-Amz-Date', '20261120T141614Z'],
        [
          'Authorization',
          'AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261120/us-west-2/dlm/aws4_request, SignedHeaders=host;x-amz-date;x-custom, ' +
            'Signature=c25406f83bd3af7370d8a4bc871b224f0ad96ffe348ce7700d6204efa5db0e5f',
        ],
      ],
    };
    assert.equal(verify(vector, { body: new Uint8Array(0) }), null);
  });

  test('a signed request verifies and says who signed for what', () => {
    assert.equal(verify(signed()), null);
    const { accessKeyId, region, service, date, form, payload, expiresSec } = parsed(signed());
    assert.deepEqual(
      [accessKeyId, region, service, date, form, payload.kind, expiresSec],
      ['AKIAIOSFODNN7EXAMPLE', 'us-west-2', 'ec2', '20261120', 'header', 'body-hash', null],
    );
  });

  test('a change of method, path, query, signed header, body or secret breaks it', () => {
    const request = signed();
    assert.equal(verify({ ...request, method: 'PUT' }), 'bad-signature');
    assert.equal(verify({ ...request, path: '/other' }), 'bad-signature');
    assert.equal(verify({ ...request, query: 'a=1' }), 'bad-signature');
    assert.equal(verify(replaced(request, 'Content-Type', 'text/plain')), 'bad-signature');
    assert.equal(verify(replaced(request, 'Host', '127.0.0.1')), 'bad-signature');
    assert.equal(verify(request, { body: new TextEncoder().encode('Action=DeleteVolume') }), 'bad-signature');
    assert.equal(verify(request, { secret: 'another' }), 'bad-signature');
  });

  test('odd paths and queries are canonical however they are ordered and spaced', () => {
    const odd = signed({
      method: 'GET',
      path: '/tags/arn%3Aaws%3Adlm/./x//%C3%A9/../y z/',
      query: 'b=2&a=%20+&b=1&a&A=%7E',
      headers: [
        ['Host', 'h'],
        ['X-Two', ' a   b '],
        ['x-two', 'c'],
      ],
    });
    assert.equal(verify(odd), null);
    assert.equal(verify({ ...odd, query: 'a&A=~&b=1&b=2&a=%20%2B' }), null);
    assert.equal(verify({ ...odd, query: 'b=1&a=%20+&b=2&a&A=%7f' }), 'bad-signature');
  });

  test('a clock may be off by five minutes and no more', () => {
    for (const minutes of [-4, -5, 4, 5]) assert.equal(verify(signed(), { nowMs: nowMs + minutes * minuteMs }), null);
    for (const minutes of [-6, 6]) assert.equal(verify(signed(), { nowMs: nowMs + minutes * minuteMs }), 'skewed');
  });

  test('a signature is judged by the head alone when the body does not matter or its hash is promised', () => {
    assert.equal(verify(signed(head, null), { body: null }), null);
    assert.equal(
      verify(
        authorization(signed(head, null), (value) =>
          `${value.slice(0, -1)}x`.replace(/x$/, value.endsWith('0') ? '1' : '0'),
        ),
        { body: null },
      ),
      'bad-signature',
    );
    assert.equal(verify(signed(), { body: null }), null, 'without the body nothing can be said yet');
  });

  test('a promised hash must be the hash of the body', () => {
    const hash = 'b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9'; // of "hello world"
    const hello = new TextEncoder().encode('hello world');
    const request = signed({ ...head, headers: [...head.headers, ['x-amz-content-sha256', hash]] }, hello);
    assert.deepEqual(parsed(request).payload, { kind: 'hash', sha256Hex: hash });
    assert.equal(verify(request, { body: hello }), null);
    assert.equal(verify(request, { body: null }), null);
    assert.equal(verify(request, { body: new TextEncoder().encode('hello there') }), 'bad-payload-hash');
  });

  test('a session token is passed on', () => {
    const headers = signRequest(head, body, {
      credentials: { ...credentials, sessionToken: 'token/+=' },
      region: 'us-west-2',
      service: 'ec2',
      nowMs,
    });
    assert.equal(parsed({ ...head, headers }).sessionToken, 'token/+=');
    assert.equal(verify({ ...head, headers }), null);
  });

  test('what is no signature is told apart from what is a broken one', () => {
    const request = signed();
    assert.equal(malformed(head), 'missing');
    assert.equal(malformed(authorization(request, () => 'Basic dXNlcg==')), 'malformed');
    assert.equal(malformed(authorization(request, () => 'AWS4-HMAC-SHA256')), 'malformed');
    assert.equal(malformed(authorization(request, (value) => value.replace(/, Signature=.*/, ''))), 'malformed');
    assert.equal(
      malformed(authorization(request, (value) => value.replace('/aws4_request', '/aws3_request'))),
      'malformed',
    );
    assert.equal(
      malformed(authorization(request, (value) => value.replace('Credential=AKIAIOSFODNN7EXAMPLE', 'Credential='))),
      'malformed',
    );
    assert.equal(
      malformed(authorization(request, (value) => value.replace('/20261120/', '/20261121/'))),
      'wrong-scope',
    );
    assert.equal(malformed(authorization(request, (value) => value.replace('content-type;', ''))), 'parsed');
    assert.equal(malformed(replaced(request, 'X-Amz-Date', '20261131T000000Z')), 'malformed');
    assert.equal(
      malformed({ ...request, headers: request.headers.filter(([name]) => name !== 'X-Amz-Date') }),
      'malformed',
    );
  });

  test('the host and every header of AWS must be signed, and what is signed must be there', () => {
    const request = signed();
    assert.equal(malformed(authorization(request, (value) => value.replace('host;', ''))), 'malformed');
    const withTarget: RequestHead = {
      ...request,
      headers: [...request.headers, ['X-Amz-Target', 'Lightsail_20161128.DeleteDisk']],
    };
    assert.equal(malformed(withTarget), 'malformed');
    assert.equal(
      malformed({ ...request, headers: [...request.headers, ['X-Amz-Cf-Id', 'a proxy adds it']] }),
      'parsed',
    );
    assert.equal(
      malformed({ ...request, headers: request.headers.filter(([name]) => name !== 'Content-Type') }),
      'malformed',
    );
  });
});

suite('chunked bodies', () => {
  // The example of AWS's description of chunked uploads: 65 KiB of "a" in chunks of 64 KiB.
  const example: RequestHead = {
    method: 'PUT',
    path: '/examplebucket/chunkObject.txt',
    query: '',
    headers: [
      ['Host', 's3.amazonaws.com'],
      ['x-amz-date', '20130524T000000Z'],
      ['x-amz-storage-class', 'REDUCED_REDUNDANCY'],
      ['x-amz-content-sha256', 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD'],
      ['Content-Encoding', 'aws-chunked'],
      ['x-amz-decoded-content-length', '66560'],
      ['Content-Length', '66824'],
      [
        'Authorization',
        'AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,' +
          'SignedHeaders=content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class,' +
          'Signature=4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9',
      ],
    ],
  };
  const exampleBody = Buffer.concat([
    Buffer.from('10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n'),
    Buffer.alloc(65_536, 'a'),
    Buffer.from('\r\n400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n'),
    Buffer.alloc(1024, 'a'),
    Buffer.from('\r\n0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n'),
  ]);

  function decode(content: Uint8Array): unknown {
    const result = decodeChunkedBody(parsed(example), credentials.secretAccessKey, content);
    return result.kind === 'ok' ? result.body.length : result.failure.kind;
  }

  test('the documented example verifies, head and chunks', () => {
    assert.equal(exampleBody.length, 66_824);
    const failure = verifySignature(example, parsed(example), {
      secretAccessKey: credentials.secretAccessKey,
      nowMs: Date.UTC(2013, 4, 24),
      body: exampleBody,
    });
    assert.equal(failure, null);
    assert.equal(decode(exampleBody), 66_560);
  });

  test('a flipped byte, a missing, repeated or cut chunk and bytes after the last are refused', () => {
    const flipped = Buffer.from(exampleBody);
    flipped[1000] = 0x62;
    assert.equal(decode(flipped), 'bad-signature');
    const second = exampleBody.indexOf('\r\n400;') + 2;
    const third = exampleBody.indexOf('\r\n0;') + 2;
    assert.equal(
      decode(Buffer.concat([exampleBody.subarray(0, second), exampleBody.subarray(third)])),
      'bad-signature',
    );
    assert.equal(
      decode(Buffer.concat([exampleBody.subarray(0, third), exampleBody.subarray(second)])),
      'bad-signature',
    );
    assert.equal(decode(exampleBody.subarray(0, third)), 'malformed');
    assert.equal(decode(exampleBody.subarray(0, -2)), 'malformed');
    assert.equal(decode(Buffer.concat([exampleBody, Buffer.from('x')])), 'malformed');
    assert.equal(decode(Buffer.from('ffffffff;chunk-signature=')), 'malformed');
    assert.equal(decode(Buffer.alloc(0)), 'malformed');
  });
});

suite('presigned requests', () => {
  const query =
    'X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2F20261120%2Fus-west-2%2Fec2%2Faws4_request' +
    `&X-Amz-Date=20261120T141614Z&X-Amz-SignedHeaders=host&X-Amz-Signature=${'0'.repeat(64)}`;
  const presigned = (expires: string): RequestHead => ({ ...head, method: 'GET', query: `${query}${expires}` });

  test('they live a week at most, and fifteen minutes when they do not say', () => {
    assert.equal(parsed(presigned('')).expiresSec, 900);
    assert.equal(parsed(presigned('&X-Amz-Expires=604800')).expiresSec, 604_800);
    for (const bad of ['604801', '-1', '1.5', ''])
      assert.equal(malformed(presigned(`&X-Amz-Expires=${bad}`)), 'malformed');
  });

  test('one made for the future is refused, one of the past is refused after its life', () => {
    assert.equal(verify(presigned('&X-Amz-Expires=60'), { nowMs: nowMs - 6 * minuteMs }), 'skewed');
    assert.equal(verify(presigned('&X-Amz-Expires=60'), { nowMs: nowMs + minuteMs }), 'expired');
    assert.equal(verify(presigned('&X-Amz-Expires=60'), { nowMs: nowMs + minuteMs - 1 }), 'bad-signature');
  });
});

test('an instant of a signature is a real one', () => {
  assert.equal(formatAmzDate(nowMs), '20261120T141614Z');
  assert.equal(parseAmzDate('20261120T141614Z'), nowMs);
  for (const text of ['20260231T000000Z', '20261120T141614', '2026-11-20T14:16:14Z', '20261120T251614Z', '']) {
    assert.equal(parseAmzDate(text), null, text);
  }
});
