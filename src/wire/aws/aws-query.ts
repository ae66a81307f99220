/** The protocol of STS: parameters in a form or a query string, XML back. Unlike EC2's, lists have a `member` segment and unknown parameters are ignored. */
import { Violations } from './constraints.ts';
import { queryParameters, xmlReply } from './ec2-query.ts';
import type { HttpReply, HttpRequestParts } from './http.ts';
import type { Model, OperationModel } from './model.ts';
import { inputOfParameters } from './query-value.ts';
import { escapeXml, xmlDocument, xmlOfStructure } from './xml.ts';

/** Throws WireError. */
export function decodeAwsQuery(model: Model, operation: OperationModel, request: HttpRequestParts): unknown {
  const violations = new Violations(model, { enums: true });
  const input = inputOfParameters(model, operation.input, queryParameters(request), {
    listSegment: 'member',
    unknown: () => {}, // As AWS does.
    missing: (path) => violations.missing(path),
    check: (member, value, path) => violations.check(member, value, path),
  });
  violations.throwIfAny();
  return input;
}

export function encodeAwsQuery(
  model: Model,
  operation: { readonly name: string; readonly model: OperationModel },
  output: unknown,
  requestId: string,
): HttpReply {
  const { output: shape } = operation.model;
  const body = shape === undefined ? '' : xmlOfStructure(model, shape, output);
  const result = shape === undefined ? '' : `<${operation.name}Result>${body}</${operation.name}Result>`;
  const metadata = `<ResponseMetadata><RequestId>${escapeXml(requestId)}</RequestId></ResponseMetadata>`;
  return xmlReply(200, xmlDocument(`${operation.name}Response`, model.xmlNamespace, result + metadata), requestId);
}

export function encodeAwsQueryError(
  model: Model,
  error: { readonly code: string; readonly message: string; readonly status: number },
  requestId: string,
): HttpReply {
  const type = error.status >= 500 ? 'Receiver' : 'Sender';
  const inner =
    `<Error><Type>${type}</Type><Code>${escapeXml(error.code)}</Code>` +
    `<Message>${escapeXml(error.message)}</Message></Error><RequestId>${escapeXml(requestId)}</RequestId>`;
  return xmlReply(error.status, xmlDocument('ErrorResponse', model.xmlNamespace, inner), requestId);
}
