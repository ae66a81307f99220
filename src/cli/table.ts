/** One column of a table that is printed. */
export interface Column<R> {
  readonly heading: string;
  readonly cell: (row: R) => string;
  /** Numbers are set to the right. */
  readonly isNumber?: boolean;
}

/** The lines of a table with its headings; columns as wide as they must be. */
export function tableLines<R>(columns: readonly Column<R>[], rows: readonly R[]): readonly string[] {
  const cells = [columns.map(({ heading }) => heading), ...rows.map((row) => columns.map(({ cell }) => cell(row)))];
  // There may be more rows than a call can have arguments.
  const widths = columns.map((_, index) => cells.reduce((most, line) => Math.max(most, (line[index] ?? '').length), 0));
  return cells.map((line) =>
    line
      .map((text, index) => {
        const width = widths[index] ?? 0;
        return columns[index]?.isNumber === true ? text.padStart(width) : text.padEnd(width);
      })
      .join('  ')
      .trimEnd(),
  );
}

/** What users wrote must not steer a terminal. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}|\p{Cf}/gu, '\uFFFD');
}
