/** A page as a manual page: the man macros of troff. */
import type { Block, Page } from './page.ts';

export interface RoffOptions {
  /** Of the page: varve-ec2-create-snapshot. */
  readonly name: string;
  /** Of the program. */
  readonly version: string;
}

/** Longer words may be broken behind a slash, a hyphen and the like. */
const WORD_LENGTH_MAX = 40;

export function pageRoff(page: Page, { name, version }: RoffOptions): string {
  const lines = [
    // The whole name would leave no room for itself at both ends of the line.
    `.TH "${escaped(page.title.replace('()', ''))}" 1 "" "${escaped(`varve ${version}`)}" "Varve"`,
    // Left-aligned and without hyphenation, as the help on a terminal is.
    '.nh',
    '.ad l',
  ];
  for (const { heading, blocks } of page.sections) {
    lines.push(`.SH ${heading.includes(' ') ? `"${heading}"` : heading}`);
    // What makes lists of manual pages wants the name and the summary in this form.
    if (heading === 'NAME') lines.push(`${escaped(name)} \\- ${escaped(page.summary)}`);
    else blocks.forEach((block, index) => lines.push(...blockLines(block, index === 0)));
  }
  return `${lines.join('\n')}\n`;
}

function blockLines(block: Block, isFirst: boolean): readonly string[] {
  const inner = innerLines(block);
  const indented = block.indent === 0 ? inner : [`.RS ${block.indent}n`, ...inner, '.RE'];
  // The macro of a bullet leaves room by itself.
  return block.tight || isFirst || block.kind === 'bullet' ? ['.br', ...indented] : ['.sp', ...indented];
}

function innerLines({ kind, text }: Block): readonly string[] {
  if (kind === 'verbatim') return ['.nf', ...text.split('\n').map((line) => escaped(line)), '.fi'];
  if (kind === 'term') return [`\\fB${escaped(text)}\\fR`];
  if (kind === 'text') return [breakable(text)];
  const mark = /^\S+/.exec(text)?.[0] ?? '';
  return [`.IP ${mark === 'o' ? '\\(bu' : escaped(mark)} ${mark.length + 1}n`, breakable(text.slice(mark.length + 1))];
}

function breakable(text: string): string {
  return text
    .split(' ')
    .map((word, index) => {
      const parts = word.length > WORD_LENGTH_MAX ? word.split(/(?<=[/,=}.:-])/) : [word];
      return parts.map((part, place) => escaped(part, index + place === 0)).join('\\:');
    })
    .join(' ');
}

const CHARACTERS = new Map([
  ['\\', '\\(rs'],
  ['-', '\\-'],
  ["'", '\\(aq'],
  ['`', '\\(ga'],
  ['^', '\\(ha'],
  ['~', '\\(ti'],
  ['"', '\\(dq'],
]);

/** Every character as itself: troff makes typographic ones of some, and takes a dot that begins a line for a macro. */
function escaped(text: string, beginsLine = true): string {
  const safe = text.replaceAll(/[\\\-'`^~"]|[^\0-\x7F]/gu, (character) => {
    const known = CHARACTERS.get(character);
    if (known !== undefined) return known;
    return `\\[u${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}]`;
  });
  return beginsLine && safe.startsWith('.') ? `\\&${safe}` : safe;
}
