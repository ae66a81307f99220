import { ClientError, type Document, type DocumentRecord } from '#client/command.ts';
import { WholeFloat } from '#client/whole-float.ts';
import { isList, isRecord } from './json.ts';
import type { OutputStream } from './output-stream.ts';
import { compareText, pythonTypeOf } from '#client/python-text.ts';
import { renderTable } from './table-render.ts';
import { TableSection } from './table-section.ts';
import { isScalar } from './text.ts';

export interface TableOptions {
  /** Stands over the first section. */
  readonly title: string;
  readonly coloured: boolean;
  /** A table that is wider is turned: a section of one row stands as a column of names and one of values. */
  readonly columns: number;
}

/**
 * `--output table`: a section for each record or list of records, its scalars in columns in the order of their names; what a
 * record holds follows in sections one step further in. Nothing is printed of what is empty.
 * Throws ClientError where rows of one section differ in length, as the AWS command line fails then.
 */
export async function writeTable(document: Document, output: OutputStream, options: TableOptions): Promise<void> {
  const sections = new TableBuilder().build(options.title, document);
  if (sections.length > 0) await renderTable(sections, output, options);
}

class TableBuilder {
  readonly #sections: TableSection[] = [];

  build(title: string, document: Document): TableSection[] {
    this.#add(title, document, 0);
    return this.#sections;
  }

  get #current(): TableSection {
    const section = this.#sections.at(-1);
    if (section === undefined) throw new Error('a section begins before its rows');
    return section;
  }

  /** `title` null: goes on in the current section. */
  #add(title: string | null, document: Document, level: number): void {
    if (isEmpty(document)) return;
    if (title !== null) this.#sections.push(new TableSection(title, level));
    if (isRecord(document)) this.#addRecord(document, level);
    else if (isList(document) && isRecord(document[0] ?? null)) this.#addRecords(document, title, level);
    else if (isList(document)) for (const item of document) this.#addItem(item);
  }

  /** An item of a list that does not begin with a record. */
  #addItem(item: Document): void {
    if (isScalar(item)) this.#current.addRow([item]);
    // A record among scalars shows its names.
    else if (isRecord(item)) this.#current.addRow(Object.keys(item));
    else if (isList(item) && item.every(isScalar)) this.#current.addRow(item);
    else this.#add(null, item, 0);
  }

  #addRecord(record: DocumentRecord, level: number): void {
    const { scalars, others } = namesOf([record]);
    const [only] = scalars;
    if (only !== undefined && scalars.length === 1) {
      this.#current.addRow([only, record[only] ?? null]);
    } else if (scalars.length > 0) {
      this.#current.addHeaders(scalars);
      this.#current.addRow(scalars.map((name) => record[name] ?? null));
    }
    for (const name of others) this.#add(name, record[name] ?? null, level + 1);
  }

  #addRecords(list: readonly Document[], title: string | null, level: number): void {
    const records = list.map(asRecord);
    const { scalars, others } = namesOf(records);
    this.#current.addHeaders(scalars);
    for (const [index, record] of records.entries()) {
      if (index > 0 && others.length > 0) {
        this.#sections.push(new TableSection(title, level));
        this.#current.addHeaders(scalars);
      }
      this.#current.addRow(scalars.map((name) => (Object.hasOwn(record, name) ? (record[name] ?? null) : '')));
      for (const name of others) {
        if (Object.hasOwn(record, name)) this.#add(name, record[name] ?? null, level + 1);
      }
    }
  }
}

/** The members of records that are scalars in some, and those that are not in some, each in the order of names. */
function namesOf(records: readonly DocumentRecord[]): {
  readonly scalars: readonly string[];
  readonly others: readonly string[];
} {
  const scalars = new Set<string>();
  const others = new Set<string>();
  for (const record of records) {
    for (const [name, value] of Object.entries(record)) (isScalar(value) ? scalars : others).add(name);
  }
  return { scalars: [...scalars].toSorted(compareText), others: [...others].toSorted(compareText) };
}

function isEmpty(document: Document): boolean {
  if (isList(document)) return document.length === 0;
  if (isRecord(document)) return Object.keys(document).length === 0;
  if (document instanceof WholeFloat) return document.value === 0;
  return document === null || document === false || document === '' || document === 0 || document === 0n;
}

/** A list that begins with a record must hold nothing else. */
function asRecord(item: Document): DocumentRecord {
  if (isRecord(item)) return item;
  throw new ClientError(`\n${notARecord(item)}\n`, 255);
}

function notARecord(item: Document): string {
  if (item === '' || (isList(item) && item.length === 0))
    return `'${pythonTypeOf(item)}' object has no attribute 'get'`;
  if (typeof item === 'string') return "string indices must be integers, not 'str'";
  if (isList(item)) return `list indices must be integers or slices, not ${pythonTypeOf(item[0] ?? null)}`;
  return `'${pythonTypeOf(item)}' object is not iterable`;
}
