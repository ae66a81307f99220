/**
 * Lines and what the AWS command line 1.45.11 makes of them: parse-command.cases.json holds the request that it would
 * send, or its words of refusal, as it gave them for these lines.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { ClientError, type Command, type Help, type InputValue } from '#client/command.ts';
import { commandNameOf } from './names.ts';
import { parseCommand } from './parse-command.ts';
import { surroundingsOf } from './surroundings.fixture.ts';

interface Case {
  /** `{dir}` stands for the directory of the files. */
  readonly words: readonly string[];
  readonly operation?: string;
  readonly input?: unknown;
  readonly paging?: { readonly MaxItems?: number; readonly PageSize?: number; readonly StartingToken?: string };
  readonly paginate?: true;
  readonly waiter?: string;
  readonly warning?: string;
  readonly stdout?: string;
  /** Of what: kind and name. */
  readonly help?: string;
  readonly exit?: number;
  readonly error?: string;
  /** The error goes on, and there the AWS command line prints the code of its own. */
  readonly cut?: true;
}

const cases = JSON.parse(
  readFileSync(new URL('./parse-command.cases.json', import.meta.url), 'utf8'),
) as readonly Case[];

const FILES: Readonly<Record<string, string | Uint8Array>> = {
  'id.txt': 'vol-9\n',
  binary: Uint8Array.of(0, 255, 128, 120),
  'filters.json': '[{"Name":"a","Values":["b"]}]\n',
  'short.txt': 'Name=a,Values=b',
  'ids.json': '["a","b"]\n',
  crlf: 'a\r\nb\n',
  'input.json': '{"VolumeId":"from-file","Description":"d"}\n',
};

test('lines mean what they mean to the AWS command line', async (t) => {
  const directory = scratchDirectory('client-lines');
  for (const [name, content] of Object.entries(FILES)) writeFileSync(join(directory, name), content);
  for (const line of cases) {
    await t.test(line.words.join(' '), async () => {
      const actual = await outcomeOf(line, directory);
      assert.deepEqual(actual, expectedOf(line));
    });
  }
});

async function outcomeOf(line: Case, directory: string): Promise<unknown> {
  const words = line.words.map((word) => word.replaceAll('{dir}', directory));
  const { surroundings, written } = surroundingsOf();
  let command: Command;
  try {
    command = await parseCommand(words, surroundings);
  } catch (error) {
    if (!(error instanceof ClientError)) throw error;
    const text = comparable(error.message).replaceAll(directory, '{dir}');
    return { exit: error.exitCode, error: line.cut === true ? text.slice(0, line.error?.length) : text };
  }
  if (command.kind === 'print') return { stdout: command.text };
  if (command.kind === 'document') return { document: command.document };
  if (command.kind === 'help') return { help: subjectOf(command) };
  const call = command.kind === 'wait' ? command.call : command;
  return {
    operation: call.operation,
    input: JSON.parse(JSON.stringify(comparableInput(call.input)).replaceAll(directory, '{dir}')) as unknown,
    paging: call.paging,
    waiter: command.kind === 'wait' ? command.waiter : null,
    warning: written(),
  };
}

function expectedOf(line: Case): unknown {
  if (line.help !== undefined) return { help: line.help };
  if (line.error !== undefined) return { exit: line.exit, error: line.error };
  if (line.stdout !== undefined) {
    return line.words.includes('output')
      ? { document: line.stdout === '' ? {} : JSON.parse(line.stdout) }
      : { stdout: line.stdout };
  }
  return {
    operation: line.operation,
    input: line.input,
    paging: {
      startingToken: line.paging?.StartingToken ?? null,
      maxItems: line.paging?.MaxItems ?? null,
      pageSize: line.paging?.PageSize ?? null,
    },
    waiter: line.waiter === undefined ? null : modelName(line.waiter),
    warning: line.warning ?? '',
  };
}

function subjectOf({ service, operation, waiter }: Help): string {
  const name = waiter ?? operation;
  if (name !== null) return `OperationHelpCommand:${commandNameOf(name)}`;
  return service === null ? 'ProviderHelpCommand:aws' : `ServiceHelpCommand:${service}`;
}

/** snapshot_completed is SnapshotCompleted. */
function modelName(waiter: string): string {
  return waiter.replaceAll(/(?:^|_)([a-z])/g, (_whole, letter: string) => letter.toUpperCase());
}

/** Without the usage; of wrong choices only what may have been meant, for the AWS command line has more services. */
function comparable(message: string): string {
  if (!message.startsWith('usage:')) return message;
  const error = message.indexOf('varve: error: ');
  if (error === -1) return message.slice(message.indexOf('Unknown options')).replace(/\nMaybe you meant[^]*$/, '');
  const text = message.slice(error + 'varve: error: '.length);
  const choices = text.indexOf(' valid choices');
  if (choices === -1) return text;
  const meant = text.indexOf(' maybe you meant:');
  return text.slice(0, choices) + (meant === -1 ? '' : text.slice(meant));
}

function comparableInput(value: InputValue): unknown {
  if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString('base64') };
  if (Array.isArray(value)) return value.map((item: InputValue) => comparableInput(item));
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, comparableInput(item)]));
}

interface RandomCase {
  readonly words: readonly string[];
  readonly input?: unknown;
  readonly error?: string;
}

test('random lines mean what they mean to the AWS command line', async () => {
  const url = new URL('./random-lines.cases.json', import.meta.url);
  const lines = JSON.parse(readFileSync(url, 'utf8')) as readonly RandomCase[];
  const { surroundings } = surroundingsOf();
  for (const { words, input, error } of lines) {
    const line = words.join(' ');
    if (error === undefined) {
      const command = await parseCommand(words, surroundings);
      assert.equal(command.kind, 'call', line);
      assert.deepEqual(comparableInput(command.input), input, line);
    } else {
      await assert.rejects(parseCommand(words, surroundings), { message: `\n${error}\n`, exitCode: 255 }, line);
    }
  }
});

test('an operation of the service that the model leaves out is told from a mistyped one', async () => {
  const { surroundings } = surroundingsOf();
  await assert.rejects(parseCommand(['ec2', 'accept-address-transfer', '--address', 'x'], surroundings), {
    message: '\nec2 accept-address-transfer is an operation of the service that this command line leaves out.\n',
    exitCode: 255,
  });
});

test('a mistyped option is told with what may have been meant', async () => {
  const { surroundings } = surroundingsOf();
  await assert.rejects(parseCommand(['ec2', 'create-snapshot', '--volume-id', 'v', '--descripton=x'], surroundings), {
    message: /\n\nUnknown options: --descripton=x\n\nMaybe you meant:\n {2}\* --description\n$/,
  });
});

test('what stands anywhere on the line is of the call, and the version ends the line', async () => {
  const { surroundings } = surroundingsOf();
  const words =
    '--region r ec2 --no-verify-ssl describe-volumes --output yaml --profile p --query Volumes[0] --color off';
  const more =
    '--no-sign-request --ca-bundle /ca.pem --cli-read-timeout 0 --cli-connect-timeout 5 --endpoint-url http://h/ --debug';
  const command = await parseCommand([...words.split(' '), ...more.split(' '), '--no-paginate'], surroundings);
  assert.equal(command.kind, 'call');
  assert.deepEqual(command.globals, {
    debug: true,
    endpointUrl: 'http://h/',
    verifySsl: false,
    paginate: false,
    output: 'yaml',
    query: 'Volumes[0]',
    profile: 'p',
    region: 'r',
    color: 'off',
    signRequest: false,
    caBundle: '/ca.pem',
    cliReadTimeout: 0,
    cliConnectTimeout: 5,
  });
  const version = await parseCommand(['--version', 'nothing', '--bogus'], surroundings);
  assert.equal(version.kind, 'print');
  assert.match(version.text, /^varve\/\d\S* Node\/\d/);
});

test('waiting has help of its own', async () => {
  const { surroundings } = surroundingsOf();
  const help = { kind: 'help', service: 'ec2', operation: null, waiter: '', color: 'auto' };
  assert.deepEqual(await parseCommand(['ec2', 'wait', 'help'], surroundings), help);
});

test('paging by hand turns automatic paging off', async () => {
  const { surroundings } = surroundingsOf();
  const paginated = async (line: string): Promise<boolean> => {
    const command = await parseCommand(line.split(' '), surroundings);
    assert.equal(command.kind, 'call');
    return command.globals.paginate;
  };
  assert.equal(await paginated('ec2 describe-volumes --page-size 5'), true);
  assert.equal(await paginated('ec2 describe-volumes --next-token t'), false);
  assert.equal(await paginated('iam list-users --max-items 5'), true);
  assert.equal(await paginated('iam list-users --marker m'), false);
});

test('a value that names a page is its text', async () => {
  const server = createServer((request, response) => {
    response.statusCode = request.url === '/id' ? 200 : 404;
    response.end('vol-7');
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  try {
    const address = server.address();
    assert.ok(typeof address === 'object' && address !== null);
    const page = `http://127.0.0.1:${address.port}`;
    const { surroundings } = surroundingsOf();
    const command = await parseCommand(['ec2', 'create-snapshot', '--volume-id', `${page}/id`], surroundings);
    assert.equal(command.kind, 'call');
    assert.deepEqual(command.input, { VolumeId: 'vol-7' });
    await assert.rejects(parseCommand(['ec2', 'create-snapshot', '--volume-id', `${page}/none`], surroundings), {
      message: `\nError parsing parameter '--volume-id': Unable to retrieve ${page}/none: received non 200 status code of 404\n`,
    });
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
