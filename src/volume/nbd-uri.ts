/** Where a client finds an export of ours, in the form of the NBD project's URI specification (doc/uri.md): `nbd+unix:///<export>?socket=<path>`. */
export function nbdUri(exportName: string, socketPath: string): string {
  return `nbd+unix:///${encodeURIComponent(exportName)}?socket=${encodePath(socketPath)}`;
}

/** The same over TCP with TLS: `nbds://<identity>@<host>:<port>/<export>?tls-psk-file=<path>`. */
export function nbdsUri(at: {
  readonly identity: string;
  readonly host: string;
  readonly port: number;
  readonly exportName: string;
  /** Where the client finds the key. */
  readonly pskPath: string;
}): string {
  const host = at.host.includes(':') ? `[${at.host}]` : at.host;
  const name = encodeURIComponent(at.exportName);
  return `nbds://${encodeURIComponent(at.identity)}@${host}:${at.port}/${name}?tls-psk-file=${encodePath(at.pskPath)}`;
}

/** As a query's value, in which slashes may stay as they are. */
function encodePath(path: string): string {
  return encodeURIComponent(path).replaceAll('%2F', '/');
}
