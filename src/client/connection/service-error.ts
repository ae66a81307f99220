/** Errors that a service answers with, in the words of the AWS command line. */
import { STATUS_CODES } from 'node:http';
import { ClientError, type Document } from '#client/command.ts';
import { headerValue } from '#wire/aws/http.ts';
import type { Model } from '#wire/aws/model.ts';
import { isRecord, jsonOfBody, xmlOf, type RawReply } from './decode-reply.ts';
import { EXIT_FAILURE, failure } from '#client/failure.ts';
import { childOf, type XmlElement } from './xml-document.ts';

/** What went wrong at the service: printed as it is, or seen by a waiter. */
export class ServiceError extends ClientError {
  readonly code: string;
  /** As the service says it. */
  readonly serviceMessage: string;
  readonly status: number;

  constructor(error: ErrorFacts, operation: string, retries: number | null) {
    const retried = retries === null ? '' : ` (reached max retries: ${retries})`;
    super(
      `\nAn error occurred (${error.code}) when calling the ${operation} operation${retried}: ${error.message}\n`,
      EXIT_FAILURE,
    );
    this.code = error.code;
    this.serviceMessage = error.message;
    this.status = error.status;
  }
}

export interface ErrorFacts {
  readonly code: string;
  readonly message: string;
  readonly status: number;
}

/** Whether a reply is an error. */
export function isError(status: number): boolean {
  return status >= 301;
}

/** Throws ClientError when the reply cannot be read at all. */
export function errorOf(model: Model, reply: RawReply): ErrorFacts {
  const { status } = reply;
  if (status >= 500 && isGeneric(reply.body)) {
    return { status, code: String(status), message: STATUS_CODES[status] ?? '' };
  }
  if (model.protocol === 'ec2Query' || model.protocol === 'awsQuery') return { status, ...xmlError(xmlOf(reply.body)) };
  return { status, ...jsonError(model, reply) };
}

/** Nothing, or a page of HTML: it does not come from the service but from what stands before it. */
function isGeneric(body: Uint8Array): boolean {
  const start = Buffer.from(body).toString('latin1').trim();
  return start === '' || start.startsWith('<html>');
}

function xmlError(root: XmlElement): Omit<ErrorFacts, 'status'> {
  const error = childOf(childOf(root, 'Errors') ?? root, 'Error');
  if (error === null) return { code: 'Unknown', message: 'Unknown' };
  const code = childOf(error, 'Code');
  const message = childOf(error, 'Message');
  return { code: textOf(code), message: textOf(message) };
}

/** An element that is there and empty has, for Python, no text: None. */
function textOf(element: XmlElement | null): string {
  if (element === null) return 'Unknown';
  return element.text === '' ? 'None' : element.text;
}

function jsonError(model: Model, reply: RawReply): Omit<ErrorFacts, 'status'> {
  const parsed = jsonOfBody(reply.body);
  if (Array.isArray(parsed)) throw failure("'list' object has no attribute 'get'");
  const body = isRecord(parsed) ? parsed : {};
  const [message = ''] = ['message', 'Message'].flatMap((name) => (body[name] === undefined ? [] : [body[name]]));
  const inBody = body['__type'] ?? String(reply.status);
  let code = lastPart(printed(inBody));
  if (model.protocol === 'restJson1') {
    const named = headerValue(reply.headers, 'x-amzn-errortype') ?? body['code'] ?? body['Code'];
    if (named !== undefined && named !== null) code = lastPart(printed(named));
  }
  const queryCode = headerValue(reply.headers, 'x-amzn-query-error')?.split(';')[0];
  return { code: queryCode === undefined || queryCode === '' ? code : queryCode, message: printed(message) };
}

/** The name in `aws.protocol#NotFoundException:http://…`. */
function lastPart(code: string): string {
  return code.split(':')[0]?.split('#').at(-1) ?? code;
}

function printed(value: Document): string {
  if (value === null) return 'None';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
