import type { OutputStream } from './output-stream.ts';
import type { TableOptions } from './table.ts';
import type { TableSection } from './table-section.ts';
import { textColumns } from './table-width.ts';

const BRIGHT_BLUE = '\u001b[1m\u001b[34m';
const DIM_YELLOW = '\u001b[2m\u001b[33m';
const RESET = '\u001b[0m';

/** How texts are coloured. The AWS command line ends each piece that it writes with a reset. */
interface Style {
  readonly cell: (text: string) => string;
  readonly edge: string;
  readonly end: string;
}

const PLAIN: Style = { cell: (text) => text, edge: '|', end: '' };
const COLOURED: Style = {
  cell: (text) => `${BRIGHT_BLUE}${text}${RESET}`,
  edge: `${DIM_YELLOW}|${RESET}`,
  end: RESET,
};

/** Draws sections one under the other, all as wide as the widest; turned where that is wider than the terminal. */
export async function renderTable(
  sections: readonly TableSection[],
  output: OutputStream,
  options: Omit<TableOptions, 'title'>,
): Promise<void> {
  const shown = widest(sections) > options.columns ? sections.map((section) => section.turned()) : sections;
  const width = widest(shown);
  const style = options.coloured ? COLOURED : PLAIN;
  output.write(`${'-'.repeat(width)}\n${style.end}`);
  for (const section of shown) {
    for (const line of lines(section, width - 2 * section.level, style)) {
      const edges = style.edge.repeat(section.level) + style.end;
      output.write(`${edges}${line}${style.end}${edges}\n${style.end}`);
      if (output.full) await output.flush();
    }
  }
}

function widest(sections: readonly TableSection[]): number {
  return sections.reduce((width, section) => Math.max(width, section.totalWidth), 0);
}

function* lines(section: TableSection, width: number, style: Style): Generator<string> {
  if (section.title !== null && section.title !== '') {
    yield centred(section.title, section.title, width, '|');
    if (section.headers.length === 0 && section.rows.length === 0) yield `+${'-'.repeat(Math.max(0, width - 2))}+`;
  }
  const widths = section.cellWidths(width);
  if (section.headers.length > 0) {
    yield rule(widths);
    yield cells(section.headers, widths, (text, cell, edge) => centred(text, text, cell, edge));
  }
  if (section.rows.length === 0 || widths.length === 0) return;
  yield rule(widths);
  for (const row of section.rows) {
    yield cells(row, widths, (text, cell, edge) => leftAligned(text, style.cell(text), cell, edge));
  }
  yield rule(widths);
}

/** A line of cells; only the first has an edge at its left. */
function cells(
  texts: readonly string[],
  widths: readonly number[],
  draw: (text: string, width: number, edge: string) => string,
): string {
  return widths
    .slice(0, texts.length)
    .map((width, index) => draw(texts[index] ?? '', width, index === 0 ? '|' : ''))
    .join('');
}

function rule(widths: readonly number[]): string {
  return widths
    .map((width, index) =>
      index === 0 ? `+${'-'.repeat(Math.max(0, width - 2))}+` : `${'-'.repeat(Math.max(0, width - 1))}+`,
    )
    .join('');
}

/** `shown` in the middle of `width` columns; `text` is what of it takes columns. */
function centred(text: string, shown: string, width: number, leftEdge: string): string {
  const columns = textColumns(text);
  const before = Math.floor(width / 2) - Math.floor(columns / 2) - 1;
  const used = leftEdge.length + before + columns;
  return `${leftEdge}${blanks(before)}${shown}${blanks(width - 1 - used)}|`;
}

/** `shown` after two blanks, or none where the cell is too narrow for them. */
function leftAligned(text: string, shown: string, width: number, leftEdge: string): string {
  const columns = textColumns(text);
  const padding = width - (columns + 2 + leftEdge.length + 1) >= 0 ? 2 : 0;
  const used = leftEdge.length + padding + columns;
  return `${leftEdge}${blanks(padding)}${shown}${blanks(width - used - 1)}|`;
}

function blanks(count: number): string {
  return ' '.repeat(Math.max(0, count));
}
