import { ClientError, type Document } from '#client/command.ts';
import { pythonText } from '#client/python-text.ts';
import { textColumns } from './table-width.ts';

/** What a cell has beside its text. */
export const CELL_PADDING = 4;

/** A part of a table: a title, names of columns, rows. Widths are columns of a terminal. */
export class TableSection {
  readonly title: string | null;
  /** How far in the section stands. */
  readonly level: number;
  readonly rows: (readonly string[])[] = [];
  #headers: readonly string[] = [];
  #columnCount: number | null = null;
  #widths: number[] = [];

  constructor(title: string | null, level: number) {
    this.title = title;
    this.level = level;
  }

  get headers(): readonly string[] {
    return this.#headers;
  }

  addHeaders(headers: readonly string[]): void {
    this.#widen(headers);
    this.#columnCount ??= headers.length;
    this.#headers = headers;
  }

  addRow(values: readonly Document[]): void {
    this.#columnCount ??= values.length;
    if (values.length !== this.#columnCount) {
      throw new ClientError(`\nRow should have ${this.#columnCount} elements, instead it has ${values.length}\n`, 255);
    }
    const row = values.map(pythonText);
    this.rows.push(row);
    this.#widen(row);
  }

  #widen(texts: readonly string[]): void {
    if (this.#widths.length === 0) {
      this.#widths = texts.map(textColumns);
      return;
    }
    if (texts.length > this.#widths.length) throw new ClientError('\nlist index out of range\n', 255);
    for (const [index, text] of texts.entries()) {
      this.#widths[index] = Math.max(this.#widths[index] ?? 0, textColumns(text));
    }
  }

  /** What the section needs, with its borders and those of the sections around it. */
  get totalWidth(): number {
    const around = 2 + 2 * this.level;
    const cells = this.#widths.reduce((sum, width) => sum + width + CELL_PADDING, 0);
    return Math.max(textColumns(pythonText(this.title)) + around, cells + around);
  }

  /** Widths of the cells, scaled so that they fill `total` to the column. */
  cellWidths(total: number): readonly number[] {
    const natural = this.#widths.map((width) => width + CELL_PADDING);
    if (natural.length === 0) return natural;
    const factor = total / natural.reduce((sum, width) => sum + width, 0);
    const widths = natural.map((width) => roundHalfEven(factor * width));
    let excess = widths.reduce((sum, width) => sum + width, 0) - total;
    // What rounding has added goes from the first cells on; what it has taken, to the last.
    while (excess !== 0) {
      const step = Math.sign(excess);
      for (let index = 0; index < widths.length && excess !== 0; index++) {
        const cell = step > 0 ? index : widths.length - 1 - index;
        widths[cell] = (widths[cell] ?? 0) - step;
        excess -= step;
      }
    }
    return widths;
  }

  /** The section with its one row standing upright; itself where it has none or more, or no names. */
  turned(): TableSection {
    const [row] = this.rows;
    if (row === undefined || this.rows.length !== 1 || this.#headers.length === 0) return this;
    const section = new TableSection(this.title, this.level);
    for (const [index, header] of this.#headers.entries()) {
      const value = row[index];
      if (value !== undefined) section.addRow([header, value]);
    }
    return section;
  }
}

/** As Python rounds: halves to the even neighbour. */
function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}
