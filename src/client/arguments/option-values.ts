/** From the words of an option to its value: text, number, JSON, shorthand, or a file to be sent. */
import { readFileSync } from 'node:fs';
import type { Surroundings } from '#client/command.ts';
import { parseJson } from './json-text.ts';
import { expandedPath, isFile, localValue } from './parameter-file.ts';
import { floatingNumber, inOrder, isList, isRecord, repr, typeName, wholeNumber, type RawValue } from './raw-value.ts';
import { parseShorthand, ShorthandError } from './shorthand.ts';
import { failure } from '#client/failure.ts';
import { parameterError } from './usage.ts';
import { entryOf, itemOf, kindOf, membersOf, type ValueModel } from './value-model.ts';

type Around = Pick<Surroundings, 'environment' | 'home'>;

/** `option`: as messages name it. Throws ClientError; LoadingError where shorthand names a file that cannot be read. */
export function optionValue(value: ValueModel, words: RawValue, option: string, around: Around): RawValue {
  if (isShorthand(value, words)) return shorthandValue(value, words, option, around);
  return plainValue(value, words, option, around);
}

/** Structures, maps and lists of these may be shorthand, unless they look like JSON. */
function isShorthand(value: ValueModel, words: RawValue): boolean {
  const kind = kindOf(value);
  if (kind.kind === 'scalar' || (kind.kind === 'list' && kindOf(itemOf(value)).kind === 'scalar')) return false;
  const first = isList(words) ? words[0] : words;
  return !(typeof first === 'string' && /^[[{]/.test(first.trim()));
}

function shorthandValue(value: ValueModel, words: RawValue, option: string, around: Around): RawValue {
  const single = valueOfOne(value);
  if (single !== null && typeof words === 'string' && !words.includes('=')) return { [single]: words };
  const parse = (word: RawValue): RawValue => {
    if (typeof word !== 'string') throw parameterError(option, `${typeName(word)} is no shorthand`);
    return parseShorthand(word, (path) => localValue(path, around));
  };
  try {
    return isList(words) ? coerced(value, words.map(parse)) : coerced(value, parse(words));
  } catch (error) {
    if (error instanceof ShorthandError) throw parameterError(option, error.message);
    throw error;
  }
}

/** Name of the only member of a structure, where that is the text Value: then the text alone does. */
function valueOfOne(value: ValueModel): string | null {
  const kind = kindOf(value);
  if (kind.kind !== 'structure' || kind.members.size !== 1) return null;
  return kind.members.get('Value')?.type === 'string' ? 'Value' : null;
}

/** Numbers and booleans in a shorthand's texts, and lists of one. What does not fit the model is left to be refused later. */
function coerced(value: ValueModel, parsed: RawValue): RawValue {
  const kind = kindOf(value);
  switch (kind.kind) {
    case 'structure': {
      if (!isRecord(parsed)) return parsed;
      const members = membersOf(value);
      return mapped(parsed, (name, item) => {
        const member = members.get(name);
        if (member === undefined) return item;
        return kindOf(member).kind === 'list' && !isList(item) ? [item] : coerced(member, item);
      });
    }
    case 'map':
      return isRecord(parsed) ? mapped(parsed, (_name, item) => listed(entryOf(value).value, item)) : parsed;
    case 'list':
      return isList(parsed) ? parsed.map((item) => listed(itemOf(value), item)) : parsed;
    case 'scalar':
      return coercedScalar(kind.type, parsed);
  }
}

function listed(value: ValueModel, item: RawValue): RawValue {
  return kindOf(value).kind === 'list' && !isList(item) ? [item] : coerced(value, item);
}

function mapped(
  record: { readonly [name: string]: RawValue },
  each: (name: string, item: RawValue) => RawValue,
): RawValue {
  return Object.fromEntries(Object.entries(record).map(([name, item]) => [name, each(name, item)]));
}

function coercedScalar(type: string, parsed: RawValue): RawValue {
  switch (type) {
    case 'integer':
    case 'long':
      return asWhole(parsed);
    case 'float':
    case 'double':
      return asFloating(parsed);
    case 'boolean': {
      if (typeof parsed !== 'string') throw failure(`'${typeName(parsed)}' object has no attribute 'lower'`);
      const lower = parsed.toLowerCase();
      return lower === 'true' ? true : lower === 'false' ? false : parsed;
    }
    default:
      return parsed;
  }
}

function plainValue(value: ValueModel, words: RawValue, option: string, around: Around): RawValue {
  const kind = kindOf(value);
  if (kind.kind === 'scalar') return scalarValue(value, words, option, around);
  if (kind.kind !== 'list') {
    const text = typeof words === 'string' ? words : '';
    if (text.trimStart().startsWith('{')) return jsonValue(text, option);
    throw parameterError(option, `Invalid JSON:\n${text}`);
  }
  const single = typeof words === 'string' ? words : isList(words) && words.length === 1 ? words[0] : null;
  if (typeof single === 'string' && single.trim().startsWith('[')) return jsonValue(single, option);
  // A text where a list is due, as a file gives it, is taken character by character.
  const items: readonly RawValue[] = typeof words === 'string' ? Array.from(words) : isList(words) ? words : [];
  const item = itemOf(value);
  const wrong = items.find((word) => kindOf(item).kind === 'scalar' && !isScalarText(item, word));
  if (wrong !== undefined) throw parameterError(option, textOrEmpty(items[0]));
  return items.map((word) => plainValue(item, word, option, around));
}

/** Whether a word of a list can be its item: what is no number makes the AWS command line complain of the first word. */
function isScalarText(item: ValueModel, word: RawValue): boolean {
  if (typeof word !== 'string') return true;
  switch (item.member.type) {
    case 'integer':
    case 'long':
      return wholeNumber(word) !== null;
    case 'float':
    case 'double':
      return floatingNumber(word) !== null;
    default:
      return true;
  }
}

function textOrEmpty(word: RawValue | undefined): string {
  return typeof word === 'string' ? word : '';
}

function scalarValue(value: ValueModel, word: RawValue, option: string, around: Around): RawValue {
  switch (value.member.type) {
    case 'integer':
    case 'long':
      return asWhole(word);
    case 'float':
    case 'double':
      return asFloating(word);
    case 'boolean':
      return typeof word === 'string' ? word.toLowerCase() !== 'false' && word !== '' : word !== null;
    case 'blob':
      return value.member.in === 'payload' ? streamedFile(word, option, around) : word;
    default:
      return word;
  }
}

/** What is sent as it is stands in a file, whose path is the value. */
function streamedFile(word: RawValue, option: string, around: Around): RawValue {
  const path = typeof word === 'string' ? expandedPath(word, around) : null;
  if (path === null || !isFile(path)) throw parameterError(option, 'Blob values must be a path to a file.');
  return readFileSync(path);
}

function asWhole(value: RawValue): RawValue {
  if (typeof value === 'number' || typeof value === 'bigint') return value;
  if (typeof value !== 'string') {
    throw failure(`int() argument must be a string, a bytes-like object or a real number, not '${typeName(value)}'`);
  }
  const number = wholeNumber(value);
  if (number === null) throw failure(`invalid literal for int() with base 10: ${repr(value)}`);
  return number;
}

function asFloating(value: RawValue): RawValue {
  if (typeof value === 'string') {
    const number = floatingNumber(value);
    if (number === null) throw failure(`could not convert string to float: ${repr(value)}`);
    return number;
  }
  if (isList(value) || isRecord(value)) {
    throw failure(`float() argument must be a string or a real number, not '${typeName(value)}'`);
  }
  return value;
}

function jsonValue(text: string, option: string): RawValue {
  try {
    return inOrder(parseJson(text));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw parameterError(option, `Invalid JSON: ${error.message}\nJSON received: ${text}`);
  }
}
