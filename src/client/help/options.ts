/** The options of an operation, with what help says of them. */
import { argumentsOf, type OptionsPlace } from '#client/arguments/operation-command.ts';
import type { Argument, ArgumentTable } from '#client/arguments/operation-arguments.ts';
import { structureOf, type Member } from '#wire/aws/model.ts';
import { textOf, type Reference } from './member-blocks.ts';
import { ADDED_OPTION_TEXTS } from './option-texts.ts';
import { typeName } from './value-names.ts';

export interface HelpOption {
  /** With their hyphens; two of a boolean. */
  readonly names: readonly string[];
  readonly type: string;
  readonly isRequired: boolean;
  /** It is a word by itself: where a stream of bytes goes. */
  readonly isPositional: boolean;
  /** HTML. */
  readonly text: string;
  /** Of the input; null: it is an option of the command line alone. */
  readonly memberName: string | null;
  readonly member: Member | null;
}

/** In the order of the command line's own pages. Members that paging takes care of are left out, and older names. */
export function optionsOf(place: OptionsPlace, reference: Reference): readonly HelpOption[] {
  const { table, paging } = argumentsOf(place);
  const taken = new Set<string>();
  const known = new Set<string>();
  const options: HelpOption[] = [];
  for (const [bareName, argument] of table) {
    const isPaging = argument.member !== undefined && paging.manual.includes(argument.target);
    if (taken.has(bareName) || isPaging || known.has(argument.member ?? '') || isOldRule(bareName, table)) continue;
    const opposite = oppositeOf(bareName, argument, table);
    if (opposite !== null) taken.add(opposite);
    if (argument.member !== undefined) known.add(argument.member);
    const names = [argument.name, ...(opposite === null ? [] : [table.get(opposite)?.name ?? opposite])];
    options.push({ ...described(bareName, argument, place, reference), names });
  }
  return options;
}

/** Members of rules of a security group that the simpler options stand for. */
const OLD_RULE = new Set([
  'cidr-ip',
  'from-port',
  'ip-protocol',
  'source-security-group-name',
  'source-security-group-owner-id',
  'to-port',
]);

function isOldRule(bareName: string, table: ArgumentTable): boolean {
  return table.has('source-group') && OLD_RULE.has(bareName);
}

/** The bare name of the option that says the contrary of a flag; null: there is none. */
function oppositeOf(bareName: string, argument: Argument, table: ArgumentTable): string | null {
  if (argument.opposite !== undefined) return argument.opposite;
  if (argument.arity !== 'flag') return null;
  for (const [name, other] of table) {
    if (name === `no-${bareName}` || (other !== argument && other.target === argument.target)) return name;
  }
  return null;
}

function described(
  bareName: string,
  argument: Argument,
  { model, operation }: OptionsPlace,
  reference: Reference,
): Omit<HelpOption, 'names'> {
  const input = model.operations.get(operation)?.input;
  const memberName = argument.member ?? null;
  const structure = input === undefined ? null : structureOf(model, input);
  const member = structure?.members.get(memberName ?? '') ?? null;
  // Of an option with an older name, either is enough for the parser.
  const isRequired =
    argument.required || (structure?.required.has(memberName ?? '') === true && member?.token !== true);
  const isPositional = !argument.name.startsWith('-');
  const common = { isRequired, isPositional, memberName, member };
  if (member === null || memberName === null || input === undefined) {
    return { ...common, type: addedType(argument), text: `<p>${ADDED_OPTION_TEXTS[bareName] ?? ''}</p>` };
  }
  const type = argument.opposite === undefined ? typeName(model, member) : 'boolean';
  return { ...common, type, text: textOf(reference, input, memberName) };
}

function addedType({ arity, type }: Argument): string {
  if (arity === 'flag') return 'boolean';
  if (arity === 'any') return 'list';
  return type === 'integer' ? 'integer' : 'string';
}
