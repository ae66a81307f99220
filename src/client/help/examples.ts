/** The examples of an operation: those written for the command line, else those of the API reference, as command lines. */
import { existsSync, readFileSync } from 'node:fs';
import type { Document, DocumentRecord } from '#client/command.ts';
import type { ServiceName } from '#wire/aws/operations.ts';
import type { ApiExample, CommandExample, DocumentationFile } from './documentation.ts';

/** By operation, or by waiter: the examples that are written by hand. */
export type ExampleFile = Readonly<Record<string, readonly CommandExample[]>>;

const loaded = new Map<ServiceName, ExampleFile>();

export function writtenExamples(service: ServiceName): ExampleFile {
  const known = loaded.get(service);
  if (known !== undefined) return known;
  const url = new URL(`./examples/${service}.json`, import.meta.url);
  const file = existsSync(url) ? (JSON.parse(readFileSync(url, 'utf8')) as ExampleFile) : {};
  loaded.set(service, file);
  return file;
}

export interface ExampleOf {
  readonly service: ServiceName;
  /** Of the operation or waiter, as the model names it. */
  readonly name: string;
  /** The words of the command after `varve`: `ec2 wait snapshot-completed`. */
  readonly command: readonly string[];
  readonly documentation: DocumentationFile;
  /** The option of a member of the input, with its hyphens, and its contrary; empty: it has none. */
  readonly optionOf: (member: string) => readonly string[];
}

export function examplesOf({ service, name, command, documentation, optionOf }: ExampleOf): readonly CommandExample[] {
  const written = writtenExamples(service);
  if (Object.hasOwn(written, name)) return written[name] ?? [];
  const operations = documentation.operations;
  const examples = Object.hasOwn(operations, name) ? (operations[name]?.examples ?? []) : [];
  return examples.map(({ title, text, input, output }) => {
    const words = [command.join(' '), ...optionWords(input, optionOf)];
    return output === null ? { title, text, command: words } : { title, text, command: words, output };
  });
}

function optionWords(input: ApiExample['input'], optionOf: ExampleOf['optionOf']): readonly string[] {
  return Object.entries(input).flatMap(([member, value]) => {
    const [option, opposite] = optionOf(member);
    if (option === undefined) return [];
    if (opposite === undefined) return [`${option} ${valueWords(value)}`];
    const isOn = isRecordOfValue(value) ? value['Value'] : value;
    return [isOn === true ? option : opposite];
  });
}

/** An attribute of EC2: a structure of one boolean. */
function isRecordOfValue(value: Document): value is DocumentRecord {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, 'Value');
}

/** Lists of plain values as words, everything else as JSON. */
function valueWords(value: Document): string {
  if (Array.isArray(value) && value.every((item) => typeof item === 'string' || typeof item === 'number')) {
    return value.map((item) => quoted(String(item))).join(' ');
  }
  return quoted(typeof value === 'string' ? value : JSON.stringify(value));
}

/** As a POSIX shell reads it. */
function quoted(word: string): string {
  if (/^[\w@%+=:,./-]+$/.test(word)) return word;
  return word.includes("'") && !/["$`\\!]/.test(word) ? `"${word}"` : `'${word.replaceAll("'", `'\\''`)}'`;
}
