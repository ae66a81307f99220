import { ClientError, type Document, type DocumentRecord } from '#client/command.ts';
import { isList, isRecord } from './json.ts';
import type { OutputStream } from './output-stream.ts';
import { compareText, pythonText, pythonTypeOf } from '#client/python-text.ts';

/**
 * `--output text`: a line for each record, its scalars in the order of their names between tabs, after the name of the
 * member that holds it in capitals; then what it holds, in the order of names.
 * Throws ClientError where a list holds records and other things, as the AWS command line fails then.
 */
export async function writeText(document: Document, output: OutputStream): Promise<void> {
  await writeItem(document, null, null, output);
}

/** `label`: the name under which the item stands. `columns`: the scalar members of all records of the item's list. */
async function writeItem(
  item: Document,
  label: string | null,
  columns: readonly string[] | null,
  output: OutputStream,
): Promise<void> {
  if (isRecord(item)) await writeRecord(item, label, columns, output);
  else if (isList(item)) await writeList(item, label, output);
  else output.write(`${pythonText(item)}\n`);
  if (output.full) await output.flush();
}

async function writeList(list: readonly Document[], label: string | null, output: OutputStream): Promise<void> {
  if (list.length === 0) return;
  if (list.some(isRecord)) {
    const columns = scalarNames(list);
    for (const item of list) await writeItem(item, label, columns, output);
    return;
  }
  const scalars = list.filter(isScalar);
  if (scalars.length > 0) writeScalars(scalars, label, output);
  for (const item of list) if (!isScalar(item)) await writeItem(item, label, null, output);
}

function writeScalars(scalars: readonly Document[], label: string | null, output: OutputStream): void {
  if (label === null) output.write(`${scalars.map(pythonText).join('\t')}\n`);
  else for (const scalar of scalars) output.write(`${label.toUpperCase()}\t${pythonText(scalar)}\n`);
}

async function writeRecord(
  record: DocumentRecord,
  label: string | null,
  columns: readonly string[] | null,
  output: OutputStream,
): Promise<void> {
  const names = Object.keys(record).toSorted(compareText);
  const shown = columns ?? names.filter((name) => isScalar(record[name] ?? null));
  if (shown.length > 0) {
    const values = shown.map((name) => (Object.hasOwn(record, name) ? pythonText(record[name] ?? null) : ''));
    output.write(`${(label === null ? values : [label.toUpperCase(), ...values]).join('\t')}\n`);
  }
  const skipped = new Set(shown);
  for (const name of names) if (!skipped.has(name)) await writeItem(record[name] ?? null, name, null, output);
}

function scalarNames(list: readonly Document[]): readonly string[] {
  const names = new Set<string>();
  for (const item of list) {
    if (!isRecord(item)) {
      throw new ClientError(`\n'${pythonTypeOf(item)}' object has no attribute 'items'\n`, 255);
    }
    for (const [name, value] of Object.entries(item)) if (isScalar(value)) names.add(name);
  }
  return [...names].toSorted(compareText);
}

export function isScalar(document: Document): boolean {
  return !isList(document) && !isRecord(document);
}
