/** HTTP as plain values: what the codecs take and give. No socket, no stream. */

/** Names and values in the order in which they were sent. Names keep their case; compare them with `headerValue`. */
export type HeaderList = readonly (readonly [name: string, value: string])[];

/** Everything of a request that comes before its body. */
export interface RequestHead {
  readonly method: string;
  /** As sent: still percent-encoded, without the query. */
  readonly path: string;
  /** As sent: without the question mark, '' when there is none. */
  readonly query: string;
  readonly headers: HeaderList;
}

export interface HttpRequestParts extends RequestHead {
  /** The whole body, bounded by the caller; already freed of aws-chunked framing. */
  readonly body: Uint8Array;
}

/** A reply ready to be written. Lacks Date, Content-Length and Connection: those are the server's. */
export interface HttpReply {
  readonly status: number;
  readonly headers: HeaderList;
  readonly body: Uint8Array;
}

/** The value of a header, names compared without case; repeated headers are joined by a comma; null when absent. */
export function headerValue(headers: HeaderList, name: string): string | null {
  const wanted = name.toLowerCase();
  const values = headers.filter(([given]) => given.toLowerCase() === wanted).map(([, value]) => value);
  return values.length === 0 ? null : values.join(',');
}

/** Node's flat `rawHeaders` as a HeaderList. */
export function headersFromRaw(raw: readonly string[]): HeaderList {
  const headers: [string, string][] = [];
  for (let index = 0; index + 1 < raw.length; index += 2) headers.push([raw[index] ?? '', raw[index + 1] ?? '']);
  return headers;
}

/** Splits a request target, as in the request line, into raw path and raw query. */
export function splitTarget(target: string): { readonly path: string; readonly query: string } {
  const mark = target.indexOf('?');
  return mark === -1 ? { path: target, query: '' } : { path: target.slice(0, mark), query: target.slice(mark + 1) };
}
