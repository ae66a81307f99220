/** The page of an operation: the sections of the AWS command line's own, in their order. */
import type { Model } from '#wire/aws/model.ts';
import type { CommandExample } from './documentation.ts';
import { globalSynopsis, GLOBAL_OPTIONS } from './global-options.ts';
import { addHtml, firstSentence } from './html.ts';
import { addConstraints, addNested, type Reference } from './member-blocks.ts';
import type { HelpOption } from './options.ts';
import { Blocks, levelIndent, type Page, type Section } from './page.ts';
import { syntaxesOf } from './syntax.ts';
import { typeName, valuesOf } from './value-names.ts';

/** Columns at which examples, syntaxes and synopses stand within their section. */
const CODE_INDENT = 3;

export interface OperationPage {
  readonly reference: Reference;
  /** The last word of the command: create-disk-snapshot. */
  readonly name: string;
  /** HTML. */
  readonly description: string;
  readonly options: readonly HelpOption[];
  /** Lists that the pages of the reply share out, as `--query` names them; empty: it answers at once. */
  readonly pagedLists: readonly string[];
  readonly examples: readonly CommandExample[];
  /** Name of a structure; null: it answers nothing. */
  readonly output: string | null;
}

export function operationPage(page: OperationPage): Page {
  const sections: readonly Section[] = [
    section('NAME', (blocks) => blocks.text(0, `${page.name} -`)),
    section('DESCRIPTION', (blocks) => addDescription(blocks, page)),
    section('SYNOPSIS', (blocks) => blocks.verbatim(CODE_INDENT, synopsis(page))),
    section('OPTIONS', (blocks) => addOptions(blocks, page)),
    section('GLOBAL OPTIONS', addGlobalOptions),
    ...(page.examples.length === 0 ? [] : [section('EXAMPLES', (blocks) => addExamples(blocks, page.examples))]),
    section('OUTPUT', (blocks) => addOutput(blocks, page)),
  ];
  return { title: `${page.name.toUpperCase()}()`, summary: firstSentence(page.description), sections };
}

export function section(heading: string, fill: (blocks: Blocks) => void): Section {
  const blocks = new Blocks();
  fill(blocks);
  return { heading, blocks: blocks.blocks };
}

function addDescription(blocks: Blocks, { name, description, pagedLists }: OperationPage): void {
  addHtml(blocks, 0, description);
  blocks.text(0, 'See also: AWS API Documentation');
  if (pagedLists.length > 0) {
    blocks.text(
      0,
      `${name} answers in pages, of which the command asks for one after the other, and puts them together; ` +
        '--no-paginate ends that. With --output text each page is printed, and --query is applied to it, by itself: ' +
        `an expression should take its data from ${pagedLists.join(', ')}.`,
    );
  }
  blocks.text(0, "See 'varve help' for descriptions of global parameters.");
}

function synopsis({ name, options }: OperationPage): string {
  const own = options.map((option) => {
    const words = option.isPositional
      ? `<${option.names.join('')}>`
      : option.names.length > 1
        ? option.names.join(' | ')
        : `${option.names.join('')} <value>`;
    return option.isRequired ? words : `[${words}]`;
  });
  return [`  ${name}`, ...own, ...globalSynopsis()].join('\n');
}

function addOptions(blocks: Blocks, { options, reference }: OperationPage): void {
  if (options.length === 0) blocks.text(0, 'None');
  for (const option of options) addOption(blocks, reference, option);
}

function addOption(blocks: Blocks, reference: Reference, option: HelpOption): void {
  const { model } = reference;
  const heading = `${option.names.join(' | ')} (${option.type})`;
  blocks.term(0, heading);
  addHtml(blocks, 1, option.text);
  if (option.member === null) return;
  addOptionNotes(blocks, model, option);
  addNested(blocks, reference, 1, option.member.type);
  for (const { title, text } of syntaxesOf(model, option.member)) {
    blocks.apart();
    blocks.text(0, title);
    blocks.verbatim(CODE_INDENT, text);
  }
  blocks.apart();
}

function addOptionNotes(blocks: Blocks, model: Model, { member, type }: HelpOption): void {
  if (member === null) return;
  const indent = levelIndent(1);
  if (type === typeName(model, member) && type === 'streaming blob') {
    blocks.term(indent, 'NOTE:');
    blocks.text(
      levelIndent(2),
      'This argument is of type: streaming blob. Its value must be the path to a file (e.g. path/to/file) and must not ' +
        'be prefixed with file:// or fileb://',
    );
  }
  addConstraints(blocks, 1, member);
  const values = valuesOf(model, member);
  if (values.length === 0) return;
  blocks.text(indent, 'Possible values:');
  for (const value of values) blocks.bullet(indent, `o ${value}`);
}

export function addGlobalOptions(blocks: Blocks): void {
  for (const { name, type, text, choices } of GLOBAL_OPTIONS) {
    blocks.term(0, `${name} (${type})`);
    blocks.apart();
    blocks.text(0, text);
    for (const choice of choices) blocks.bullet(0, `o ${choice}`);
  }
}

function addExamples(blocks: Blocks, examples: readonly CommandExample[]): void {
  blocks.term(0, 'NOTE:');
  blocks.text(
    levelIndent(1),
    'The names and IDs of the examples are made up. With a server of Varve on this computer they need no configuration: ' +
      'its credentials and its address are found where none others are given.',
  );
  blocks.text(
    levelIndent(1),
    "Unless otherwise stated, all examples have unix-like quotation rules. These examples will need to be adapted to your terminal's quoting rules.",
  );
  examples.forEach((example, index) => {
    const number = examples.length > 1 ? `Example ${index + 1}: ` : '';
    blocks.term(0, `${number}${example.title}`);
    blocks.apart();
    if (example.text !== '') addHtml(blocks, 0, example.text.replaceAll('``', ''));
    blocks.verbatim(CODE_INDENT, commandLine(example.command));
    if (example.output === undefined) return;
    blocks.text(0, 'Output:');
    blocks.verbatim(CODE_INDENT, JSON.stringify(example.output, null, 4));
  });
}

/** One option to a line, but for a short command. */
export function commandLine(words: readonly string[]): string {
  const line = `varve ${words.join(' ')}`;
  return line.length <= 60 ? line : `varve ${words.join(' \\\n    ')}`;
}

function addOutput(blocks: Blocks, { output, reference }: OperationPage): void {
  if (output !== null) addNested(blocks, reference, 0, output);
  if (blocks.blocks.length === 0) blocks.text(0, 'None');
}
