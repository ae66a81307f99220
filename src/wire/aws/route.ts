/** Which service and operation a request means. */
import { parseForm } from './form.ts';
import { headerValue, type HttpRequestParts, type RequestHead } from './http.ts';
import { loadModel, type Model } from './model.ts';
import type { ServiceName } from './operations.ts';
import { operationAt } from './uri.ts';
import { WireError } from './wire-error.ts';

/** `modelled` operations can be decoded; `named` ones exist at AWS and are not in the model. */
export type Route =
  | { readonly kind: 'modelled'; readonly service: ServiceName; readonly operation: string }
  | { readonly kind: 'named'; readonly service: ServiceName; readonly operation: string }
  | { readonly kind: 'unknown-operation'; readonly service: ServiceName; readonly operation: string | null }
  | { readonly kind: 'unknown-service' };

const serviceNames: ReadonlyMap<string, ServiceName> = new Map([
  ['lightsail', 'lightsail'],
  ['ec2', 'ec2'],
  ['ebs', 'ebs'],
  ['sts', 'sts'],
  ['kms', 'kms'],
  ['iam', 'iam'],
  ['dlm', 'dlm'],
  ['rbin', 'rbin'],
]);

const targetPrefixes: ReadonlyMap<string, ServiceName> = new Map([
  ['Lightsail_20161128', 'lightsail'],
  ['TrentService', 'kms'],
]);
const apiVersions: ReadonlyMap<string, ServiceName> = new Map([
  ['2016-11-15', 'ec2'],
  ['2011-06-15', 'sts'],
  ['2010-05-08', 'iam'],
]);

/** The service that a request is meant for, from its head and the service of its credential scope (null: unsigned). */
export function serviceOf(head: RequestHead, scopeService: string | null): ServiceName | null {
  // Who signed for a service of which we know nothing means that one, whatever the request looks like.
  return serviceOfTarget(head) ?? (scopeService === null ? serviceOfPath(head) : serviceOfScope(scopeService));
}

/** Names service and operation: by X-Amz-Target, else by the scope's service, else by path and API version. */
export function routeRequest(request: HttpRequestParts, scopeService: string | null): Route {
  const service =
    serviceOf(request, scopeService) ?? (scopeService === null ? serviceOfVersion(queryAndForm(request)) : null);
  if (service === null) return { kind: 'unknown-service' };
  const model = loadModel(service);
  const operation = operationOf(model, request);
  if (operation === null) return { kind: 'unknown-operation', service, operation };
  if (model.operations.has(operation)) return { kind: 'modelled', service, operation };
  if (model.otherOperations.has(operation)) return { kind: 'named', service, operation };
  return { kind: 'unknown-operation', service, operation };
}

function serviceOfTarget(head: RequestHead): ServiceName | null {
  const target = headerValue(head.headers, 'x-amz-target');
  return target === null ? null : (targetPrefixes.get(target.split('.')[0] ?? '') ?? null);
}

function serviceOfScope(scopeService: string): ServiceName | null {
  return serviceNames.get(scopeService) ?? null;
}

function serviceOfPath(head: RequestHead): ServiceName | null {
  if (operationAt(loadModel('ebs'), head.method, head.path) !== null) return 'ebs';
  return serviceOfVersion(parametersOf(head.query));
}

/** Action and Version may stand in the query or in the form; the version tells the services apart, EC2 being the default. */
function serviceOfVersion(parameters: ReadonlyMap<string, string>): ServiceName | null {
  if (!parameters.has('Action')) return null;
  return apiVersions.get(parameters.get('Version') ?? '') ?? 'ec2';
}

function operationOf(model: Model, request: HttpRequestParts): string | null {
  switch (model.protocol) {
    case 'awsJson1_1': {
      const target = headerValue(request.headers, 'x-amz-target');
      const prefix = `${model.targetPrefix}.`;
      return target?.startsWith(prefix) === true ? target.slice(prefix.length) : null;
    }
    case 'ec2Query':
    case 'awsQuery':
      return queryAndForm(request).get('Action') ?? null;
    case 'restJson1':
      return operationAt(model, request.method, request.path);
  }
}

function queryAndForm(request: HttpRequestParts): ReadonlyMap<string, string> {
  // What is no form has no Action.
  const type = headerValue(request.headers, 'content-type') ?? '';
  const isForm = request.body.length > 0 && /^application\/x-www-form-urlencoded\b/i.test(type.trim());
  // Not `formText`: a body that is no UTF-8 is for the codec to refuse, in the words of the operation's service.
  return parametersOf(isForm ? `${request.query}&${LENIENT.decode(request.body)}` : request.query);
}

const LENIENT = new TextDecoder();

/** Action and Version, also of a form in which something else is wrong: the codec says what. */
function parametersOf(text: string): ReadonlyMap<string, string> {
  try {
    return new Map(parseForm(text).filter(([name]) => ROUTING.test(name)));
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    const plain = text.split('&').filter((part) => /^(?:Action|Version)=\w[\w.-]*$/.test(part));
    return new Map(plain.map((part) => [part.slice(0, part.indexOf('=')), part.slice(part.indexOf('=') + 1)]));
  }
}

const ROUTING = /^(?:Action|Version)$/;
