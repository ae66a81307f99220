import type { Document, DocumentRecord } from '#client/command.ts';
import { isList, isRecord, jsonScalar } from './json.ts';
import type { OutputStream } from './output-stream.ts';
import { compareText, numberText } from '#client/python-text.ts';
import { isScalar } from './text.ts';
import { yamlScalar, yamlSimpleKey } from './yaml-scalar.ts';

const INDENT = 2;

/**
 * `--output yaml`: block style, members in the order of their names, as the second version of the AWS command line writes it.
 * A scalar alone is written as JSON, an empty record not at all.
 */
export async function writeYaml(document: Document, output: OutputStream): Promise<void> {
  if (isRecord(document) && Object.keys(document).length === 0) return;
  if (isScalar(document)) output.write(`${jsonScalar(document) ?? ''}\n`);
  else if (isEmptyList(document)) output.write('[]\n');
  else await writeBlock(document, 0, output);
}

/** A record or list that is not empty. The line stands at `indent` already. */
async function writeBlock(document: Document, indent: number, output: OutputStream): Promise<void> {
  if (isList(document)) await writeList(document, indent, output);
  else if (isRecord(document)) await writeRecord(document, indent, output);
}

async function writeList(list: readonly Document[], indent: number, output: OutputStream): Promise<void> {
  for (const [index, item] of list.entries()) {
    output.write(`${index === 0 ? '' : ' '.repeat(indent)}- `);
    if (isBlock(item)) await writeBlock(item, indent + INDENT, output);
    else output.write(`${inline(item, indent + INDENT, indent + INDENT)}\n`);
    if (output.full) await output.flush();
  }
}

async function writeRecord(record: DocumentRecord, indent: number, output: OutputStream): Promise<void> {
  for (const [index, name] of Object.keys(record).toSorted(compareText).entries()) {
    const value = record[name] ?? null;
    if (index > 0) output.write(' '.repeat(indent));
    const key = yamlSimpleKey(name);
    if (key === null) {
      await writeLongMember(name, value, indent, output);
      continue;
    }
    output.write(`${key}:`);
    if (isBlock(value)) {
      // A list in a record stands as far out as the record.
      const inner = isList(value) ? indent : indent + INDENT;
      output.write(`\n${' '.repeat(inner)}`);
      await writeBlock(value, inner, output);
    } else {
      const column = indent + Array.from(key).length + 2;
      output.write(` ${inline(value, column, indent + INDENT)}\n`);
    }
    if (output.full) await output.flush();
  }
}

/** A member whose name is too long to stand before a colon. */
async function writeLongMember(name: string, value: Document, indent: number, output: OutputStream): Promise<void> {
  const inner = indent + INDENT;
  output.write(`? ${yamlScalar(name, { column: inner, indent: inner })}\n${' '.repeat(indent)}: `);
  if (isBlock(value)) await writeBlock(value, inner, output);
  else output.write(`${inline(value, inner, inner)}\n`);
}

/** A scalar, or what is empty. */
function inline(document: Document, column: number, indent: number): string {
  if (isList(document)) return '[]';
  if (isRecord(document)) return '{}';
  if (typeof document === 'string') return yamlScalar(document, { column, indent });
  if (document === null || typeof document === 'boolean') return String(document);
  return numberText(document).replace(/nan|inf/, '.$&');
}

function isBlock(document: Document): boolean {
  return !isScalar(document) && !isEmptyList(document) && !(isRecord(document) && Object.keys(document).length === 0);
}

function isEmptyList(document: Document): boolean {
  return isList(document) && document.length === 0;
}
