/** What clients that are no SDK may send, and what every reader of our replies may rely on. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { SeededRandom } from '#base/random.ts';
import type { HttpReply, HttpRequestParts } from './http.ts';
import {
  decodeRequest,
  encodeError,
  encodeInternalError,
  encodeNotSupported,
  encodeReply,
  encodeUnknownOperation,
  encodeWireError,
} from './protocol.ts';
import { WireError } from './wire-error.ts';
import { escapeXml } from './xml.ts';

function form(text: string): HttpRequestParts {
  return { method: 'POST', path: '/', query: '', headers: [], body: new TextEncoder().encode(text) };
}

const json = form;

function refusal(decode: () => unknown): WireError {
  try {
    decode();
  } catch (error) {
    assert(error instanceof WireError, String(error));
    return error;
  }
  assert.fail('the request is refused');
}

function text(reply: HttpReply): string {
  return new TextDecoder().decode(reply.body);
}

suite('EC2 forms', () => {
  const describe = (parameters: string): unknown =>
    decodeRequest('ec2', 'DescribeVolumes', form(`Action=DescribeVolumes&Version=2016-11-15&${parameters}`));

  test('lists come in the order of their indices, gaps included', () => {
    assert.deepEqual(
      describe('VolumeId.10=c&VolumeId.2=b&VolumeId.1=a&Filter.1.Name=tag%3Ak&Filter.1.Value.3=y+z&Filter.1.Value.1=x'),
      {
        VolumeIds: ['a', 'b', 'c'],
        Filters: [{ Name: 'tag:k', Values: ['x', 'y z'] }],
      },
    );
  });

  test('an enormous index allocates nothing', () => {
    assert.deepEqual(describe('Filter.1000000000.Name=a'), { Filters: [{ Name: 'a' }] });
    assert.equal(refusal(() => describe('Filter.99999999999.Name=a')).kind, 'unknown-parameter');
  });

  test('parameters of the query string and of the form are one request', () => {
    const request = { ...form('MaxResults=5'), query: 'Action=DescribeVolumes&DryRun=true&X-Amz-Expires=60' };
    assert.deepEqual(decodeRequest('ec2', 'DescribeVolumes', request), { DryRun: true, MaxResults: 5 });
  });

  test('an unknown parameter is named, wherever it stands', () => {
    for (const [parameters, path] of [
      ['Volumes=1', 'Volumes'],
      ['volumeId.1=a', 'volumeId'],
      ['Filter.1.Names=a', 'Filter.1.Names'],
      ['Filter.x.Name=a', 'Filter.x'],
      ['Filter.01.Name=a', 'Filter.01'],
      ['VolumeId=a', 'VolumeId'],
      ['MaxResults.1=5', 'MaxResults.1'],
      ['__proto__=1', '__proto__'],
      ['constructor.prototype=1', 'constructor'],
    ] as const) {
      const error = refusal(() => describe(parameters));
      assert.deepEqual([error.kind, error.member], ['unknown-parameter', path], parameters);
      assert.equal(error.reason, `The parameter ${path} is not recognized`);
    }
  });

  test('a missing parameter is named as the form would name it', () => {
    const error = refusal(() => decodeRequest('ec2', 'CreateTags', form('ResourceId.1=vol-1')));
    assert.deepEqual(
      [error.kind, error.member, error.reason],
      ['missing', 'Tag', 'The request must contain the parameter Tag'],
    );
  });

  test('values of the wrong type are refused', () => {
    for (const value of ['five', '5.5', '', '99999999999', '0x10', '1e3']) {
      assert.equal(refusal(() => describe(`MaxResults=${value}`)).kind, 'wrong-type', value);
    }
    for (const value of ['True', '1', ''])
      assert.equal(refusal(() => describe(`DryRun=${value}`)).kind, 'wrong-type', value);
  });

  test('enumerations are left to the operation', () => {
    const input = decodeRequest('ec2', 'CreateVolume', form('VolumeType=gp17&AvailabilityZone=us-west-2a'));
    assert.deepEqual(input, { VolumeType: 'gp17', AvailabilityZone: 'us-west-2a' });
  });

  test('what is no form, too deep, too long or said twice is malformed', () => {
    assert.equal(refusal(() => describe('MaxResults=%')).kind, 'malformed');
    assert.equal(refusal(() => describe('MaxResults=%ff')).kind, 'malformed');
    assert.equal(refusal(() => describe('MaxResults=5&MaxResults=6')).kind, 'malformed');
    assert.equal(refusal(() => describe(`Filter${'.1'.repeat(40)}=a`)).kind, 'malformed');
    assert.equal(refusal(() => describe('a=1&'.repeat(10_001))).kind, 'malformed');
    const bytes = { ...form(''), body: new Uint8Array([0x61, 0xff, 0x3d]) };
    assert.equal(refusal(() => decodeRequest('ec2', 'DescribeVolumes', bytes)).kind, 'malformed');
  });
});

suite('EC2 replies', () => {
  test('lists are items, names are those of the replies, and an empty list is an empty element', () => {
    const reply = encodeReply(
      'ec2',
      'CreateSnapshot',
      { SnapshotId: 'snap-1', State: 'pending', Progress: '', Tags: [], StartTime: new Date(0) },
      'id-1',
    );
    assert.equal(
      text(reply),
      '<?xml version="1.0" encoding="UTF-8"?>\n<CreateSnapshotResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">' +
        '<requestId>id-1</requestId><tagSet/><snapshotId>snap-1</snapshotId><status>pending</status>' +
        '<startTime>1970-01-01T00:00:00.000Z</startTime><progress/></CreateSnapshotResponse>',
    );
  });

  test('an operation without a result returns true', () => {
    assert.match(
      text(encodeReply('ec2', 'DeleteVolume', {}, 'id-1')),
      /<return>true<\/return><\/DeleteVolumeResponse>$/,
    );
  });

  test('no text can break the document', () => {
    assert.equal(
      escapeXml('a<b>&"\'\r\n\t\u0000\u001F\uFFFE\uD800x🜁'),
      'a&lt;b&gt;&amp;&quot;&apos;&#xD;\n\t\uFFFD\uFFFD\uFFFD\uFFFDx🜁',
    );
  });

  test('an error has the shape that EC2 gives it', () => {
    const reply = encodeError('ec2', { code: 'DryRunOperation', message: 'a < b' }, 'id-2');
    assert.equal(reply.status, 412);
    assert.equal(
      text(reply),
      '<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error><Code>DryRunOperation</Code><Message>a &lt; b</Message>' +
        '</Error></Errors><RequestID>id-2</RequestID></Response>',
    );
  });
});

suite('JSON of Lightsail', () => {
  const create = (value: unknown): unknown => decodeRequest('lightsail', 'CreateDisk', json(JSON.stringify(value)));
  const whole = { diskName: 'disk-1', availabilityZone: 'us-east-2a', sizeInGb: 8 };

  test('unknown members are ignored and null is absence', () => {
    assert.deepEqual(create({ ...whole, more: { deep: [] }, tags: null }), whole);
    assert.deepEqual(decodeRequest('lightsail', 'GetRegions', json('')), {});
  });

  test('__proto__ in a body is a member like any unknown one', () => {
    const input = decodeRequest(
      'lightsail',
      'CreateDisk',
      json('{"__proto__":{"diskName":"x"},"diskName":"disk-1","availabilityZone":"a","sizeInGb":8}'),
    );
    assert.deepEqual(Object.keys(input), ['diskName', 'availabilityZone', 'sizeInGb']);
    assert.equal(
      refusal(() => decodeRequest('lightsail', 'CreateDisk', json('{"__proto__":{"diskName":"x"}}'))).kind,
      'missing',
    );
  });

  test('a map keeps keys that are names of Object.prototype', () => {
    const body =
      '{"instanceSnapshotName":"s-1","instanceNames":["a-1"],"availabilityZone":"a","bundleId":"b","attachedDiskMapping":{"__proto__":[],"constructor":[{}]}}';
    const input = decodeRequest('lightsail', 'CreateInstancesFromSnapshot', json(body));
    assert.deepEqual(Object.keys(input.attachedDiskMapping ?? {}), ['__proto__', 'constructor']);
  });

  test('all violations are told at once, in the wording of AWS', () => {
    const error = refusal(() => create({ diskName: '-bad-', sizeInGb: 8 }));
    assert.equal(error.kind, 'invalid');
    assert.equal(error.member, 'diskName');
    assert.equal(
      error.reason,
      "2 validation errors detected: Value '-bad-' at 'diskName' failed to satisfy constraint: " +
        'Member must satisfy regular expression pattern: \\w[\\w\\-]*\\w; ' +
        "Value null at 'availabilityZone' failed to satisfy constraint: Member must not be null",
    );
  });

  test('an enumeration is checked', () => {
    const error = refusal(() =>
      decodeRequest('lightsail', 'EnableAddOn', json('{"resourceName":"r-1","addOnRequest":{"addOnType":"Nope"}}')),
    );
    assert.match(error.reason, /'addOnRequest\.addOnType' .*enum value set: \[AutoSnapshot, StopInstanceOnIdle\]/);
  });

  test('wrong types are serialization errors', () => {
    for (const wrong of [
      { diskName: 5 },
      { sizeInGb: '8' },
      { sizeInGb: 8.5 },
      { sizeInGb: 2 ** 40 },
      { tags: {} },
      { tags: [5] },
      { tags: [null] },
      { diskName: ['x'] },
    ]) {
      const error = refusal(() => create({ ...whole, ...wrong }));
      assert.equal(error.kind, 'wrong-type', JSON.stringify(wrong));
      assert.match(text(encodeWireError('lightsail', error, 'r')), /"__type":"SerializationException"/);
    }
  });

  test('what is no JSON object is malformed', () => {
    for (const body of [
      '{',
      '[]',
      '5',
      'null',
      '"x"',
      '['.repeat(500_000),
      `{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}`,
    ]) {
      assert.equal(refusal(() => decodeRequest('lightsail', 'CreateDisk', json(body))).kind, 'malformed');
    }
  });

  test('a long value costs no time to refuse, and is told short', () => {
    const error = refusal(() => create({ ...whole, availabilityZone: `${'a'.repeat(1_000_000)}\n` }));
    assert.equal(error.kind, 'invalid');
    assert(error.reason.length < 1000);
  });

  test('a refusal carries what Lightsail exceptions carry', () => {
    const reply = encodeWireError('lightsail', new WireError('invalid', 'diskName', 'no'), 'r-1');
    const { __type, message, code, docs, tip } = JSON.parse(text(reply)) as Record<string, string>;
    assert.deepEqual(
      [reply.status, __type, message, code],
      [400, 'InvalidInputException', 'no', 'InvalidInputException'],
    );
    assert(docs !== undefined && tip !== undefined);
  });

  test('timestamps are seconds with a fraction, absent members are absent', () => {
    const reply = encodeReply(
      'lightsail',
      'GetDisk',
      { disk: { name: 'd', createdAt: new Date(1_569_625_129_739), tags: [], iops: undefined } },
      'r',
    );
    assert.equal(text(reply), '{"disk":{"name":"d","createdAt":1569625129.739,"tags":[]}}');
  });

  test('a handler that gives another type than the model has is caught', () => {
    assert.throws(() => encodeReply('lightsail', 'GetDisk', { disk: { sizeInGb: 8.5 } }, 'r'), TypeError);
  });
});

suite('REST of EBS', () => {
  const put = (headers: HttpRequestParts['headers'], path = '/snapshots/snap-12/blocks/7'): unknown =>
    decodeRequest('ebs', 'PutSnapshotBlock', { method: 'PUT', path, query: '', headers, body: new Uint8Array([1, 2]) });
  const good = [
    ['X-AMZ-DATA-LENGTH', '524288'],
    ['x-amz-checksum', 'abc='],
    ['x-amz-checksum-algorithm', 'SHA256'],
  ] as const;

  test('members come from the path, headers in any case and the body', () => {
    assert.deepEqual(put(good), {
      SnapshotId: 'snap-12',
      BlockIndex: 7,
      BlockData: new Uint8Array([1, 2]),
      DataLength: 524_288,
      Checksum: 'abc=',
      ChecksumAlgorithm: 'SHA256',
    });
  });

  test('each violation has its Reason', () => {
    const reason = (decode: () => unknown): unknown =>
      JSON.parse(text(encodeWireError('ebs', refusal(decode), 'r'))) as unknown;
    const list =
      (query: string, id = 'snap-1'): (() => unknown) =>
      () =>
        decodeRequest('ebs', 'ListSnapshotBlocks', {
          method: 'GET',
          path: `/snapshots/${id}/blocks`,
          query,
          headers: [],
          body: new Uint8Array(0),
        });
    for (const [decode, expected] of [
      [list('', 'snap-XYZ'), 'INVALID_SNAPSHOT_ID'],
      [list('maxResults=99'), 'INVALID_PARAMETER_VALUE'],
      [list('pageToken=%21'), 'INVALID_PAGE_TOKEN'],
      [() => put(good.slice(1)), 'INVALID_PARAMETER_VALUE'],
      [() => decodeRequest('ebs', 'StartSnapshot', json('{"VolumeSize":0}')), 'INVALID_VOLUME_SIZE'],
      [() => put([...good], '/snapshots/snap-12/blocks/-1'), 'INVALID_BLOCK'],
    ] as const) {
      assert.equal((reason(decode) as { Reason: string }).Reason, expected);
    }
  });

  test('an error names its type in a header and its message with a capital', () => {
    const reply = encodeError(
      'ebs',
      { code: 'ValidationException', message: 'm', members: { Reason: 'INVALID_BLOCK', Other: undefined } },
      'r-1',
    );
    assert.equal(reply.status, 400);
    assert.deepEqual(new Map(reply.headers).get('x-amzn-errortype'), 'ValidationException');
    assert.equal(text(reply), '{"Message":"m","Reason":"INVALID_BLOCK"}');
  });
});

test('STS takes lists with member, ignores unknown parameters and answers a Result', () => {
  const input = decodeRequest(
    'sts',
    'AssumeRole',
    form('RoleArn=a&RoleSessionName=b&Tags.member.1.Key=k&Tags.member.1.Value=&Nonsense=1&PolicyArns='),
  );
  assert.deepEqual(input, { RoleArn: 'a', RoleSessionName: 'b', Tags: [{ Key: 'k', Value: '' }], PolicyArns: [] });
  assert.equal(
    text(encodeReply('sts', 'GetCallerIdentity', { UserId: 'u', Account: '012345678901', Arn: 'arn' }, 'id')),
    '<?xml version="1.0" encoding="UTF-8"?>\n<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">' +
      '<GetCallerIdentityResult><UserId>u</UserId><Account>012345678901</Account><Arn>arn</Arn></GetCallerIdentityResult>' +
      '<ResponseMetadata><RequestId>id</RequestId></ResponseMetadata></GetCallerIdentityResponse>',
  );
});

test('each service has its own words for what does not exist, is not supported or broke', () => {
  const shown = (reply: HttpReply): readonly unknown[] => {
    const content = text(reply);
    const code =
      /<Code>(\w+)/.exec(content)?.[1] ??
      /"__type":"(\w+)/.exec(content)?.[1] ??
      new Map(reply.headers).get('x-amzn-errortype');
    return [reply.status, code];
  };
  const table = (['ec2', 'lightsail', 'ebs', 'sts'] as const).map((service) => [
    shown(encodeUnknownOperation(service, 'Nope', 'r')),
    shown(encodeNotSupported(service, 'Nope', 'r')),
    shown(encodeInternalError(service, 'r')),
  ]);
  assert.deepEqual(table, [
    [
      [400, 'InvalidAction'],
      [400, 'UnsupportedOperation'],
      [500, 'InternalError'],
    ],
    [
      [404, 'UnknownOperationException'],
      [400, 'OperationFailureException'],
      [500, 'ServiceException'],
    ],
    [
      [404, 'UnknownOperationException'],
      [400, 'ValidationException'],
      [500, 'InternalServerException'],
    ],
    [
      [400, 'InvalidAction'],
      [400, 'InvalidAction'],
      [500, 'InternalFailure'],
    ],
  ]);
});

test('ten thousand parameters are read in the time of a request', () => {
  const random = new SeededRandom(7);
  const many = Array.from({ length: 9_000 }, (_, index) => `VolumeId.${index + 1}=vol-${random.below(1000)}`).join('&');
  const { VolumeIds } = decodeRequest('ec2', 'DescribeVolumes', form(many));
  assert.equal(VolumeIds?.length, 9_000);
});
