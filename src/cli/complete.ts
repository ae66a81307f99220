/**
 * What can stand at the end of a command line that is being typed: `varve __complete LINE`, asked by the scripts of
 * `varve completion`. A line of the answer is a word, a tab and what it is; `:files PREFIX` stands for names of files,
 * behind that prefix. What takes long to know, as names of resources, is asked for only where it is wanted.
 */
import type { Argument } from '#client/arguments/operation-arguments.ts';
import type { Model } from '#wire/aws/model.ts';
import type { ServiceName } from '#wire/aws/operations.ts';
import type { CommandEntry } from './commands.ts';

export interface Completion {
  readonly word: string;
  /** Few words; empty: it says all itself. */
  readonly summary: string;
}

/** Names that exist on the local server, for an option. */
export type ResourceNames = (service: ServiceName, operation: string, option: string) => Promise<readonly string[]>;

export type ResourceKind = 'disk' | 'snapshot' | 'instance' | 'instance-snapshot';

/** Names of what the local server has of these kinds; the id of what has no name, or one that a shell would split. */
export type KindNames = (kinds: readonly ResourceKind[]) => Promise<readonly string[]>;

export interface Completing {
  /** The line up to the cursor, with the name of the program. */
  readonly line: string;
  readonly commands: readonly CommandEntry[];
  readonly resourceNames: ResourceNames;
  readonly kindNames: KindNames;
}

const FILES = ':files';

const DISKS: readonly ResourceKind[] = ['disk', 'snapshot'];
const SNAPSHOTS: readonly ResourceKind[] = ['snapshot', 'instance-snapshot'];

/** What a command takes behind its name, or behind its verb. */
interface OwnNames {
  readonly kinds: readonly ResourceKind[];
  /** So many of its words are names; the others are files. */
  readonly most: number;
  /** Behind each name. */
  readonly end?: string;
}

const OWN_NAMES: Readonly<Record<string, OwnNames>> = {
  connect: { kinds: DISKS, most: 1 },
  console: { kinds: ['instance'], most: 1 },
  cp: { kinds: DISKS, most: Infinity, end: ':/' },
  diff: { kinds: DISKS, most: 2 },
  export: { kinds: DISKS, most: 1 },
  ls: { kinds: DISKS, most: 1 },
  mount: { kinds: DISKS, most: 1 },
  ssh: { kinds: ['instance'], most: 1 },
  'snapshot create': { kinds: ['disk', 'instance'], most: 1 },
  'snapshot restore': { kinds: SNAPSHOTS, most: 1 },
  'snapshot tree': { kinds: DISKS, most: 1 },
  'snapshot watch': { kinds: SNAPSHOTS, most: Infinity },
  'snapshot delete': { kinds: SNAPSHOTS, most: Infinity },
};

export async function completionsOf({
  line,
  commands,
  resourceNames,
  kindNames,
}: Completing): Promise<readonly Completion[]> {
  const words = shellWords(line);
  const current = words.at(-1) ?? '';
  const typed = words.slice(1, -1);
  const entry = commands.find(({ name }) => name === typed[0]);
  const found =
    entry === undefined
      ? await ofServices(typed, current, { line, commands, resourceNames, kindNames })
      : await ofCommand(entry, typed, current, kindNames);
  return found.filter(({ word }) => word.startsWith(FILES) || word.startsWith(current));
}

/** The answer as the scripts read it. */
export function completionText(completions: readonly Completion[]): string {
  return completions.map(({ word, summary }) => `${word}\t${summary}\n`).join('');
}

/** As a shell splits a line; the last word, which may be empty or lack its closing quote, is the one that is typed. */
export function shellWords(line: string): readonly string[] {
  const words: string[] = [];
  let word = '';
  let isOpen = false;
  for (const [part] of line.matchAll(/'[^']*'?|"(?:[^"\\]|\\.)*"?|\\.?|\s+|[^\s'"\\]+/gs)) {
    if (/^\s/.test(part)) {
      if (isOpen) words.push(word);
      word = '';
      isOpen = false;
      continue;
    }
    isOpen = true;
    if (part.startsWith("'")) word += part.replaceAll("'", '');
    else if (part.startsWith('"')) word += part.replace(/^"|"$/g, '').replace(/\\(.)/g, '$1');
    else word += part.replace(/^\\/, '');
  }
  return [...words, word];
}

function plain(words: readonly string[]): readonly Completion[] {
  return words.map((word) => ({ word, summary: '' }));
}

/** Options and verbs as the command's own help lists them; names of what exists; else names of files. */
async function ofCommand(
  entry: CommandEntry,
  typed: readonly string[],
  current: string,
  kindNames: KindNames,
): Promise<readonly Completion[]> {
  const { usage } = await entry.load();
  if (current.startsWith('-')) {
    return plain([...new Set(usage.match(/--[a-z][a-z0-9-]+/g) ?? [])].filter((name) => !typed.includes(name)));
  }
  const verbs = [...usage.matchAll(new RegExp(`varve ${entry.name} ([a-z]+(?:\\|[a-z]+)*)(?![a-z-])`, 'g'))];
  const known = new Set(verbs.flatMap(([, verb = '']) => verb.split('|')));
  if (typed.length === 1 && known.size > 0) return plain([...known]);
  const files = [{ word: `${FILES} `, summary: '' }];
  const own = OWN_NAMES[entry.name] ?? OWN_NAMES[typed.slice(0, 2).join(' ')];
  // What stands behind an option is its value.
  if (own === undefined || takesValue(usage, typed.at(-1) ?? '')) return files;
  const before = typed.slice(OWN_NAMES[entry.name] === undefined ? 2 : 1);
  const taken = before.filter((word, at) => !word.startsWith('-') && !takesValue(usage, before[at - 1] ?? ''));
  if (taken.length >= own.most) return files;
  const names = plain((await kindNames(own.kinds)).map((name) => `${name}${own.end ?? ''}`));
  const left = names.filter(({ word }) => !taken.includes(word));
  // A copy goes to a file, once it is said what is copied.
  return own.end !== undefined && taken.length > 0 ? [...left, ...files] : left;
}

/** As the help lists it: `--name NAME`. */
function takesValue(usage: string, option: string): boolean {
  return /^--[a-z-]+$/.test(option) && new RegExp(`${option} [A-Z]`).test(usage);
}

async function ofServices(
  typed: readonly string[],
  current: string,
  around: Completing,
): Promise<readonly Completion[]> {
  const [{ GLOBAL_OPTIONS }, { SERVICES }] = await Promise.all([
    import('#client/arguments/global-options.ts'),
    import('#client/help/service-summaries.ts'),
  ]);
  const globals = new Map<string, Argument>(GLOBAL_OPTIONS.map((option) => [option.name, { ...option, put: null }]));
  const { positional } = placed(typed, globals);
  const service = Object.keys(SERVICES).find((name) => name === positional[0]) as ServiceName | undefined;
  const { pending } = placed(typed, globals);
  if (service === undefined) {
    if (pending !== null) return await valuesOf(pending, current);
    if (current.startsWith('-')) return plain([...globals.keys()]);
    if (positional.length > 0 && positional[0] !== 'help') return [];
    const own = around.commands.map(({ name, summary }) => ({ word: name, summary }));
    const services = Object.entries(SERVICES).map(([word, summary]) => ({ word, summary }));
    const all = [...own, ...services];
    return positional[0] === 'help' ? all : [...all, { word: 'help', summary: 'what a command does' }];
  }
  return await ofService(service, typed, current, { globals, around });
}

interface ServicePlace {
  readonly globals: ReadonlyMap<string, Argument>;
  readonly around: Completing;
}

async function ofService(
  service: ServiceName,
  typed: readonly string[],
  current: string,
  { globals, around }: ServicePlace,
): Promise<readonly Completion[]> {
  const [{ loadModel }, { commandNameOf }, { waiterNames, waiterOf }] = await Promise.all([
    import('#wire/aws/model.ts'),
    import('#client/arguments/names.ts'),
    import('#client/connection/waiters.ts'),
  ]);
  const model = loadModel(service);
  const { positional, pending } = placed(typed, globals);
  const [, name, subcommand] = positional;
  const waiters = waiterNames(service);
  if (name === undefined) {
    if (pending !== null) return await valuesOf(pending, current);
    if (current.startsWith('-')) return plain([...globals.keys()]);
    const wait = waiters.length > 0 ? ['wait'] : [];
    return plain([...[...model.operations.keys()].map(commandNameOf), ...wait, 'help']);
  }
  if (name === 'wait' && subcommand === undefined) return plain([...waiters.map(commandNameOf), 'help']);
  const waiter = name === 'wait' ? (waiters.find((known) => commandNameOf(known) === subcommand) ?? null) : null;
  const operation =
    waiter === null
      ? [...model.operations.keys()].find((known) => commandNameOf(known) === name)
      : waiterOf(service, waiter)?.operation;
  if (operation === undefined) return [];
  return await ofOperation({ service, model, operation, waiter }, typed, current, { globals, around });
}

interface OperationPlace {
  readonly service: ServiceName;
  readonly model: Model;
  readonly operation: string;
  readonly waiter: string | null;
}

async function ofOperation(
  place: OperationPlace,
  typed: readonly string[],
  current: string,
  { globals, around }: ServicePlace,
): Promise<readonly Completion[]> {
  const { argumentsOf } = await import('#client/arguments/operation-command.ts');
  const { table } = argumentsOf(place);
  const own = new Map([...table.values()].map((argument) => [argument.name, argument]));
  const { pending } = placed(typed, new Map([...globals, ...own]));
  if (pending !== null && !current.startsWith('-')) {
    const names = await around.resourceNames(place.service, place.operation, pending.name);
    const values = await valuesOf(pending, current, place);
    // A list goes on until the next option.
    return [...plain(names), ...values];
  }
  if (!current.startsWith('-') && table.has('outfile')) return [{ word: `${FILES} `, summary: '' }];
  const options = [...own.keys(), ...(current === '' ? [] : globals.keys())];
  const left = options.filter((name) => name.startsWith('-') && !typed.includes(name));
  return plain([...left, ...(current === '' && typed.length < 4 ? ['help'] : [])]);
}

/** Which words stand by themselves, and which option waits for its value. */
function placed(
  typed: readonly string[],
  options: ReadonlyMap<string, Argument>,
): { readonly positional: readonly string[]; readonly pending: Argument | null } {
  const positional: string[] = [];
  let pending: Argument | null = null;
  for (const word of typed) {
    if (word.startsWith('--')) {
      const option = options.get(word);
      pending = option === undefined || option.arity === 'flag' ? null : option;
    } else if (pending === null) positional.push(word);
    else if (pending.arity !== 'any') pending = null;
  }
  return { positional, pending };
}

const FILE_OPTIONS = new Set(['--ca-bundle', '--priv-launch-key']);

async function valuesOf(option: Argument, current: string, place?: OperationPlace): Promise<readonly Completion[]> {
  const prefix = /^fileb?:\/\//.exec(current)?.[0];
  if (prefix !== undefined) return [{ word: `${FILES} ${prefix}`, summary: '' }];
  if (FILE_OPTIONS.has(option.name)) return [{ word: `${FILES} `, summary: '' }];
  if (option.choices !== undefined) return plain(option.choices);
  if (place === undefined || option.member === undefined) return [];
  const [{ structureOf }, { valuesOf: enumerated, typeName }] = await Promise.all([
    import('#wire/aws/model.ts'),
    import('#client/help/value-names.ts'),
  ]);
  const { model, operation } = place;
  const member = structureOf(model, model.operations.get(operation)?.input ?? '').members.get(option.member);
  if (member === undefined) return [];
  const type = typeName(model, member);
  if (type === 'streaming blob') return [{ word: `${FILES} `, summary: '' }];
  const shape = model.shapes.get(member.type);
  const item = shape?.kind === 'list' ? shape.item : member;
  const structure = model.shapes.get(item.type);
  if (structure?.kind === 'structure') return [...shorthand(model, structure.members, current), ...plain(['file://'])];
  if (type === 'blob') return plain(['fileb://']);
  if (type === 'map') return plain(['file://']);
  return plain(enumerated(model, item));
}

/** The next member of a structure in shorthand, or the value of one that has few. */
function shorthand(
  model: Model,
  members: ReadonlyMap<string, { readonly type: string; readonly enum?: string }>,
  current: string,
): readonly Completion[] {
  // What is nested is not told apart.
  if (/[{[]/.test(current)) return [];
  const value = /^(.*?)([^,=]+)=([^,=]*)$/.exec(current);
  if (value !== null) {
    const [, before = '', name = ''] = value;
    const member = members.get(name);
    const values = member?.enum === undefined ? [] : [...(model.enums.get(member.enum) ?? [])];
    return plain(values.map((one) => `${before}${name}=${one}`));
  }
  const before = current.slice(0, current.lastIndexOf(',') + 1);
  return plain([...members.keys()].filter((name) => !before.includes(`${name}=`)).map((name) => `${before}${name}=`));
}
