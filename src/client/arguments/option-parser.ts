/**
 * Splits words into options and positional words.
 *
 * The rules are those of Python's argparse, because they show: an option may be shortened as long as it is unambiguous and
 * may carry its value after `=`; what is unknown is handed on; `--` ends options; a word that begins with a hyphen is a
 * value only where it is a negative number or has a space in it.
 */
import { closeMatches } from './close-matches.ts';
import { floatingNumber, repr, wholeNumber, type RawValue } from './raw-value.ts';
import { usageError } from './usage.ts';

/** How many words an option takes. `flag`: none. */
export type Arity = 'flag' | 'one' | 'optional' | 'any';

export interface ParserOption {
  /** `--volume-id`, or a bare name: then it is positional. */
  readonly name: string;
  /** Under which the value is handed back. */
  readonly target: string;
  readonly arity: Arity;
  /** What a flag stands for, and an `optional` one without a word. */
  readonly constant?: RawValue;
  readonly type?: 'text' | 'integer' | 'float';
  readonly choices?: readonly string[];
  readonly required: boolean;
  /** Nothing after it is read, and nothing is missed. */
  readonly ends?: true;
}

export interface ParsedWords {
  /** Only what was given. */
  readonly values: ReadonlyMap<string, RawValue>;
  /** What no option takes, in its order. */
  readonly rest: readonly string[];
}

/** Throws a usage error. */
export function parseWords(options: readonly ParserOption[], words: readonly string[]): ParsedWords {
  return new Parsing(options, words).run();
}

/** A word that may be an option: which, and its value after `=`. */
interface Candidate {
  /** Null: no option is called so. */
  readonly option: ParserOption | null;
  readonly explicit: string | null;
}

type WordKind = 'option' | 'word' | 'separator';

const NEGATIVE_NUMBER = /^-\d+$|^-\d*\.\d+$/;
const SEPARATOR = '--';

class Parsing {
  readonly #options: readonly ParserOption[];
  readonly #byName: ReadonlyMap<string, ParserOption>;
  #positional: readonly ParserOption[];
  readonly #words: readonly string[];
  readonly #kinds: readonly WordKind[];
  readonly #candidates = new Map<number, Candidate>();
  readonly #values = new Map<string, RawValue>();
  readonly #seen = new Set<ParserOption>();
  readonly #rest: string[] = [];
  #ended = false;

  constructor(options: readonly ParserOption[], words: readonly string[]) {
    this.#options = options;
    this.#byName = new Map(options.filter(isOption).map((option) => [option.name, option]));
    this.#positional = options.filter((option) => !isOption(option));
    this.#words = words;
    const end = words.indexOf(SEPARATOR);
    this.#kinds = words.map((word, index) => {
      if (end !== -1 && index >= end) return index === end ? 'separator' : 'word';
      const candidate = this.#candidate(word);
      if (candidate === null) return 'word';
      this.#candidates.set(index, candidate);
      return 'option';
    });
  }

  run(): ParsedWords {
    const lastOption = this.#kinds.lastIndexOf('option');
    let index = 0;
    while (!this.#ended && index <= lastOption) {
      const next = this.#kinds.indexOf('option', index);
      if (index !== next) {
        const taken = this.#takePositional(index);
        if (taken > index) {
          index = taken;
          continue;
        }
        this.#rest.push(...this.#words.slice(index, next));
        index = next;
      }
      index = this.#takeOption(index);
    }
    if (this.#ended) return { values: this.#values, rest: [] };
    this.#rest.push(...this.#words.slice(this.#takePositional(index)));
    this.#checkRequired();
    return { values: this.#values, rest: this.#rest };
  }

  /** Null: the word is a value. */
  #candidate(word: string): Candidate | null {
    if (!word.startsWith('-')) return null;
    const exact = this.#byName.get(word);
    if (exact !== undefined) return { option: exact, explicit: null };
    if (word.length === 1) return null;
    const equals = word.indexOf('=');
    const name = equals === -1 ? word : word.slice(0, equals);
    const explicit = equals === -1 ? null : word.slice(equals + 1);
    const named = this.#byName.get(name);
    if (named !== undefined) return { option: named, explicit };
    const longer = name.startsWith('--') ? [...this.#byName.keys()].filter((full) => full.startsWith(name)) : [];
    if (longer.length > 1) throw usageError(`ambiguous option: ${word} could match ${longer.join(', ')}`);
    if (longer[0] !== undefined) return { option: this.#byName.get(longer[0]) ?? null, explicit };
    if (NEGATIVE_NUMBER.test(word) || word.includes(' ')) return null;
    return { option: null, explicit: null };
  }

  /** Index of the word after the option and its values. */
  #takeOption(index: number): number {
    const candidate = this.#candidates.get(index);
    if (candidate === undefined || candidate.option === null) {
      this.#rest.push(this.#words[index] ?? '');
      return index + 1;
    }
    const { option, explicit } = candidate;
    if (explicit !== null) {
      if (option.arity === 'flag') throw argumentError(option, `ignored explicit argument ${repr(explicit)}`);
      this.#take(option, [explicit]);
      return index + 1;
    }
    const count = this.#wordsFrom(index + 1, option.arity);
    if (count === null) throw argumentError(option, 'expected one argument');
    const end = index + 1 + count;
    this.#take(option, this.#words.slice(index + 1, end));
    return end;
  }

  /** How many words an option takes; null: it lacks one. */
  #wordsFrom(start: number, arity: Arity): number | null {
    let count = 0;
    const most = arity === 'flag' ? 0 : arity === 'any' ? Infinity : 1;
    while (count < most && this.#kinds[start + count] === 'word') count += 1;
    return arity === 'one' && count === 0 ? null : count;
  }

  /** Gives as many positional options as possible their words; index of the word after these. */
  #takePositional(start: number): number {
    let index = start;
    let taken = 0;
    for (const option of this.#positional) {
      const words: string[] = [];
      let end = index;
      while (this.#kinds[end] === 'separator') end += 1;
      if (this.#kinds[end] === 'word') {
        words.push(this.#words[end] ?? '');
        end += 1;
        while (this.#kinds[end] === 'separator') end += 1;
      } else if (option.arity === 'one') break;
      this.#take(option, words);
      index = end;
      taken += 1;
    }
    this.#positional = this.#positional.slice(taken);
    return index;
  }

  #take(option: ParserOption, words: readonly string[]): void {
    this.#seen.add(option);
    this.#ended ||= option.ends === true;
    const values = words.map((word) => typed(option, word));
    if (option.arity === 'any') this.#values.set(option.target, values);
    else if (values[0] !== undefined) this.#values.set(option.target, values[0]);
    else if (isOption(option)) this.#values.set(option.target, option.constant ?? null);
  }

  #checkRequired(): void {
    const missing = this.#options.filter((option) => option.required && !this.#seen.has(option));
    if (missing.length === 0) return;
    throw usageError(`the following arguments are required: ${missing.map(({ name }) => name).join(', ')}`);
  }
}

function isOption(option: ParserOption): boolean {
  return option.name.startsWith('-');
}

function argumentError(option: ParserOption, message: string): Error {
  return usageError(`argument ${option.name}: ${message}`);
}

function typed(option: ParserOption, word: string): RawValue {
  if (option.type === 'integer') {
    const number = wholeNumber(word);
    if (number === null) throw argumentError(option, `invalid int value: ${repr(word)}`);
    return number;
  }
  if (option.type === 'float') {
    const number = floatingNumber(word);
    if (number === null) throw argumentError(option, `invalid float value: ${repr(word)}`);
    return number;
  }
  if (option.choices !== undefined && !option.choices.includes(word)) {
    throw argumentError(option, invalidChoice(word, option.choices));
  }
  return word;
}

function invalidChoice(word: string, choices: readonly string[]): string {
  const lines: string[] = [];
  for (let index = 0; index < choices.length; index += 2) {
    lines.push(
      choices
        .slice(index, index + 2)
        .map((choice) => choice.padEnd(40))
        .join(' | '),
    );
  }
  const near = closeMatches(word, choices);
  const hint =
    near.length === 0
      ? []
      : [`\n\nInvalid choice: ${repr(word)}, maybe you meant:\n`, ...near.map((name) => `  * ${name}`)];
  return ['Invalid choice, valid choices are:\n', ...lines, ...hint].join('\n');
}
