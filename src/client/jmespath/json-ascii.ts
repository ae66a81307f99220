import type { Document } from '#client/command.ts';
import { isList, isRecord, jsonScalar } from '#client/output/json.ts';

/** JSON without blanks and with all that is not ASCII escaped: what `to_string` gives. */
export function jsonAscii(document: Document): string {
  return jsonText(document).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function jsonText(document: Document): string {
  if (isList(document)) return `[${document.map(jsonText).join(',')}]`;
  if (!isRecord(document)) return jsonScalar(document) ?? 'null';
  const members = Object.entries(document).map(([name, value]) => `${JSON.stringify(name)}:${jsonText(value)}`);
  return `{${members.join(',')}}`;
}
