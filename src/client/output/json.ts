import type { Document, DocumentRecord } from '#client/command.ts';
import { WholeFloat } from '#client/whole-float.ts';
import type { OutputStream } from './output-stream.ts';
import { numberText } from '#client/python-text.ts';

const INDENT = '    ';

/**
 * `--output json`: four blanks for each level, members in the document's order, characters as they are.
 * An empty document prints nothing: many operations have no reply.
 */
export async function writeJson(document: Document, output: OutputStream): Promise<void> {
  if (isRecord(document) && Object.keys(document).length === 0) return;
  await writeValue(document, '\n', output);
  output.write('\n');
}

/** `lineEnd`: a line feed and the indentation of the line on which the value ends. */
async function writeValue(document: Document, lineEnd: string, output: OutputStream): Promise<void> {
  const scalar = jsonScalar(document);
  if (scalar !== null) output.write(scalar);
  else if (isList(document)) await writeList(document, lineEnd, output);
  else if (isRecord(document)) await writeRecord(document, lineEnd, output);
  if (output.full) await output.flush();
}

async function writeList(list: readonly Document[], lineEnd: string, output: OutputStream): Promise<void> {
  if (list.length === 0) return output.write('[]');
  const inner = lineEnd + INDENT;
  let before = `[${inner}`;
  for (const item of list) {
    output.write(before);
    await writeValue(item, inner, output);
    before = `,${inner}`;
  }
  output.write(`${lineEnd}]`);
}

async function writeRecord(record: DocumentRecord, lineEnd: string, output: OutputStream): Promise<void> {
  const inner = lineEnd + INDENT;
  let before = `{${inner}`;
  for (const [name, value] of Object.entries(record)) {
    output.write(`${before}${JSON.stringify(name)}: `);
    await writeValue(value, inner, output);
    before = `,${inner}`;
  }
  output.write(before.startsWith('{') ? '{}' : `${lineEnd}}`);
}

/** A scalar as JSON; null where the document is a list or a record. */
export function jsonScalar(document: Document): string | null {
  if (document === null) return 'null';
  if (typeof document === 'string') return JSON.stringify(document);
  if (typeof document === 'boolean') return document ? 'true' : 'false';
  if (typeof document === 'number' || typeof document === 'bigint' || document instanceof WholeFloat) {
    return jsonNumber(document);
  }
  return null;
}

function jsonNumber(number: number | bigint | WholeFloat): string {
  const text = numberText(number);
  // As Python writes what JSON has no word for.
  if (text === 'nan') return 'NaN';
  return text.replace('inf', 'Infinity');
}

export function isList(document: Document): document is readonly Document[] {
  return Array.isArray(document);
}

export function isRecord(document: Document): document is DocumentRecord {
  return (
    typeof document === 'object' && document !== null && !Array.isArray(document) && !(document instanceof WholeFloat)
  );
}
