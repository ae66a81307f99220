/** Distils the documentation of a package's `.d.ts` files: what the operations and shapes of a model say of themselves. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runInNewContext } from 'node:vm';
import type { ApiExample, DocumentationFile, OperationDocumentation } from '#src/client/help/documentation.ts';
import type { ModelFile } from '#wire/aws/model.ts';

/** A comment, what stands behind its star; and a declaration that follows it at once. */
const COMMENT = String.raw`/\*\*\n((?: *\*(?!/).*\n)*?) *\*/\n`;
const STRUCTURE = new RegExp(
  String.raw`(?:${COMMENT})?export (?:interface|declare class) (\w+)[^{\n]*\{\n([^]*?)^\}`,
  'gm',
);
const MEMBER = new RegExp(String.raw`^ {4}${COMMENT} {4}(\w+)\??: `, 'gm');
const CLIENT = new RegExp(String.raw`${COMMENT}export declare class \w+Client extends `);
const COMMAND = new RegExp(String.raw`${COMMENT}export declare class \w+Command extends `);
/** A member of a union, which is declared as an interface of its own. */
const UNION_MEMBER = new RegExp(String.raw`^ {4}${COMMENT} {4}interface (\w+)Member \{`, 'gm');
const UNION = /^export declare namespace (\w+) \{\n([^]*?)^\}/gm;

export interface DocumentsInput {
  readonly model: ModelFile;
  readonly packageName: string;
  readonly packageDirectory: string;
}

export function distilDocuments({ model, packageName, packageDirectory }: DocumentsInput): DocumentationFile {
  const types = join(packageDirectory, 'dist-types');
  const shapes = shapeTexts(join(types, 'models'), model);
  const operations: Record<string, OperationDocumentation> = {};
  for (const name of Object.keys(model.operations)) {
    operations[name] = operationText(readFileSync(join(types, 'commands', `${name}Command.d.ts`), 'utf8'));
  }
  return {
    notice:
      `Derived from ${packageName}, ` +
      'Copyright Amazon.com, Inc. or its affiliates, licensed under the Apache License 2.0. ' +
      'Changed: distilled by scripts/model/build.ts, abbreviations restored.',
    service: serviceText(types),
    operations,
    shapes,
  };
}

function serviceText(types: string): string {
  const file = readdirSync(types).find((name) => /^\w+Client\.d\.ts$/.test(name)) ?? '';
  return html(CLIENT.exec(readFileSync(join(types, file), 'utf8'))?.[1] ?? '');
}

function shapeTexts(directory: string, model: ModelFile): DocumentationFile['shapes'] {
  const found = new Map<string, Record<string, string>>();
  for (const file of readdirSync(directory).sort()) {
    const text = readFileSync(join(directory, file), 'utf8');
    for (const [, comment = '', name = '', body = ''] of text.matchAll(STRUCTURE)) {
      found.set(name, { ...found.get(name), ...own(comment), ...membersOf(body.matchAll(MEMBER)) });
    }
    for (const [, name = '', body = ''] of text.matchAll(UNION)) {
      found.set(name, {
        ...found.get(name),
        ...own(unionComment(text, name)),
        ...membersOf(body.matchAll(UNION_MEMBER)),
      });
    }
  }
  const shapes: Record<string, Record<string, string>> = {};
  for (const [name, shape] of Object.entries(model.shapes)) {
    if (shape.kind !== 'structure') continue;
    const texts = found.get(name) ?? found.get(`_${name}`) ?? {};
    const known = Object.entries(texts).filter(([member]) => member === '' || Object.hasOwn(shape.members, member));
    if (known.length > 0) shapes[name] = Object.fromEntries(known);
  }
  return shapes;
}

function unionComment(text: string, name: string): string {
  return new RegExp(`${COMMENT}export type ${name} = `).exec(text)?.[1] ?? '';
}

function own(comment: string): Record<string, string> {
  const text = html(comment);
  return text === '' ? {} : { '': text };
}

function membersOf(matches: Iterable<readonly (string | undefined)[]>): Record<string, string> {
  const texts: Record<string, string> = {};
  for (const [, comment = '', name = ''] of matches) {
    const text = html(comment);
    if (text !== '') texts[name] = text;
  }
  return texts;
}

function operationText(file: string): OperationDocumentation {
  const comment = COMMAND.exec(file)?.[1] ?? '';
  const examples = examplesIn(comment);
  return { text: html(comment), ...(examples.length > 0 && { examples }) };
}

/** The lines of a comment without their stars, up to its first tag (`@public`, `@example`), as one line of HTML. */
function html(comment: string): string {
  return restoreAbbreviations(
    plain(comment)
      .replace(/^@[^]*|\n@[^]*/, '')
      .replace(/\{@link (?:\w+ \| )?(\w+)\}/g, '$1')
      .replace(/\\([{}<])/g, '$1')
      .replace(/\s+/g, ' ')
      .replace(/> (?=<(?:p|ul|li|note|important|\/li|\/ul|\/note|\/important|dl|dt|dd|\/d.)\b)/g, '>')
      .trim(),
  );
}

function plain(comment: string): string {
  return comment.replace(/^ *\* ?/gm, '').replaceAll('*\\/', '*/');
}

/**
 * Lightsail's reference gives many values "(e.g., my-disk)", of which the packages kept "(my-disk)". Only what is
 * certainly an example is taken for one: a Region's code in brackets explains a name.
 */
function restoreAbbreviations(text: string): string {
  return text.replace(
    /\((<code>(?:my-|mysite|Disk-|Debian-|Amazon_Linux-|amazon_linux|micro|nano|medium|Micro|t2\.|1479\d+\.\d+<|us-east-2a|LightsailDefaultKeyPair|arn:aws:lightsail|ns-111|ec2-user|\/dev\/xvdf|StaticIP-Ohio)[^<]*(?:<\/code>\)|\/code>\)))/g,
    '(e.g., $1',
  );
}

const EXAMPLE =
  /^@example (.+)\n```javascript\n((?:\/\/(?:(?!@example)[^])*?)?)^const input = ([^]*?);\nconst command = [^]*?\/\* response is\n([^]*?)\n\*\/\n```/gm;

/** Throws where an example is of another form, rather than lose it. */
function examplesIn(comment: string): readonly ApiExample[] {
  const text = plain(comment);
  const found = [...text.matchAll(EXAMPLE)].map(([, title = '', words = '', input = '', output = '']) => ({
    title: title.trim(),
    text: words
      .replace(/^\/\/ ?/gm, '')
      .replace(/\s+/g, ' ')
      .trim(),
    input: literal(input) ?? {},
    output: literal(output),
  }));
  const titles = [...text.matchAll(/^@example \S/gm)];
  if (titles.length !== found.length)
    throw new Error(`${titles.length} examples, of which ${found.length} can be read`);
  return found;
}

/** The value of a literal of the package's own text; null for an empty one. */
function literal(text: string): ApiExample['output'] {
  const value = JSON.parse(JSON.stringify(runInNewContext(`(${text})`))) as ApiExample['input'];
  return Object.keys(value).length === 0 ? null : value;
}

/** Texts by member, wherever it stands, and by `Structure.member` where it means something else there. */
interface WrittenDocuments {
  readonly notice: string;
  readonly service: string;
  readonly operations: Readonly<Record<string, string>>;
  readonly structures: Readonly<Record<string, string>>;
  readonly members: Readonly<Record<string, string>>;
}

/** The documentation of a model that is written by hand. Throws where it lacks a text, or has one too many. */
export function writtenDocuments(model: ModelFile, path: URL): DocumentationFile {
  const written = JSON.parse(readFileSync(path, 'utf8')) as WrittenDocuments;
  const unused = new Set([
    ...Object.keys(written.members),
    ...Object.keys(written.structures),
    ...Object.keys(written.operations),
  ]);
  const take = (texts: Readonly<Record<string, string>>, ...keys: readonly string[]): string => {
    const key = keys.find((candidate) => Object.hasOwn(texts, candidate));
    if (key === undefined) throw new Error(`${model.service} lacks a text of ${keys.join(', ')}`);
    unused.delete(key);
    return `<p>${texts[key] ?? ''}</p>`;
  };
  const shapes: Record<string, Record<string, string>> = {};
  for (const [name, shape] of Object.entries(model.shapes)) {
    if (shape.kind !== 'structure') continue;
    const texts = Object.hasOwn(written.structures, name) ? { '': take(written.structures, name) } : {};
    const members = Object.keys(shape.members).map((member) => [
      member,
      take(written.members, `${name}.${member}`, member),
    ]);
    shapes[name] = { ...texts, ...Object.fromEntries(members) };
  }
  const operations = Object.keys(model.operations).map((name) => [name, { text: take(written.operations, name) }]);
  if (unused.size > 0) throw new Error(`${model.service} has no ${[...unused].join(', ')}`);
  return {
    notice: written.notice,
    service: `<p>${written.service}</p>`,
    operations: Object.fromEntries(operations) as DocumentationFile['operations'],
    shapes,
  };
}
