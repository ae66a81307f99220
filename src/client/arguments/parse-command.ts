/**
 * From words to a command: `ec2 create-snapshot --volume-id vol-1` to the call that it asks for.
 *
 * Three parsers take the words one after the other, each what it knows: the options that stand anywhere and the service;
 * the operation; the operation's own options. What nobody takes is refused.
 */
import type { Command, GlobalOptions, Surroundings } from '#client/command.ts';
import { waiterNames, waiterOf } from '#client/connection/waiters.ts';
import { loadModel, type Model } from '#wire/aws/model.ts';
import type { ServiceName } from '#wire/aws/operations.ts';
import { GLOBAL_OPTIONS, globalsOf, versionText } from './global-options.ts';
import { commandNameOf } from './names.ts';
import { parseOperation } from './operation-command.ts';
import { parseWords } from './option-parser.ts';
import { textOf } from './raw-value.ts';
import { failure } from '#client/failure.ts';
import { usageError } from './usage.ts';

export const SERVICES: readonly ServiceName[] = ['dlm', 'ebs', 'ec2', 'iam', 'kms', 'lightsail', 'rbin', 'sts'];

const HELP = 'help';
const WAIT = 'wait';
const ALL_WAITERS = '';

/** Throws ClientError where the words are no command. */
export async function parseCommand(words: readonly string[], surroundings: Surroundings): Promise<Command> {
  const command = {
    name: 'command',
    target: 'command',
    arity: 'one',
    choices: [...SERVICES, HELP],
    required: true,
  } as const;
  const parsed = parseWords([...GLOBAL_OPTIONS, command], words);
  if (parsed.values.has('version')) return versionText();
  const globals = await globalsOf(parsed);
  const name = parsed.values.get('command');
  const service = SERVICES.find((known) => known === name);
  if (service === undefined)
    return { kind: 'help', service: null, operation: null, waiter: null, color: globals.color };
  return parseService({ service, globals, surroundings }, parsed.rest);
}

interface Place {
  readonly service: ServiceName;
  readonly globals: GlobalOptions;
  readonly surroundings: Surroundings;
}

async function parseService(place: Place, words: readonly string[]): Promise<Command> {
  const { service, globals } = place;
  const model = loadModel(service);
  const operations = operationsByCommand(model);
  const waits = waiterNames(service).length > 0 ? [WAIT] : [];
  const left = new Set([...model.otherOperations].map(commandNameOf));
  const choices = [...operations.keys(), ...waits, HELP];
  const first = parseWords([{ ...OPERATION }], words);
  const name = textOf(first.values.get(OPERATION.target) ?? '');
  if (left.has(name)) throw leftOut(service, name);
  const { rest } = parseWords([{ ...OPERATION, choices }], words);
  if (name === HELP) return { kind: 'help', service, operation: null, waiter: null, color: globals.color };
  if (name === WAIT) return parseWait(place, model, rest);
  const operation = operations.get(name);
  if (operation === undefined) throw usageError(`argument operation: Invalid choice: ${name}`);
  return parseOperation({ ...place, model, operation, commandName: name, waiter: null }, rest);
}

const OPERATION = { name: 'operation', target: 'operation', arity: 'one', required: true } as const;

/** The service has the operation, and this program does not know its model. */
function leftOut(service: ServiceName, commandName: string): Error {
  return failure(`${service} ${commandName} is an operation of the service that this command line leaves out.`);
}

/** By name on the command line, in alphabetical order of the operations. */
function operationsByCommand(model: Model): ReadonlyMap<string, string> {
  return new Map([...model.operations.keys()].toSorted().map((operation) => [commandNameOf(operation), operation]));
}

async function parseWait(place: Place, model: Model, words: readonly string[]): Promise<Command> {
  const { service, globals } = place;
  const help = { kind: 'help', service, operation: null, color: globals.color } as const;
  if (words.length === 1 && words[0] === HELP) return { ...help, waiter: ALL_WAITERS };
  const waiters = new Map(waiterNames(service).map((waiter) => [commandNameOf(waiter), waiter]));
  const subcommand = { name: 'subcommand', target: 'subcommand', arity: 'optional', required: false } as const;
  const { values, rest } = parseWords([{ ...subcommand, choices: [...waiters.keys()] }], words);
  const commandName = values.get('subcommand');
  if (typeof commandName !== 'string') {
    if (rest.length > 0) throw failure(`Unknown options: ${rest.join(',')}`);
    throw failure('usage: varve [options] <command> <subcommand> [parameters]\nvarve: error: too few arguments');
  }
  const waiter = waiters.get(commandName) ?? '';
  const operation = waiterOf(service, waiter)?.operation ?? '';
  return parseOperation({ ...place, model, operation, commandName, waiter }, rest);
}
