/** What the API reference says of a service, an operation, a structure and a member: distilled by scripts/model, read only by help. */
import { readFileSync } from 'node:fs';
import type { Document, DocumentRecord } from '#client/command.ts';
import type { ServiceName } from '#wire/aws/operations.ts';

/** Texts are HTML of a few tags (p, ul, ol, li, code, a, i, b, note, important, dl), blanks collapsed. */
export interface DocumentationFile {
  readonly notice: string;
  readonly service: string;
  readonly operations: Readonly<Record<string, OperationDocumentation>>;
  /** By structure: its own text under the empty name, those of its members under theirs. */
  readonly shapes: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

export interface OperationDocumentation {
  readonly text: string;
  readonly examples?: readonly ApiExample[];
}

/** An example of the API reference, in values. */
export interface ApiExample {
  readonly title: string;
  readonly text: string;
  readonly input: DocumentRecord;
  /** Null: it answers nothing. */
  readonly output: DocumentRecord | null;
}

/** An example of a command line, written for it. */
export interface CommandExample {
  readonly title: string;
  readonly text: string;
  /** Words after `varve`, as a shell reads them, one option to an item. */
  readonly command: readonly string[];
  readonly output?: Document;
}

const loaded = new Map<ServiceName, DocumentationFile>();

/** Parsed at its first use (some milliseconds). */
export function loadDocumentation(service: ServiceName): DocumentationFile {
  const known = loaded.get(service);
  if (known !== undefined) return known;
  const url = new URL(`../../wire/aws/docs/${service}.json`, import.meta.url);
  const file = JSON.parse(readFileSync(url, 'utf8')) as DocumentationFile;
  loaded.set(service, file);
  return file;
}
