/** Every operation of the model, written by this client and read by the server's codec, and the reply back again. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '#base/random.ts';
import type { Document } from '#client/command.ts';
import { WholeFloat } from '#client/whole-float.ts';
import { loadModel, scalarTypes, shapeOf, structureOf, type Member, type Model } from '#wire/aws/model.ts';
import type { OperationName, OutputOf, ServiceName } from '#wire/aws/operations.ts';
import { decodeRequest, encodeReply } from '#wire/aws/protocol.ts';
import { comparable, SampleValues } from '#wire/aws/sample-values.fake.ts';
import { decodeReply, streamMember } from './decode-reply.ts';
import { encodeRequest } from './encode-request.ts';
import { asTyped } from './typed-input.fixture.ts';

const services: readonly ServiceName[] = ['lightsail', 'ec2', 'ebs', 'sts', 'kms', 'iam', 'dlm', 'rbin'];

for (const service of services) {
  test(`${service}: the server reads what the client writes, of every operation`, () => {
    const model = loadModel(service);
    let index = 0;
    for (const [name, operation] of model.operations) {
      index += 1;
      if (operation.input === undefined) continue;
      const sample = new SampleValues(model, { random: new SeededRandom(index), density: 0.6 });
      const input = wholeSeconds(sample.structure(operation.input)) as Record<string, unknown>;
      const { path, query, headers, method, body } = encodeRequest(model, name, operation, asTyped(input));
      const decoded = decodeRequest(service, name as OperationName<typeof service>, {
        path,
        query,
        headers,
        method,
        body,
      });
      assert.deepEqual(comparable(decoded), comparable(input), `${name} with seed ${index}`);
    }
  });

  test(`${service}: the client reads what the server answers, of every operation`, () => {
    const model = loadModel(service);
    let index = 0;
    for (const [name, operation] of model.operations) {
      index += 1;
      if (operation.output === undefined) continue;
      const sample = new SampleValues(model, { random: new SeededRandom(index), density: 0.6 });
      const output = sample.structure(operation.output);
      const reply = encodeReply(
        service,
        name as OperationName<typeof service>,
        output as OutputOf<typeof service, OperationName<typeof service>>,
        'request-1',
      );
      const document = decodeReply(model, { name, model: operation }, reply, { timestamps: 'wire' });
      const stream = streamMember(model, operation);
      const expected = Object.entries(output).filter(([member]) => member !== stream);
      // As text, since the order of members counts.
      assert.equal(
        JSON.stringify(plain(document)),
        JSON.stringify(structureOnWire(model, operation.output, Object.fromEntries(expected))),
        `${name} with seed ${index}`,
      );
    }
  });
}

/** Requests carry whole seconds. */
function wholeSeconds(value: unknown): unknown {
  if (value instanceof Date) return new Date(Math.floor(value.getTime() / 1000) * 1000);
  if (value instanceof Uint8Array || typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(wholeSeconds);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, wholeSeconds(item)]));
}

/** Without the kinds of numbers: the server writes 5 where a float is 5.0. */
function plain(value: Document): unknown {
  if (value instanceof WholeFloat) return value.value;
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return (value as readonly Document[]).map(plain);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
}

/** A reply's value as its document should be: members in the model's order, timestamps and blobs as the wire has them. */
function structureOnWire(model: Model, shapeName: string, value: Readonly<Record<string, unknown>>): unknown {
  const { members } = structureOf(model, shapeName);
  const known = [...members].filter(([name]) => value[name] !== undefined);
  return Object.fromEntries(
    known.map(([name, member]) => {
      const onWire = valueOnWire(model, member, value[name]);
      const isPolicy = model.service === 'iam' && /^(?:AssumeRole)?(?:Policy)?Document$/.test(name);
      return [name, isPolicy ? policyOf(String(onWire)) : onWire];
    }),
  );
}

function valueOnWire(model: Model, member: Member, value: unknown): unknown {
  if (value instanceof Date) {
    const isText = member.timestamp === 'date-time' || model.protocol === 'ec2Query' || model.protocol === 'awsQuery';
    return isText ? value.toISOString() : value.getTime() / 1000;
  }
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (scalarTypes.has(member.type)) return value;
  const shape = shapeOf(model, member.type);
  if (shape.kind === 'list') return (value as unknown[]).map((item) => valueOnWire(model, shape.item, item));
  if (shape.kind === 'structure') return structureOnWire(model, member.type, value as Record<string, unknown>);
  return Object.fromEntries(
    Object.entries(value as object).map(([key, item]) => [key, valueOnWire(model, shape.value, item)]),
  );
}

function policyOf(text: string): unknown {
  try {
    return JSON.parse(decodeURIComponent(text));
  } catch {
    return text;
  }
}
