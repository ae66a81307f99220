/** Calls operations of one service: encodes, signs, sends, tries again, decodes. */
import { assert, present } from '#base/assert.ts';
import type { Clock } from '#base/clock.ts';
import { uuid, type Random } from '#base/random.ts';
import type { DocumentRecord, InputRecord } from '#client/command.ts';
import type { HeaderList } from '#wire/aws/http.ts';
import { loadModel, type Model, type OperationModel } from '#wire/aws/model.ts';
import type { ServiceName } from '#wire/aws/operations.ts';
import { signRequest, type Credentials } from '#wire/aws/sigv4-sign.ts';
import { customisedInput, customisedReply, customisedRequest } from './customisations.ts';
import { bodyText, headerLines, type DebugLog } from './debug-log.ts';
import { decodeReply, streamMember, type RawReply } from './decode-reply.ts';
import { completeInput, encodeRequest, type EncodedRequest } from './encode-request.ts';
import { bareFailure } from '#client/failure.ts';
import { Outfile } from './outfile.ts';
import { isRetryable, pauseMs } from './retry.ts';
import { errorOf, isError, ServiceError } from './service-error.ts';
import type { Settings } from './settings.ts';
import { TransportError, type Transport } from './transport.ts';

export interface CallerParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly transport: Transport;
  readonly debug: DebugLog;
}

export class Caller {
  readonly #model: Model;
  readonly #settings: Settings;
  readonly #parts: CallerParts;

  constructor(service: ServiceName, settings: Settings, parts: CallerParts) {
    this.#model = loadModel(service);
    this.#settings = settings;
    this.#parts = parts;
  }

  get model(): Model {
    return this.#model;
  }

  /**
   * The document of the reply. A stream of bytes goes to `outfile`, which is made when its first byte has come and is whole or
   * not there afterwards. Throws ServiceError for an error of the service, else ClientError.
   */
  async call(operation: string, input: InputRecord, outfile: string | null = null): Promise<DocumentRecord> {
    const operationModel = present(this.#model.operations.get(operation), `the model has the operation ${operation}`);
    const { clock, random } = this.#parts;
    if (this.#settings.signRequest && this.#settings.credentials === null) {
      throw bareFailure('Unable to locate credentials. You can configure credentials by running "aws configure".');
    }
    const whole = customisedInput(this.#model, operation, completeInput(this.#model, operationModel, input, random));
    const request =
      customisedRequest(
        { model: this.#model, name: operation, operation: operationModel, input: whole },
        { settings: this.#settings, clock },
      ) ?? encodeRequest(this.#model, operation, operationModel, whole);
    const isStream = streamMember(this.#model, operationModel) !== null;
    assert(!isStream || outfile !== null, 'a stream of bytes has somewhere to go');
    const file = isStream && outfile !== null ? new Outfile(outfile) : null;
    const reply = await this.#attempts(operation, operationModel, request, file).catch((error: unknown) => {
      file?.remove();
      throw error;
    });
    const document = decodeReply(this.#model, { name: operation, model: operationModel }, reply, this.#settings);
    return customisedReply(this.#model, operation, document);
  }

  async #attempts(
    operation: string,
    operationModel: OperationModel,
    request: EncodedRequest,
    outfile: Outfile | null,
  ): Promise<RawReply> {
    const { clock, random, debug } = this.#parts;
    const { attemptsMax, retryMode } = this.#settings;
    const invocationId = uuid(random);
    for (let attempt = 1; ; attempt += 1) {
      let failed: Error;
      try {
        const reply = await this.#send(operationModel, request, { attempt, invocationId }, outfile);
        if (!isError(reply.status)) return reply;
        const error = errorOf(this.#model, reply);
        if (!isRetryable(this.#model.service, retryMode, error)) throw new ServiceError(error, operation, null);
        failed = new ServiceError(error, operation, attempt - 1);
      } catch (error) {
        if (!(error instanceof TransportError)) throw error;
        failed = error;
      }
      if (attempt >= attemptsMax) throw failed;
      const pause = pauseMs(retryMode, attempt, random);
      debug.say('retry', () => `Retry needed: ${failed.message.trim()}; in ${(pause / 1000).toFixed(3)} s`);
      await clock.sleep(pause);
    }
  }

  async #send(
    operationModel: OperationModel,
    request: EncodedRequest,
    { attempt, invocationId }: { readonly attempt: number; readonly invocationId: string },
    outfile: Outfile | null,
  ): Promise<RawReply> {
    const { debug, transport, clock } = this.#parts;
    const { endpoint, credentials, signingRegion } = this.#settings;
    const query = request.query === '' ? '' : `?${request.query}`;
    const path = pathAt(endpoint, request.path);
    const { origin } = new URL(endpoint);
    const url = `${origin}${path}${query}`;
    const signed = signedHeaders(
      new URL(endpoint).host,
      { ...request, path },
      {
        credentials,
        region: signingRegion,
        service: this.#model.service,
        nowMs: clock.nowMs(),
      },
    );
    const headers: HeaderList = [
      ...signed,
      ['Accept-Encoding', 'identity'],
      ['User-Agent', USER_AGENT],
      ['amz-sdk-invocation-id', invocationId],
      ['amz-sdk-request', `attempt=${attempt}`],
      ...contentLength(request),
    ];
    debug.say('endpoint', () => {
      const body = bodyText(this.#model, operationModel.input, request.body);
      return `Sending http request: ${request.method} ${url}${headerLines(headers)}\n  ${body}`;
    });
    const reply = await transport.send(
      { method: request.method, url, headers, body: request.body },
      outfile === null ? null : () => outfile.open(),
    );
    debug.say('parsers', () => {
      const body = outfile === null ? bodyText(this.#model, operationModel.output, reply.body) : `to ${outfile.path}`;
      return `Response: ${reply.status}${headerLines(reply.headers)}\n  ${body}`;
    });
    return reply;
  }
}

const USER_AGENT = `varve lang/js#${process.versions.node} os/${process.platform} md/arch#${process.arch}`;

/** The path of a request where the endpoint has a path of its own. */
function pathAt(endpoint: string, path: string): string {
  const { pathname } = new URL(endpoint);
  if (pathname === '/') return path;
  return path === '/' ? pathname : `${pathname}${path}`;
}

/** The headers that the signature covers, and the signature; unsigned without credentials. */
function signedHeaders(
  host: string,
  request: EncodedRequest,
  sign: {
    readonly credentials: Credentials | null;
    readonly region: string;
    readonly service: string;
    readonly nowMs: number;
  },
): HeaderList {
  const headers: HeaderList = [['Host', host], ...request.headers];
  const { credentials, ...options } = sign;
  if (credentials === null) return headers;
  const head = { method: request.method, path: request.path, query: request.query, headers };
  return signRequest(head, request.unsignedPayload ? null : request.body, { ...options, credentials });
}

function contentLength({ method, body }: EncodedRequest): HeaderList {
  const isLeftOut = body.length === 0 && (method === 'GET' || method === 'DELETE');
  return isLeftOut ? [] : [['Content-Length', String(body.length)]];
}
