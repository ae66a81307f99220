/** The SDK's clients as an oracle: what they send we must understand, what we answer they must, for every operation of the models. */
import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { after, before, suite, test } from 'node:test';
import type { AddressInfo } from 'node:net';
import { SeededRandom } from '#base/random.ts';
import { systemClock } from '#base/clock.ts';
import { headersFromRaw, splitTarget, type HttpReply, type HttpRequestParts } from './http.ts';
import { loadModel } from './model.ts';
import type { OperationName, ServiceName } from './operations.ts';
import { decodeRequest, encodeError, encodeReply, routeRequest } from './protocol.ts';
import { comparable, SampleValues } from './sample-values.fake.ts';
import { parseAuthorization, verifySignature } from './sigv4.ts';

const credentials = {
  accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
  secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
};
const SEED = 20_261_120;

interface SdkClient {
  send(command: unknown): Promise<Record<string, unknown>>;
  destroy(): void;
}
type SdkPackage = Readonly<Record<string, new (input: unknown) => unknown>>;

/** Operations that clients send without a signature. */
const unsigned = new Set(['AssumeRoleWithSAML', 'AssumeRoleWithWebIdentity']);
/** Members that clients add by themselves. */
const added = new Set(['PresignedUrl', 'DestinationRegion']);

let server: Server;
let endpoint: string;
/** What the server saw last, and what it is to answer. */
let seen: HttpRequestParts | null = null;
let answer: HttpReply;

before(async () => {
  server = createServer((incoming, response) => void serve(incoming, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

after(() => {
  server.closeAllConnections();
  server.close();
});

async function serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  seen = {
    method: incoming.method ?? '',
    ...splitTarget(incoming.url ?? ''),
    headers: headersFromRaw(incoming.rawHeaders),
    body: new Uint8Array(Buffer.concat(chunks)),
  };
  response.writeHead(answer.status, [...answer.headers].flat()).end(answer.body);
}

async function connect(service: ServiceName, packageName: string): Promise<{ sdk: SdkPackage; client: SdkClient }> {
  const sdk = (await import(packageName)) as SdkPackage;
  const Client = sdk[`${service === 'lightsail' ? 'Lightsail' : service.toUpperCase()}Client`];
  assert(Client !== undefined);
  const client = new Client({ region: 'us-west-2', endpoint, credentials, maxAttempts: 1 }) as SdkClient;
  return { sdk, client };
}

function sawLast(): HttpRequestParts {
  assert(seen !== null, 'the client sent a request');
  return seen;
}

function checkSignature(request: HttpRequestParts, service: string, operation: string): void {
  const parsed = parseAuthorization(request);
  if (unsigned.has(operation)) {
    assert.deepEqual(parsed, { kind: 'failed', failure: { kind: 'missing' } });
    return;
  }
  assert(parsed.kind === 'parsed', `${operation}: ${JSON.stringify(parsed)}`);
  const { authorization } = parsed;
  assert.deepEqual([authorization.service, authorization.region], [service, 'us-west-2']);
  const options = { secretAccessKey: credentials.secretAccessKey, nowMs: systemClock.nowMs(), body: request.body };
  assert.equal(verifySignature(request, authorization, options), null, operation);
}

function ownMembers(input: Record<string, unknown>): unknown {
  return comparable(Object.fromEntries(Object.entries(input).filter(([member]) => !added.has(member))));
}

async function bodyOf(output: Record<string, unknown>): Promise<Record<string, unknown>> {
  const { $metadata: _, ...members } = output;
  const stream = members['BlockData'] as { transformToByteArray?: () => Promise<Uint8Array> } | undefined;
  if (stream?.transformToByteArray === undefined) return members;
  return { ...members, BlockData: await stream.transformToByteArray() };
}

const packages = [
  ['lightsail', '@aws-sdk/client-lightsail'],
  ['ec2', '@aws-sdk/client-ec2'],
  ['ebs', '@aws-sdk/client-ebs'],
  ['sts', '@aws-sdk/client-sts'],
  ['kms', '@aws-sdk/client-kms'],
  ['iam', '@aws-sdk/client-iam'],
  ['dlm', '@aws-sdk/client-dlm'],
] as const;

for (const [service, packageName] of packages) {
  suite(`${service}, against the SDK`, () => {
    for (const density of [0, 0.5, 1]) {
      test(`every operation is understood both ways, with ${density * 100} % of the members`, async () => {
        const model = loadModel(service);
        const { sdk, client } = await connect(service, packageName);
        const values = new SampleValues(model, { random: new SeededRandom(SEED), density });
        for (const [operation, { input: inputName, output: outputName }] of model.operations) {
          const name = operation as OperationName<ServiceName>;
          const input = inputName === undefined ? {} : values.structure(inputName);
          const output = outputName === undefined ? {} : values.structure(outputName);
          answer = encodeReply(service, name, output as never, 'request-1');
          const Command = sdk[`${operation}Command`];
          assert(Command !== undefined, operation);

          const received = await client.send(new Command(input));

          const request = sawLast();
          assert.deepEqual(
            routeRequest(request, unsigned.has(operation) ? null : service),
            { kind: 'modelled', service, operation },
            operation,
          );
          checkSignature(request, service, operation);
          const decoded = decodeRequest(service, name, request) as Record<string, unknown>;
          assert.deepEqual(ownMembers(decoded), ownMembers(input), `${operation}, request`);
          assert.deepEqual(comparable(await bodyOf(received)), comparable(output), `${operation}, reply`);
        }
        client.destroy();
      });
    }

    // EC2's model has none.
    if (loadModel(service).errors.size === 0) return;
    test('every modelled error arrives as its class, with status, message and members', async () => {
      const model = loadModel(service);
      const { sdk, client } = await connect(service, packageName);
      const [operation = '', { input = '' } = {}] = [...model.operations][0] ?? [];
      const Command = sdk[`${operation}Command`];
      assert(Command !== undefined);
      const command = new Command(
        new SampleValues(model, { random: new SeededRandom(SEED), density: 0 }).structure(input),
      );
      for (const [code, { name, status, members }] of model.errors) {
        const extra = Object.fromEntries(
          members.filter((member) => member.toLowerCase() !== 'message').map((member) => [member, `the ${member}`]),
        );
        answer = encodeError(service, { code, message: 'because', members: extra }, 'request-2');
        const error = await client.send(command).then(
          () => null,
          (thrown: unknown) => thrown,
        );
        const Class = sdk[name];
        assert(Class !== undefined && error instanceof Class, `${name} is an instance of its class`);
        const fields = error as Record<string, unknown> & { $metadata: Record<string, unknown> };
        assert.equal(fields['message'], 'because', name);
        assert.equal(fields.$metadata['requestId'], 'request-2', name);
        assert.equal(fields.$metadata['httpStatusCode'], status ?? 400, name);
        if (service === 'lightsail' || service === 'ebs') {
          for (const member of Object.keys(extra)) assert.equal(fields[member], `the ${member}`, `${name}.${member}`);
        }
      }
      client.destroy();
    });
  });
}

test('an error of EC2 arrives with code, message, status and request id', async () => {
  const { sdk, client } = await connect('ec2', '@aws-sdk/client-ec2');
  const Command = sdk['DescribeVolumesCommand'];
  assert(Command !== undefined);
  answer = encodeError(
    'ec2',
    { code: 'InvalidVolume.NotFound', message: "The volume 'vol-<1>' does not exist." },
    'r-3',
  );
  await assert.rejects(client.send(new Command({})), (error: Record<string, unknown>) => {
    const metadata = error['$metadata'] as Record<string, unknown>;
    assert.equal(error['name'], 'InvalidVolume.NotFound');
    assert.equal(error['message'], "The volume 'vol-<1>' does not exist.");
    assert.deepEqual([metadata['httpStatusCode'], metadata['requestId']], [400, 'r-3']);
    return true;
  });
  client.destroy();
});

test('the presigned request inside CopySnapshot verifies until it expires', async () => {
  const { sdk, client } = await connect('ec2', '@aws-sdk/client-ec2');
  const Command = sdk['CopySnapshotCommand'];
  assert(Command !== undefined);
  answer = encodeReply('ec2', 'CopySnapshot', { SnapshotId: 'snap-1234abcd' }, 'r-4');
  await client.send(new Command({ SourceRegion: 'eu-west-1', SourceSnapshotId: 'snap-1234abcd' }));
  client.destroy();
  const { PresignedUrl } = decodeRequest('ec2', 'CopySnapshot', sawLast());
  assert(PresignedUrl !== undefined);
  const url = new URL(PresignedUrl);
  const head = {
    method: 'GET',
    ...splitTarget(PresignedUrl.slice(PresignedUrl.indexOf('/', 'https://'.length))),
    // The client signs the host without its port.
    headers: [['Host', url.hostname]] as const,
  };
  const parsed = parseAuthorization(head);
  assert(parsed.kind === 'parsed', JSON.stringify(parsed));
  const { authorization } = parsed;
  assert.deepEqual(
    [authorization.form, authorization.region, authorization.service],
    ['presigned', 'eu-west-1', 'ec2'],
  );
  const verify = (nowMs: number, target = head): unknown =>
    verifySignature(target, authorization, {
      secretAccessKey: credentials.secretAccessKey,
      nowMs,
      body: new Uint8Array(0),
    });
  const lifetimeMs = (authorization.expiresSec ?? 0) * 1000;
  assert.equal(verify(authorization.timestampMs), null);
  assert.equal(verify(authorization.timestampMs + lifetimeMs - 1), null);
  assert.deepEqual(verify(authorization.timestampMs + lifetimeMs), {
    kind: 'expired',
    atMs: authorization.timestampMs + lifetimeMs,
    nowMs: authorization.timestampMs + lifetimeMs,
  });
  assert.deepEqual(verify(authorization.timestampMs, { ...head, query: `${head.query}&SourceRegion=us-east-1` }), {
    kind: 'bad-signature',
  });
});
