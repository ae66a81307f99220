/**
 * The protocol of EC2: parameters in a form or a query string, XML back.
 *
 * Enumerations are not checked on input: EC2 takes any text and the operation says whether it knows it.
 */
import { Violations } from './constraints.ts';
import { formText, parseForm } from './form.ts';
import type { HttpReply, HttpRequestParts } from './http.ts';
import type { Model, OperationModel } from './model.ts';
import { inputOfParameters, type QueryDialect } from './query-value.ts';
import { WireError } from './wire-error.ts';
import { escapeXml, xmlDocument, xmlOfStructure } from './xml.ts';

/** The parameters of a request: of its query string and of its form. Throws WireError `malformed`. */
export function queryParameters(request: HttpRequestParts): readonly (readonly [name: string, value: string])[] {
  return parseForm(request.body.length === 0 ? request.query : `${request.query}&${formText(request.body)}`);
}

/** Throws WireError. */
export function decodeEc2Query(model: Model, operation: OperationModel, request: HttpRequestParts): unknown {
  const violations = new Violations(model, { enums: false });
  const dialect: QueryDialect = {
    listSegment: null,
    unknown: (path) => {
      throw new WireError('unknown-parameter', path, `The parameter ${path} is not recognized`);
    },
    missing: (path) => {
      throw new WireError('missing', path, `The request must contain the parameter ${path}`);
    },
    check: (member, value, path) => violations.check(member, value, path),
  };
  const input = inputOfParameters(model, operation.input, queryParameters(request), dialect);
  violations.throwIfAny();
  return input;
}

export function encodeEc2Query(
  model: Model,
  operation: { readonly name: string; readonly model: OperationModel },
  output: unknown,
  requestId: string,
): HttpReply {
  const body =
    operation.model.output === undefined
      ? '<return>true</return>'
      : xmlOfStructure(model, operation.model.output, output);
  return xmlReply(
    200,
    xmlDocument(
      `${operation.name}Response`,
      model.xmlNamespace,
      `<requestId>${escapeXml(requestId)}</requestId>${body}`,
    ),
    requestId,
  );
}

export function encodeEc2Error(
  error: { readonly code: string; readonly message: string; readonly status: number },
  requestId: string,
): HttpReply {
  const { code, message, status } = error;
  const inner = `<Errors><Error><Code>${escapeXml(code)}</Code><Message>${escapeXml(message)}</Message></Error></Errors>`;
  return xmlReply(
    status,
    xmlDocument('Response', null, `${inner}<RequestID>${escapeXml(requestId)}</RequestID>`),
    requestId,
  );
}

export function xmlReply(status: number, text: string, requestId: string): HttpReply {
  return {
    status,
    headers: [
      ['Content-Type', 'text/xml;charset=UTF-8'],
      ['x-amzn-RequestId', requestId],
    ],
    body: new TextEncoder().encode(text),
  };
}
