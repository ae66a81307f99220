/**
 * Replies as the AWS command line hands them to its printers. What answers in pages is asked page by page; `--max-items` counts
 * the items of the first result key and leaves a token that says where to go on: base64 of the service's token and of how many
 * items of that page were printed already.
 */
import type { Call, Document, DocumentRecord, InputRecord, Reply } from '#client/command.ts';
import { structureOf } from '#wire/aws/model.ts';
import type { Caller } from './caller.ts';
import { failure } from '#client/failure.ts';
import type { Paginator } from './paginators.ts';

/** What was answered at once. */
export class WholeReply implements Reply {
  readonly paged = false;
  readonly #document: DocumentRecord;

  constructor(document: DocumentRecord) {
    this.#document = document;
  }

  readonly whole = async (): Promise<DocumentRecord> => Promise.resolve(this.#document);

  readonly pages = (): AsyncIterable<DocumentRecord> => oneOf(this.#document);

  readonly resumeToken = (): string | null => null;
}

async function* oneOf(document: DocumentRecord): AsyncIterable<DocumentRecord> {
  yield await Promise.resolve(document);
}

/** Where to go on: the service's token, and items of its page that were seen. */
interface Position {
  readonly token: string | null;
  readonly seen: number;
}

export class PagedReply implements Reply {
  readonly paged = true;
  readonly #caller: Caller;
  readonly #call: Call;
  readonly #paginator: Paginator;
  #resumeToken: string | null = null;

  constructor(caller: Caller, call: Call, paginator: Paginator) {
    this.#caller = caller;
    this.#call = call;
    this.#paginator = paginator;
  }

  /** The lists of all pages joined; other members of a page are left out, as by the AWS command line. */
  readonly whole = async (): Promise<DocumentRecord> => {
    const whole: Record<string, Document> = {};
    const lists = new Map<string, Document[]>();
    for await (const page of this.#responses()) {
      for (const key of this.#paginator.resultKeys) {
        const value = page[key] ?? null;
        if (value === null) continue;
        const before = lists.get(key);
        if (!Array.isArray(value)) whole[key] = value;
        else if (before !== undefined) for (const item of value as Document[]) before.push(item);
        else {
          const list = [...(value as Document[])];
          lists.set(key, list);
          whole[key] = list;
        }
      }
    }
    if (this.#resumeToken !== null) whole['NextToken'] = this.#resumeToken;
    return whole;
  };

  readonly pages = async function* (this: PagedReply): AsyncIterable<DocumentRecord> {
    for await (const page of this.#responses()) {
      yield Object.fromEntries(this.#paginator.resultKeys.map((key) => [key, page[key] ?? null]));
    }
  }.bind(this);

  readonly resumeToken = (): string | null => this.#resumeToken;

  async *#responses(): AsyncIterable<DocumentRecord> {
    const { maxItems, startingToken } = this.#call.paging;
    const { inputToken, resultKeys } = this.#paginator;
    const start = startingToken === null ? null : positionOf(startingToken, inputToken);
    let position: Position = start ?? { token: null, seen: 0 };
    let asked: string | null = null;
    let input = this.#firstInput(start);
    for (let items = 0, isFirst = true; ; isFirst = false) {
      const response = await this.#caller.call(this.#call.operation, input);
      const page = isFirst && start !== null ? this.#withoutSeen(response, start.seen) : response;
      const list = itemsOf(page[resultKeys[0]]);
      const excess = maxItems === null ? 0 : items + list.length - maxItems;
      if (excess > 0) {
        const kept = list.length - excess;
        const seen = kept + (isFirst ? position.seen : 0);
        this.#resumeToken = tokenOf(inputToken, { token: position.token, seen });
        yield { ...page, [resultKeys[0]]: list.slice(0, kept) };
        return;
      }
      yield page;
      items += list.length;
      const next = this.#nextToken(page);
      if (next === null) return;
      if (items === maxItems) {
        this.#resumeToken = tokenOf(inputToken, { token: next, seen: null });
        return;
      }
      if (next === asked) {
        throw failure(`Error during pagination: The same next token was received twice: {'${inputToken}': '${next}'}`);
      }
      asked = next;
      position = { token: next, seen: 0 };
      input = withToken(input, inputToken, next);
    }
  }

  #firstInput(start: Position | null): InputRecord {
    const { inputToken, limitKey } = this.#paginator;
    const input: Record<string, InputRecord[string]> = { ...this.#call.input };
    if (start !== null) {
      if (start.token === null) delete input[inputToken];
      else input[inputToken] = start.token;
    }
    const { pageSize } = this.#call.paging;
    if (pageSize !== null && limitKey !== null) input[limitKey] = this.#isText(limitKey) ? String(pageSize) : pageSize;
    return input;
  }

  #isText(memberName: string): boolean {
    const { model } = this.#caller;
    const inputShape = model.operations.get(this.#call.operation)?.input;
    return inputShape !== undefined && structureOf(model, inputShape).members.get(memberName)?.type === 'string';
  }

  /** Without what an earlier call printed of this page. Lists other than the first were printed whole then. */
  #withoutSeen(page: DocumentRecord, seen: number): DocumentRecord {
    const [first, ...others] = this.#paginator.resultKeys;
    const value = page[first];
    const rest: Record<string, Document> = {
      [first]: Array.isArray(value) ? (value as Document[]).slice(seen) : null,
    };
    for (const key of others) rest[key] = Array.isArray(page[key]) ? [] : null;
    return { ...page, ...rest };
  }

  #nextToken(page: DocumentRecord): string | null {
    const { outputToken, moreResults } = this.#paginator;
    if (moreResults !== null && page[moreResults] !== true) return null;
    const token = page[outputToken];
    return typeof token === 'string' && token !== '' ? token : null;
  }
}

function withToken(input: InputRecord, inputToken: string, token: string): InputRecord {
  return { ...input, [inputToken]: token };
}

function itemsOf(value: Document | undefined): readonly Document[] {
  return Array.isArray(value) ? (value as readonly Document[]) : [];
}

/** Throws ClientError. Tokens of old versions are the service's token, `___`, and a count. */
function positionOf(text: string, inputToken: string): Position {
  return decodedPosition(text, inputToken) ?? oldPosition(text);
}

function decodedPosition(text: string, inputToken: string): Position | null {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(text, 'base64')));
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null;
  const { boto_truncate_amount: seen, [inputToken]: token } = value as Readonly<Record<string, unknown>>;
  return {
    token: typeof token === 'string' && token !== 'None' ? token : null,
    seen: typeof seen === 'number' ? seen : 0,
  };
}

function oldPosition(text: string): Position {
  const parts = text.split('___');
  const [token = text, count] = parts;
  const isCounted = parts.length === 2 && /^\s*[+-]?\d+\s*$/.test(count ?? '');
  if (parts.length > 2) throw failure(`Bad starting token: ${text}`);
  const whole = isCounted ? token : text;
  return { token: whole === 'None' ? null : whole, seen: isCounted ? Number(count) : 0 };
}

/** As Python's json writes it, in base64. `seen` null: the page of the token is all new. */
function tokenOf(
  inputToken: string,
  { token, seen }: { readonly token: string | null; readonly seen: number | null },
): string {
  const ascii = JSON.stringify(token).replace(
    /[\u007f-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  const amount = seen === null ? '' : `, "boto_truncate_amount": ${seen}`;
  return Buffer.from(`{"${inputToken}": ${ascii}${amount}}`).toString('base64');
}
