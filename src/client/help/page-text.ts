/** A page as lines for a terminal: broken at 78 columns, left-aligned. */
import { MARGIN, WIDTH, type Block, type Page } from './page.ts';

const BOLD = '\u001B[1m';
const PLAIN = '\u001B[0m';

/** `bold`: headings, options and names of members stand out, by the escapes of a terminal. */
export function pageText(page: Page, bold: boolean): string {
  const strong = (text: string): string => (bold ? `${BOLD}${text}${PLAIN}` : text);
  const lines = [titleLine(page.title), '', '', ''];
  for (const section of page.sections) {
    lines.push(strong(section.heading));
    section.blocks.forEach((block, index) => {
      if (index > 0 && !block.tight) lines.push('');
      lines.push(...blockLines(block, strong));
    });
    lines.push('');
  }
  lines.push('', '', page.title.padStart(WIDTH));
  return `${lines.join('\n')}\n`;
}

function titleLine(title: string): string {
  return `${title}${title.padStart(WIDTH - title.length)}`;
}

function blockLines(block: Block, strong: (text: string) => string): readonly string[] {
  const pad = ' '.repeat(MARGIN + block.indent);
  if (block.kind === 'verbatim') return block.text.split('\n').map((line) => (line === '' ? '' : `${pad}${line}`));
  if (block.kind === 'term') return wrapped(block.text, WIDTH - pad.length).map((line) => `${pad}${strong(line)}`);
  const mark = block.kind === 'bullet' ? (/^\S+ /.exec(block.text)?.[0] ?? '') : '';
  const hanging = ' '.repeat(mark.length);
  const lines = wrapped(block.text.slice(mark.length), WIDTH - pad.length - mark.length);
  return lines.map((line, index) => `${pad}${index === 0 ? mark : hanging}${line}`);
}

/** Breaks at blanks alone: a longer word has a line of its own. */
export function wrapped(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line === '') line = word;
    else if (line.length + 1 + word.length <= width) line += ` ${word}`;
    else {
      lines.push(line);
      line = word;
    }
  }
  return [...lines, line];
}
