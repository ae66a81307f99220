/**
 * Every operation's name and options against those of the AWS command line 1.45.11, which operation-arguments.cases.json
 * holds: `!` is required, `*` takes many words, `?` one or none, `|` is a flag. `newer`: that version does not know it yet. What the model has ceased to require is not marked.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ClientError } from '#client/command.ts';
import { loadModel } from '#wire/aws/model.ts';
import type { ServiceName } from '#wire/aws/operations.ts';
import { commandNameOf } from './names.ts';
import { argumentsOf } from './operation-command.ts';
import { parseCommand, SERVICES } from './parse-command.ts';
import { surroundingsOf } from './surroundings.fixture.ts';

interface Case {
  readonly service: ServiceName;
  readonly name: string;
  readonly operation: string;
  readonly options: string;
  readonly newer?: string;
  /** The skeleton of its input is no valid input: a text is too short, a number too small, a blob null. */
  readonly refused?: true;
}

const cases = JSON.parse(
  readFileSync(new URL('./operation-arguments.cases.json', import.meta.url), 'utf8'),
) as readonly Case[];

const MARKS = { one: '', any: '*', optional: '?', flag: '|' } as const;

test('operations are called what the AWS command line calls them', () => {
  for (const { name, operation } of cases) assert.equal(commandNameOf(operation), name);
  const named = [
    'DescribeFastSnapshotRestores',
    'EnableVolumeIO',
    'GetCallerIdentity',
    'ListMFADevices',
    'DescribeVPCs',
  ];
  assert.deepEqual(named.map(commandNameOf), [
    'describe-fast-snapshot-restores',
    'enable-volume-io',
    'get-caller-identity',
    'list-mfa-devices',
    'describe-vpcs',
  ]);
});

test('operations have the options of the AWS command line, in its order', () => {
  for (const { service, name, operation, options, newer = '' } of cases) {
    const { table } = argumentsOf({ service, model: loadModel(service), operation, waiter: null });
    const unknown = new Set(newer.split(' '));
    const own = [...table.values()]
      .map((argument) => `${argument.name}${argument.required ? '!' : ''}${MARKS[argument.arity]}`)
      .filter((option) => !unknown.has(option));
    assert.equal(own.join(' '), options, `${service} ${name}`);
  }
});

test('a skeleton of an input is an input, unless the model asks for more', async () => {
  const refused = new Set(cases.filter((line) => line.refused).map(({ service, name }) => `${service} ${name}`));
  const known = new Set(cases.map(({ service, name }) => `${service} ${name}`));
  for (const service of SERVICES) {
    for (const operation of loadModel(service).operations.keys()) {
      const name = commandNameOf(operation);
      // Its reply is a stream, and so it has no skeleton.
      if (operation === 'GetSnapshotBlock') continue;
      const fault = await faultOfSkeleton(service, name, operation);
      if (known.has(`${service} ${name}`))
        assert.equal(fault !== null, refused.has(`${service} ${name}`), fault ?? name);
      const others = (fault ?? '').split('\n').filter((line) => line !== '' && !EXPECTED_FAULT.test(line));
      assert.deepEqual(others, [], `${service} ${name}`);
    }
  }
});

const EXPECTED_FAULT = /^Parameter validation failed:$|valid min (?:length|value): |value: None, .*'bytes'/;

/** Null: the skeleton is a valid input of its operation. */
async function faultOfSkeleton(service: ServiceName, name: string, operation: string): Promise<string | null> {
  const { surroundings } = surroundingsOf();
  const skeleton = await parseCommand([service, name, '--generate-cli-skeleton'], surroundings);
  assert.equal(skeleton.kind, 'print');
  try {
    const command = await parseCommand([service, name, '--cli-input-json', skeleton.text], surroundings);
    assert.equal(command.kind, 'call');
    assert.equal(command.operation, operation);
    const members = Object.keys(JSON.parse(skeleton.text) as object);
    assert.deepEqual(
      members.filter((member) => !Object.hasOwn(command.input, member)),
      [],
    );
    return null;
  } catch (error) {
    if (error instanceof ClientError) return error.message;
    throw error;
  }
}
