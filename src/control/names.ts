import type { Scope } from '#domain/volume.ts';
import { readPage } from './pages.ts';
import type { ControlPorts } from './ports.ts';

/** All names of Lightsail that are taken, whatever has them, in the order in which they were. Refuses: page-token-invalid. */
export async function listNames(
  ports: ControlPorts,
  scope: Scope,
  request: { readonly after: string | null; readonly countMax: number },
): Promise<{ readonly names: readonly string[]; readonly next: string | null }> {
  const { records, next } = await readPage<string>(ports, scope, 'names', request, (page) =>
    ports.meta.read((tx) => tx.names.list(scope, page)),
  );
  return { names: records, next };
}
