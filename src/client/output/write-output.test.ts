/**
 * Documents and what the AWS command line prints of them in each format, or its words of refusal: write-output.cases.json
 * holds it as version 1.45.11 gave it for json, text and table, and version 2.9.19 for yaml, which the first has not.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import { ClientError, type DocumentRecord, type OutputFormat, type Reply } from '#client/command.ts';
import { parseDocument } from '#client/whole-float.ts';
import { isRecord } from './json.ts';
import { Printed } from './printed.fixture.ts';
import { writeDocument, writeOutput } from './write-output.ts';

interface Case {
  readonly format: OutputFormat;
  readonly query?: string;
  /** Of the terminal; without it, standard output is none. */
  readonly columns?: number;
  readonly color?: 'on' | 'off';
  readonly prints: string;
  readonly error?: string;
}

const groups = JSON.parse(readFileSync(new URL('./write-output.cases.json', import.meta.url), 'utf8')) as readonly {
  readonly document: string;
  readonly cases: readonly Case[];
}[];

const OPERATION = {
  service: 'ec2',
  operation: 'DescribeThings',
  commandName: 'describe-things',
  color: 'off',
} as const;

function recordOf(text: string): DocumentRecord {
  const document = parseDocument(text);
  assert(isRecord(document));
  return document;
}

async function outcome(
  document: DocumentRecord,
  { format, query, columns, color }: Omit<Case, 'prints'>,
): Promise<object> {
  const printed = new Printed(columns ?? null);
  const how = { ...OPERATION, document, format, query: query ?? null, color: color ?? 'off' } as const;
  try {
    await writeDocument(how, printed.surroundings);
  } catch (error) {
    if (!(error instanceof ClientError)) throw error;
    return { prints: printed.text, error: error.message };
  }
  return { prints: printed.text };
}

for (const format of ['json', 'text', 'table', 'yaml'] as const) {
  test(`documents are printed as the AWS command line prints them: ${format}`, async () => {
    let count = 0;
    for (const { document, cases } of groups) {
      for (const { prints, error, ...how } of cases.filter((entry) => entry.format === format)) {
        const expected = error === undefined ? { prints } : { prints, error };
        assert.deepEqual(await outcome(recordOf(document), how), expected, `${JSON.stringify(how)} ${document}`);
        count++;
      }
    }
    assert(count > 50, `${count} cases`);
  });
}

function pagedReply(pages: readonly DocumentRecord[], token: string | null): Reply {
  return {
    whole: async () => ({ Things: pages.flatMap((page) => page['Things'] ?? []) }),
    pages: async function* each() {
      yield* pages;
    },
    resumeToken: () => token,
    paged: true,
  };
}

const PAGES = [{ Things: [{ Id: 'a', Size: 1 }] }, { Things: [{ Id: 'b', Size: 2 }, { Id: 'c' }] }, { Things: [] }];

test('text prints page by page, the query on each, and then where to go on', async () => {
  const print = async (query: string | null, token: string | null): Promise<string> => {
    const printed = new Printed();
    const reply = pagedReply(PAGES, token);
    await writeOutput({ ...OPERATION, reply, format: 'text', query }, printed.surroundings);
    return printed.text;
  };
  assert.equal(await print(null, null), 'THINGS\ta\t1\nTHINGS\tb\t2\nTHINGS\tc\t\n');
  assert.equal(await print(null, 'eyJ4'), 'THINGS\ta\t1\nTHINGS\tb\t2\nTHINGS\tc\t\nNEXTTOKEN\teyJ4\n');
  assert.equal(await print('length(Things)', null), '1\n2\n0\n');
  assert.equal(await print('Things[].Id', null), 'a\nb\tc\n');
  assert.equal(await print('Things[0].Id', 'eyJ4'), 'a\nb\nNone\nNone\n');
});

test('other formats print the whole', async () => {
  const printed = new Printed();
  const reply = pagedReply(PAGES, null);
  await writeOutput({ ...OPERATION, reply, format: 'json', query: 'Things[].Id' }, printed.surroundings);
  assert.equal(printed.text, '[\n    "a",\n    "b",\n    "c"\n]\n');
});

test('without a choice of colours, only a terminal has them', async () => {
  const document = { Things: [{ Id: 'a' }] };
  const print = async (columns: number | null): Promise<string> => {
    const printed = new Printed(columns);
    await writeDocument({ ...OPERATION, document, format: 'table', query: null, color: 'auto' }, printed.surroundings);
    return printed.text;
  };
  assert(!(await print(null)).includes('\u001b'));
  assert((await print(120)).includes('\u001b[1m\u001b[34ma\u001b[0m'));
});

test('a long list goes out in few pieces, while it is printed', async () => {
  const document = { Things: Array.from({ length: 20_000 }, (_, index) => ({ Id: `snap-${index}`, Size: index })) };
  for (const format of ['json', 'text', 'table', 'yaml'] as const) {
    const printed = new Printed();
    await writeDocument({ ...OPERATION, document, format, query: null }, printed.surroundings);
    const meanLength = printed.text.length / printed.pieceCount;
    assert(meanLength > 32_000 && meanLength < 200_000, `${format}: ${printed.pieceCount} pieces`);
    assert(printed.text.includes('snap-19999'));
  }
});

test('a reader that has gone ends the printing quietly, and no page is asked for after it', async () => {
  let pageCount = 0;
  const reply: Reply = {
    ...pagedReply([], null),
    pages: async function* endless() {
      for (;;) {
        pageCount++;
        yield { Things: [{ Id: 'x'.repeat(1000) }] };
      }
    },
  };
  const closed = new Writable({
    write: (_piece, _encoding, done) => done(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' })),
  });
  const { surroundings } = new Printed();
  await writeOutput({ ...OPERATION, reply, format: 'text', query: null }, { ...surroundings, stdout: closed });
  assert.equal(pageCount, 1);
});

test('a full disk is an error', async () => {
  const full = new Writable({
    write: (_piece, _encoding, done) => done(Object.assign(new Error('no space left'), { code: 'ENOSPC' })),
  });
  const { surroundings } = new Printed();
  const how = { ...OPERATION, document: { Id: 'a' }, format: 'json', query: null } as const;
  await assert.rejects(writeDocument(how, { ...surroundings, stdout: full }), /no space left/);
});
