/** The options of an operation: one for each member of its input, and those that the AWS command line has beside them. */
import type { Surroundings } from '#client/command.ts';
import { paginatorOf } from '#client/connection/paginators.ts';
import { structureOf, type Member, type Model } from '#wire/aws/model.ts';
import { commandNameOf } from './names.ts';
import type { ParserOption } from './option-parser.ts';
import { optionValue } from './option-values.ts';
import { inputOf, repr, textOf, type RawValue } from './raw-value.ts';
import { failure } from '#client/failure.ts';
import { kindOf, type ValueModel } from './value-model.ts';

/** What the options make of a call, while they are read one after the other. */
export interface Draft {
  readonly input: Record<string, RawValue>;
  readonly paging: { startingToken: string | null; maxItems: number | null; pageSize: number | null };
  /** Path of the private key that decrypts a password of the reply. */
  launchKey: string | null;
  readonly around: Surroundings;
}

/** One option, or one positional word. */
export interface Argument extends ParserOption {
  /** Puts the value where it belongs. Null: the value is read elsewhere. */
  readonly put: ((draft: Draft, value: RawValue) => void) | null;
  /** The member of the input that it is. */
  readonly member?: string;
  /** Name of an option that may not be given beside it. */
  readonly opposite?: string;
}

/** By the name of the option, without its hyphens, in the order that they are read in. */
export type ArgumentTable = Map<string, Argument>;

export interface OperationNames {
  readonly model: Model;
  /** As the model names it. */
  readonly operation: string;
}

/** One option for each member; of a boolean, two. */
export function memberArguments({ model, operation }: OperationNames): ArgumentTable {
  const table: ArgumentTable = new Map();
  const input = model.operations.get(operation)?.input;
  if (input === undefined) return table;
  const { members, required } = structureOf(model, input);
  for (const [name, member] of members) {
    const argument = memberArgument({ model, member, path: `${input}.${name}` }, name);
    const isRequired = required.has(name) && member.token !== true;
    const bare = argument.name.slice(2);
    if (member.type !== 'boolean') table.set(bare, { ...argument, required: isRequired });
    else {
      table.set(bare, { ...argument, arity: 'flag', constant: true, required: false });
      table.set(`no-${bare}`, { ...argument, name: `--no-${bare}`, arity: 'flag', constant: false, put: null });
    }
  }
  return table;
}

function memberArgument(value: ValueModel, memberName: string): Argument {
  const bare = commandNameOf(memberName);
  const name = `--${bare}`;
  return {
    name,
    target: targetOf(bare),
    arity: kindOf(value).kind === 'list' ? 'any' : 'one',
    type: wordType(value.member),
    required: false,
    member: memberName,
    put: (draft, given) => {
      // A flag has said it all; anything else is still a word.
      draft.input[memberName] = typeof given === 'boolean' ? given : optionValue(value, given, name, draft.around);
    },
  };
}

/** The types that are checked while words are split; others are checked with the value, and refused in other words. */
function wordType({ type }: Member): 'text' | 'integer' | 'float' {
  if (type === 'long') return 'integer';
  return type === 'float' || type === 'double' ? 'float' : 'text';
}

/** Under which a value is handed back. */
export function targetOf(bareName: string): string {
  return bareName.replaceAll('-', '_');
}

/** An option that is no member of the input. */
export function addedArgument(
  bareName: string,
  put: Argument['put'],
  more: Partial<Omit<Argument, 'name' | 'put'>> = {},
): Argument {
  return { name: `--${bareName}`, target: targetOf(bareName), arity: 'one', required: false, ...more, put };
}

/**
 * A file for the stream of bytes of the reply; otherwise the whole input as JSON, paging, and a skeleton.
 * `names`: what is to be added to.
 */
export function addCommonArguments(table: ArgumentTable, { model, operation }: OperationNames): PagingArguments {
  if (hasStream(model, operation)) {
    table.set('outfile', { ...addedArgument('outfile', null, { required: true }), name: 'outfile' });
    return NO_PAGING;
  }
  table.set('cli-input-json', addedArgument('cli-input-json', null));
  const paging = addPaging(table, { model, operation });
  table.set(
    'generate-cli-skeleton',
    addedArgument('generate-cli-skeleton', null, {
      arity: 'optional',
      constant: 'input',
      choices: ['input', 'output'],
    }),
  );
  return paging;
}

/** Whether the reply is a stream of bytes. */
function hasStream(model: Model, operation: string): boolean {
  const output = model.operations.get(operation)?.output;
  if (output === undefined) return false;
  return [...structureOf(model, output).members.values()].some(
    ({ type, in: place }) => type === 'blob' && place === 'payload',
  );
}

export interface PagingArguments {
  /** Targets of the members that page by hand: who gives one turns automatic paging off. */
  readonly manual: readonly string[];
  /** Options of the operation that options of paging stand in for. */
  readonly shadowed: ReadonlyMap<string, Argument>;
}

const NO_PAGING: PagingArguments = { manual: [], shadowed: new Map() };

function addPaging(table: ArgumentTable, { model, operation }: OperationNames): PagingArguments {
  const paginator = paginatorOf(model.service, operation);
  const input = model.operations.get(operation)?.input;
  if (paginator === null || input === undefined) return NO_PAGING;
  const { limitKey, inputToken } = paginator;
  const limit = limitKey === null ? undefined : structureOf(model, input).members.get(limitKey);
  const type = limit?.type === 'string' ? 'text' : 'integer';
  const shadowed = new Map<string, Argument>();
  const add = (bareName: string, put: NonNullable<Argument['put']>, wordsAre: 'text' | 'integer'): void => {
    const own = table.get(bareName);
    if (own !== undefined) shadowed.set(bareName, own);
    table.set(bareName, addedArgument(bareName, put, { type: wordsAre }));
  };
  add(
    'starting-token',
    ({ paging }, value) => {
      paging.startingToken = textOf(value);
    },
    'text',
  );
  if (limit !== undefined) {
    add(
      'page-size',
      ({ paging }, value) => {
        paging.pageSize = count(value);
      },
      type,
    );
  }
  add('max-items', putMaxItems, type);
  const manual = [inputToken, ...(limitKey === null ? [] : [limitKey])].map((name) => targetOf(commandNameOf(name)));
  return { manual, shadowed };
}

function putMaxItems({ paging, around }: Draft, value: RawValue): void {
  const maxItems = count(value);
  if (maxItems <= 0) {
    around.stderr.write('warning: Non-positive values for --max-items may result in undefined behavior.\n');
  }
  paging.maxItems = maxItems;
}

function count(value: RawValue): number {
  const number = Number(inputOf(value));
  if (!Number.isInteger(number)) throw failure(`invalid literal for int() with base 10: ${repr(value)}`);
  return number;
}
