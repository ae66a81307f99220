/** Where a client finds an export of ours, in the form of the NBD project's URI specification (doc/uri.md): `nbd+unix:///<export>?socket=<path>`. */
export function nbdUri(exportName: string, socketPath: string): string {
  return `nbd+unix:///${encodeURIComponent(exportName)}?socket=${encodeURIComponent(socketPath).replaceAll('%2F', '/')}`;
}
