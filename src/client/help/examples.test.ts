import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { parseCommand } from '#client/arguments/parse-command.ts';
import type { Command, Surroundings } from '#client/command.ts';
import { waiterNames } from '#client/connection/waiters.ts';
import { loadModel } from '#wire/aws/model.ts';
import type { ServiceName } from '#wire/aws/operations.ts';
import { loadDocumentation, type CommandExample } from './documentation.ts';
import { writtenExamples } from './examples.ts';
import { commandLine } from './operation-page.ts';
import { pageExamples } from './show-help.ts';

const services = ['dlm', 'ebs', 'ec2', 'iam', 'kms', 'lightsail', 'rbin', 'sts'] as const;
const directory = scratchDirectory('help-examples');
writeFileSync(join(directory, 'policy.json'), '{"PolicyType": "EBS_SNAPSHOT_MANAGEMENT"}');
writeFileSync(join(directory, 'block'), 'bytes');

const surroundings: Surroundings = {
  environment: {},
  home: '/nonexistent',
  stdout: new PassThrough(),
  stderr: new PassThrough(),
  localServer: async () => null,
};

/** The words of a line as a POSIX shell splits it, without expansions. */
function shellWords(line: string): readonly string[] {
  const words: string[] = [];
  let word: string | null = null;
  for (const [part] of line.replaceAll('\\\n', ' ').matchAll(/'[^']*'|"(?:[^"\\]|\\.)*"|\\.|\s+|[^\s'"\\]+/gs)) {
    if (/^\s/.test(part)) {
      if (word !== null) words.push(word);
      word = null;
    } else if (part.startsWith("'")) word = (word ?? '') + part.slice(1, -1);
    else if (part.startsWith('"')) word = (word ?? '') + part.slice(1, -1).replace(/\\(.)/g, '$1');
    else word = (word ?? '') + part.replace(/^\\/, '');
  }
  return word === null ? words : [...words, word];
}

/** Files of the examples stand in the scratch directory. */
async function parsed(example: CommandExample): Promise<Command> {
  const [program, ...words] = shellWords(commandLine(example.command));
  assert.equal(program, 'varve');
  const placed = words.map((word) =>
    word.replace(
      /^(file:\/\/)?(policy\.json|block)$/,
      (_, prefix, name) => `${prefix ?? ''}${join(directory, String(name))}`,
    ),
  );
  return await parseCommand(placed, surroundings);
}

test('an example written for the command line is a command line, for what it stands under', async () => {
  let count = 0;
  for (const service of services) {
    for (const [name, examples] of Object.entries(writtenExamples(service))) {
      assert(loadModel(service).operations.has(name) || waiterNames(service).includes(name), `${service} has ${name}`);
      for (const example of examples) {
        const command = await parsed(example);
        if (command.kind === 'wait') assert.equal(command.waiter, name);
        else assert.equal(command.kind === 'call' ? command.operation : command.kind, name);
        count += 1;
      }
    }
  }
  assert(count > 40);
});

/** Values that the reference only hints at; and addresses, which a value on the command line would be fetched from. */
const HINTED = /<[^>]*>|\.\.\.|binary|https:/;

test('an example of the API reference becomes a command line that says the same', async () => {
  let count = 0;
  for (const service of services) {
    for (const [operation, { examples = [] }] of Object.entries(loadDocumentation(service).operations)) {
      if (Object.hasOwn(writtenExamples(service), operation)) continue;
      const shown = pageExamples(service, operation);
      assert.equal(shown.length, examples.length);
      for (const [index, example] of shown.entries()) {
        if (HINTED.test(JSON.stringify(examples[index]?.input))) continue;
        count += await checkSame(service, operation, example, examples[index]?.input);
      }
    }
  }
  assert(count > 100, `${count} examples`);
});

async function checkSame(
  service: ServiceName,
  operation: string,
  example: CommandExample,
  input: unknown,
): Promise<number> {
  const command = await parsed(example);
  assert(command.kind === 'call' && command.service === service && command.operation === operation);
  const { input: read } = command;
  const said = JSON.stringify(read, (_, value: unknown) => (value instanceof Uint8Array ? bytesText(value) : value));
  assert.deepEqual(JSON.parse(said), input, `${operation}: ${commandLine(example.command)}`);
  return 1;
}

function bytesText(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
