/** The protocol of Lightsail: JSON in, JSON back, the operation in X-Amz-Target. Enumerations and constraints are checked, unknown members ignored. */
import type { HttpReply, HttpRequestParts } from './http.ts';
import { JsonReader, jsonOfStructure, parseJsonObject } from './json-value.ts';
import type { Model, OperationModel } from './model.ts';

/** Throws WireError. */
export function decodeAwsJson(model: Model, operation: OperationModel, request: HttpRequestParts): unknown {
  const object = parseJsonObject(request.body);
  if (operation.input === undefined) return {};
  const reader = new JsonReader(model);
  const input = reader.structure(operation.input, object);
  reader.violations.throwIfAny();
  return input;
}

export function encodeAwsJson(model: Model, operation: OperationModel, output: unknown, requestId: string): HttpReply {
  const value = operation.output === undefined ? {} : jsonOfStructure(model, operation.output, output);
  return jsonReply(200, value, requestId);
}

export function encodeAwsJsonError(
  error: {
    readonly code: string;
    readonly message: string;
    readonly status: number;
    readonly members: Readonly<Record<string, string | undefined>>;
  },
  requestId: string,
): HttpReply {
  const { code, message, status, members } = error;
  return jsonReply(status, { __type: code, message, ...members }, requestId);
}

function jsonReply(status: number, value: unknown, requestId: string): HttpReply {
  return {
    status,
    headers: [
      ['Content-Type', 'application/x-amz-json-1.1'],
      ['x-amzn-RequestId', requestId],
    ],
    body: new TextEncoder().encode(JSON.stringify(value)),
  };
}
