import type { Document, DocumentRecord, GlobalOptions, OutputFormat, Reply, Surroundings } from '#client/command.ts';
import { writeJson } from './json.ts';
import { OutputStream } from './output-stream.ts';
import { writeText } from './text.ts';

/** What is to be printed, and how. */
export interface Output {
  readonly reply: Reply;
  readonly format: OutputFormat;
  /** A JMESPath expression; null: all of the reply. */
  readonly query: string | null;
  readonly color: GlobalOptions['color'];
  readonly service: string;
  /** As the model names it: DescribeSnapshots. It is the title of a table. */
  readonly operation: string;
  readonly commandName: string;
}

/**
 * Prints a reply as the AWS command line does. Resolves when standard output has taken all of it, or when its reader has gone.
 * Throws ClientError where the query cannot be evaluated or the reply cannot be shown in the format.
 */
export async function writeOutput(output: Output, surroundings: Surroundings): Promise<void> {
  const stream = new OutputStream(surroundings.stdout);
  try {
    if (output.format === 'text' && output.reply.paged) await writePages(output, stream);
    else await writeFormatted((await queryOf(output.query))(await output.reply.whole()), output, stream, surroundings);
  } finally {
    await stream.end();
  }
}

/** As `writeOutput`, of a document that is known without a call. */
export async function writeDocument(
  output: Omit<Output, 'reply'> & { readonly document: DocumentRecord },
  surroundings: Surroundings,
): Promise<void> {
  const { document, ...rest } = output;
  const reply: Reply = {
    whole: async () => document,
    pages: async function* pages() {
      yield document;
    },
    resumeToken: () => null,
    paged: false,
  };
  await writeOutput({ ...rest, reply }, surroundings);
}

/** Text shows each page when it comes, applies the query to each, and ends with where to go on. */
async function writePages(output: Output, stream: OutputStream): Promise<void> {
  const query = await queryOf(output.query);
  for await (const page of output.reply.pages()) {
    await writeText(query(page), stream);
    await stream.flush();
    if (stream.gone) return;
  }
  const token = output.reply.resumeToken();
  if (token !== null) await writeText(query({ NextToken: { NextToken: token } }), stream);
}

/** Loaded where there is a query: most calls have none, and a start is to be short. */
async function queryOf(expression: string | null): Promise<(document: DocumentRecord) => Document> {
  if (expression === null) return (document) => document;
  const { applyQuery, compileQuery } = await import('./query.ts');
  const query = compileQuery(expression);
  return (document) => applyQuery(query, document);
}

async function writeFormatted(
  document: Document,
  output: Output,
  stream: OutputStream,
  surroundings: Surroundings,
): Promise<void> {
  switch (output.format) {
    case 'json':
      return await writeJson(document, stream);
    case 'text':
      return await writeText(document, stream);
    case 'yaml': {
      const { writeYaml } = await import('./yaml.ts');
      return await writeYaml(document, stream);
    }
    case 'table': {
      const { writeTable } = await import('./table.ts');
      const terminal = surroundings.stdout.isTTY === true;
      return await writeTable(document, stream, {
        title: output.operation,
        coloured: output.color === 'on' || (output.color === 'auto' && terminal),
        columns: terminal ? (surroundings.stdout.columns ?? COLUMNS_DEFAULT) : COLUMNS_DEFAULT,
      });
    }
  }
}

const COLUMNS_DEFAULT = 80;
