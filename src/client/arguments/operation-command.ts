/** The options of one operation, or of a waiter that asks one, to the command they make. */
import type { Call, Command, GlobalOptions, InputRecord, PagingOptions, Surroundings } from '#client/command.ts';
import { structureOf, type Model } from '#wire/aws/model.ts';
import type { ServiceName } from '#wire/aws/operations.ts';
import { closeMatches } from './close-matches.ts';
import {
  addEc2Arguments,
  booleanAttributeArguments,
  checkEc2Words,
  finishEc2Input,
  isBooleanAttribute,
} from './ec2-arguments.ts';
import { parseJson } from './json-text.ts';
import {
  addCommonArguments,
  memberArguments,
  type Argument,
  type ArgumentTable,
  type Draft,
  type PagingArguments,
} from './operation-arguments.ts';
import { parseWords, type ParserOption } from './option-parser.ts';
import { LoadingError, localValue, pointedValue } from './parameter-file.ts';
import { isList, isRecord, typeName, type RawRecord, type RawValue } from './raw-value.ts';
import { inputSkeleton, outputSkeleton, skeletonText } from './skeleton.ts';
import { failure } from '#client/failure.ts';
import { parameterError, unknownOptionsError } from './usage.ts';
import { checkedInput } from './validate.ts';

export interface OperationPlace {
  readonly service: ServiceName;
  readonly model: Model;
  /** As the model names it. */
  readonly operation: string;
  /** As the line names it: the operation, or the waiter. */
  readonly commandName: string;
  /** As the model names it; null: the operation is called once. */
  readonly waiter: string | null;
  readonly globals: GlobalOptions;
  readonly surroundings: Surroundings;
}

/** What the options of an operation depend on. */
export type OptionsPlace = Pick<OperationPlace, 'service' | 'model' | 'operation' | 'waiter'>;

const HELP: ParserOption = { name: 'help', target: 'help', arity: 'optional', required: false };
const INPUT_JSON = '--cli-input-json';
const SKELETON = '--generate-cli-skeleton';

/** Throws ClientError. */
export async function parseOperation(place: OperationPlace, words: readonly string[]): Promise<Command> {
  if (words.length === 1 && words[0] === 'help') return helpOf(place);
  const { table, paging } = argumentsOf(place);
  const demanded = isAnythingRequired(words, table) ? [...table.values()] : [...table.values()].map(optional);
  const { values, rest } = parseWords([...demanded, HELP], words);
  const help = values.get('help');
  if (help === 'help') return helpOf(place);
  const unknown = typeof help === 'string' ? [...rest, help] : rest;
  if (unknown.length > 0) throw unknownOptionsError(unknown, hintsFor(unknown, table));
  if (place.service === 'ec2' && place.waiter === null) checkTogether(place, table, values);
  const globals = withoutPaging(place.globals, paging, table, values);
  const draft = await draftOf(table, values, place.surroundings);
  const input = { ...draft.input, ...withoutNames(jsonInput(values, place.surroundings), draft.input) };
  if (values.get('generate_cli_skeleton') === 'input') {
    const { input: shape } = place.model.operations.get(place.operation) ?? {};
    return { kind: 'print', text: skeletonText(inputSkeleton(place.model, shape)) };
  }
  return commandOf({ ...place, globals }, values, draft, finished(place, input));
}

function helpOf({ service, operation, waiter, globals }: OperationPlace): Command {
  return { kind: 'help', service, operation: waiter === null ? operation : null, waiter, color: globals.color };
}

/** Which options there are. What EC2 makes simpler belongs to operations, not to waiters. */
export function argumentsOf(place: OptionsPlace): { readonly table: ArgumentTable; readonly paging: PagingArguments } {
  const table = memberArguments(place);
  if (place.waiter === null) {
    if (place.service === 'ec2') customiseEc2(table, place);
    if (place.service === 'lightsail') addHiddenName(table, 'public-key-base64', 'public-key-base-64');
  }
  return { table, paging: addCommonArguments(table, place) };
}

function customiseEc2(table: ArgumentTable, { model, operation }: OptionsPlace): void {
  if (operation === 'CreateImage') rename(table, 'no-no-reboot', 'reboot');
  rename(table, 'no-egress', 'ingress');
  rename(table, 'no-disable-api-termination', 'enable-api-termination');
  addBooleanAttributes(table, model, model.operations.get(operation)?.input);
  addEc2Arguments(table, operation);
}

function addBooleanAttributes(table: ArgumentTable, model: Model, input: string | undefined): void {
  if (input === undefined) return;
  for (const [name, member] of structureOf(model, input).members) {
    const value = { model, member, path: `${input}.${name}` };
    const found = [...table].find(([, argument]) => argument.member === name);
    if (found === undefined || !isBooleanAttribute(value)) continue;
    const [positive, negative] = booleanAttributeArguments(value, name, found[1]);
    table.set(found[0], positive);
    table.set(negative.name.slice(2), negative);
  }
}

function rename(table: ArgumentTable, from: string, to: string): void {
  const argument = table.get(from);
  if (argument === undefined) return;
  table.delete(from);
  table.set(to, { ...argument, name: `--${to}` });
}

/** An older name of an option. Either is enough where one is required. */
function addHiddenName(table: ArgumentTable, name: string, alias: string): void {
  const argument = table.get(name);
  if (argument === undefined) return;
  table.set(name, optional(argument));
  table.set(alias, { ...optional(argument), name: `--${alias}`, target: alias });
}

function optional(argument: Argument): Argument {
  return { ...argument, required: false };
}

/** The input may stand in JSON, and a skeleton of it needs none. */
function isAnythingRequired(words: readonly string[], table: ArgumentTable): boolean {
  if (!table.has(INPUT_JSON.slice(2))) return true;
  if (words.includes(INPUT_JSON)) return false;
  const skeleton = words.indexOf(SKELETON);
  return skeleton === -1 || words[skeleton + 1] === 'output';
}

/** Names of options that a mistyped one is near to. */
function hintsFor(unknown: readonly string[], table: ArgumentTable): readonly string[] {
  const names = [...table.values()].map(({ name }) => name);
  const mistyped = unknown.map((word) => word.replace(/=.*$/s, '')).filter((word) => word.startsWith('--'));
  return [...new Set(mistyped.flatMap((word) => closeMatches(word, names)))];
}

function checkTogether(place: OperationPlace, table: ArgumentTable, values: ReadonlyMap<string, RawValue>): void {
  checkEc2Words(place.operation, values);
  for (const argument of table.values()) {
    const opposite = argument.opposite === undefined ? undefined : table.get(argument.opposite);
    if (opposite === undefined || !values.has(argument.target) || !values.has(opposite.target)) continue;
    throw failure(`Cannot specify both the "${argument.name}" option and the "${opposite.name}" option.`);
  }
}

/** Paging by hand turns automatic paging off, and then options of the operation stand again where those of paging stood. */
function withoutPaging(
  globals: GlobalOptions,
  { manual, shadowed }: PagingArguments,
  table: ArgumentTable,
  values: ReadonlyMap<string, RawValue>,
): GlobalOptions {
  const byHand = manual.some((target) => values.has(target) && target !== 'max_items' && target !== 'start_token');
  const paginate = globals.paginate && !byHand;
  if (!paginate) {
    const used = ['starting-token', 'page-size', 'max-items'].filter(
      (name) => table.has(name) && !shadowed.has(name) && isGiven(values.get(name.replace('-', '_'))),
    );
    if (used.length > 0 && manual.length > 0) {
      throw failure(
        'Error during pagination: Cannot specify --no-paginate along with pagination arguments: ' +
          used.map((name) => `--${name}`).join(', '),
      );
    }
    for (const [name, argument] of shadowed) table.set(name, argument);
  }
  return { ...globals, paginate };
}

function isGiven(value: RawValue | undefined): boolean {
  return value !== undefined && value !== '' && value !== 0;
}

async function draftOf(
  table: ArgumentTable,
  values: ReadonlyMap<string, RawValue>,
  around: Surroundings,
): Promise<Draft> {
  const paging = { startingToken: null, maxItems: null, pageSize: null };
  const draft: Draft = { input: {}, paging, launchKey: null, around };
  for (const argument of table.values()) {
    const value = values.get(argument.target);
    if (argument.put === null || value === undefined) continue;
    const pointed = await resolved(argument.name, value, around);
    try {
      argument.put(draft, pointed);
    } catch (error) {
      if (error instanceof LoadingError) throw failure(error.message);
      throw error;
    }
  }
  return draft;
}

/** What a word, or the only word of a list, points to. */
async function resolved(option: string, value: RawValue, around: Surroundings): Promise<RawValue> {
  const word = isList(value) && value.length === 1 ? value[0] : value;
  if (typeof word !== 'string') return value;
  try {
    return (await pointedValue(word, around)) ?? value;
  } catch (error) {
    if (error instanceof LoadingError) throw parameterError(option, error.message);
    throw error;
  }
}

/** The input that stands in JSON; what the line says itself counts before it. */
function jsonInput(values: ReadonlyMap<string, RawValue>, around: Surroundings): RawRecord {
  const given = values.get('cli_input_json');
  if (typeof given !== 'string') return {};
  const text = jsonText(given, around);
  let parsed: RawValue;
  try {
    parsed = parseJson(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw parameterError('cli-input-json', `Invalid JSON: ${error.message}\nJSON received: ${text}`);
  }
  if (!isRecord(parsed)) throw failure(`'${typeName(parsed)}' object has no attribute 'keys'`);
  return parsed;
}

function jsonText(given: string, around: Surroundings): string {
  try {
    const local = localValue(given, around) ?? given;
    return typeof local === 'string' ? local : new TextDecoder().decode(local);
  } catch (error) {
    if (error instanceof LoadingError) throw parameterError(INPUT_JSON, error.message);
    throw error;
  }
}

function withoutNames(record: RawRecord, names: Readonly<Record<string, RawValue>>): RawRecord {
  return Object.fromEntries(Object.entries(record).filter(([name]) => !Object.hasOwn(names, name)));
}

/** The input as it is sent, checked. */
function finished({ service, model, operation }: OperationPlace, input: Record<string, RawValue>): InputRecord {
  if (service === 'ec2') finishEc2Input(operation, input);
  return checkedInput(model, model.operations.get(operation)?.input, input);
}

function commandOf(
  place: OperationPlace,
  values: ReadonlyMap<string, RawValue>,
  draft: Draft,
  input: InputRecord,
): Command {
  const { service, model, operation, commandName, globals, waiter } = place;
  if (values.get('generate_cli_skeleton') === 'output') {
    const document = outputSkeleton(model, model.operations.get(operation)?.output);
    return { kind: 'document', service, operation, commandName, document, globals };
  }
  const outfile = values.get('outfile');
  const call: Call = {
    kind: 'call',
    service,
    operation,
    commandName,
    input,
    globals,
    paging: pagingOf(place, draft, input),
    outfile: typeof outfile === 'string' ? outfile : null,
    ...(draft.launchKey === null ? {} : { launchKey: draft.launchKey }),
  };
  return waiter === null ? call : { kind: 'wait', service, waiter, call };
}

/** Lists that may be very long are asked for in pages where nothing narrows them down; to narrow and to page is refused. */
const PAGED_UNLESS_NARROWED: Readonly<Record<string, readonly string[]>> = {
  DescribeVolumes: [],
  DescribeSnapshots: ['OwnerIds', 'RestorableByUserIds'],
};
const NEVER_NARROW: ReadonlySet<string> = new Set(['NextToken', 'DryRun']);
const PAGE_SIZE = 1000;

function pagingOf(
  { service, operation, globals, waiter }: OperationPlace,
  draft: Draft,
  input: InputRecord,
): PagingOptions {
  const paging: PagingOptions = { ...draft.paging };
  if (service !== 'ec2' || waiter !== null || !globals.paginate || paging.pageSize !== null) return paging;
  const wide = Object.hasOwn(PAGED_UNLESS_NARROWED, operation) ? PAGED_UNLESS_NARROWED[operation] : undefined;
  if (wide === undefined) return paging;
  const narrowed = Object.keys(input).some((name) => !wide.includes(name) && !NEVER_NARROW.has(name));
  return narrowed ? paging : { ...paging, pageSize: PAGE_SIZE };
}
