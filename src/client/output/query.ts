import { ClientError, type Document } from '#client/command.ts';
import { JmespathError } from '#client/jmespath/error.ts';
import type { Expression } from '#client/jmespath/expression.ts';
import { evaluate } from '#client/jmespath/interpreter.ts';
import { parseExpression } from '#client/jmespath/parser.ts';

/** A `--query` that is well formed. */
export interface Query {
  readonly expression: Expression;
}

/** Reads a JMESPath expression. Throws ClientError in the words of the AWS command line, exit code 255. */
export function compileQuery(expression: string): Query {
  try {
    return { expression: parseExpression(expression) };
  } catch (error) {
    if (!(error instanceof JmespathError)) throw error;
    throw new ClientError(`\nBad value for --query ${expression}: ${error.message}\n`, 255);
  }
}

/** What the query gives on a document. Throws ClientError where it cannot be evaluated on it, exit code 255. */
export function applyQuery(query: Query, document: Document): Document {
  try {
    return evaluate(query.expression, document);
  } catch (error) {
    if (!(error instanceof JmespathError)) throw error;
    throw new ClientError(`\n${error.message}\n`, 255);
  }
}
