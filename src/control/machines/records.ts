import { refuse } from '#domain/errors.ts';
import { type InstanceId, parseInstanceId } from '#domain/ids.ts';
import type { Instance } from '#domain/instance.ts';
import type { Face, Scope } from '#domain/volume.ts';
import { isIn, type Ref } from '#control/lookup.ts';
import { readPage, slicePage } from '#control/pages.ts';
import type { ControlPorts } from '#control/ports.ts';
import type { DocumentKind } from '#meta/document-table.ts';
import type { ReadTx } from '#meta/meta-store.ts';

/** Listed by the request that made them. */
export const INSTANCES: DocumentKind<Instance> = {
  name: 'instance',
  idOf: ({ id }) => id,
  ownerOf: ({ reservation }) => reservation,
};

/** Null when the client does not see it: it is another account's or region's, or gone. */
export async function instanceSeen(tx: ReadTx, scope: Scope, id: InstanceId): Promise<Instance | null> {
  const instance = await tx.documents.find(INSTANCES, scope, id);
  return instance !== null && isIn(scope, instance) ? instance : null;
}

/** Refuses: not-found. */
export async function instanceIn(tx: ReadTx, scope: Scope, id: InstanceId): Promise<Instance> {
  return (await instanceSeen(tx, scope, id)) ?? refuse({ kind: 'not-found', resource: 'instance', id });
}

/** Refuses: not-found, also when the name is another kind of resource's. */
export async function instanceOf(tx: ReadTx, scope: Scope, ref: Ref<InstanceId>): Promise<Instance> {
  if (typeof ref === 'string') return await instanceIn(tx, scope, ref);
  const holder = await tx.names.find(scope, ref.name);
  const id = holder === null ? null : parseInstanceId(holder);
  const instance = id === null ? null : await instanceSeen(tx, scope, id);
  return instance ?? refuse({ kind: 'not-found', resource: 'instance', id: ref.name });
}

/** Refuses: not-found. */
export async function findInstance(ports: ControlPorts, scope: Scope, ref: Ref<InstanceId>): Promise<Instance> {
  return await ports.meta.read((tx) => instanceOf(tx, scope, ref));
}

export interface ListInstances {
  /** These, of whichever face, and all of them must exist; null: all. */
  readonly ids: readonly InstanceId[] | null;
  /** Without ids: of this face only; null: of both. */
  readonly face: Face | null;
  readonly after: string | null;
  readonly countMax: number;
  readonly match?: (instance: Instance) => boolean;
}

/** In the order of creation. Refuses: not-found, page-token-invalid. */
export async function listInstances(
  ports: ControlPorts,
  scope: Scope,
  { ids, face, match, ...page }: ListInstances,
): Promise<{ readonly instances: readonly Instance[]; readonly next: string | null }> {
  if (ids !== null) {
    const found: Instance[] = [];
    await ports.meta.read(async (tx) => {
      for (const id of new Set(ids)) found.push(await instanceIn(tx, scope, id));
    });
    const { records, next } = await slicePage(ports, scope, 'instances by id', { ...page, match }, found);
    return { instances: records, next };
  }
  const isListed = (instance: Instance): boolean =>
    (face === null || instance.face === face) && (match?.(instance) ?? true);
  const request = { ...page, match: isListed };
  const { records, next } = await readPage<Instance>(ports, scope, `instances ${face}`, request, (part) =>
    ports.meta.read((tx) => tx.documents.list(INSTANCES, scope, null, part)),
  );
  return { instances: records, next };
}
