import { refuse } from '#domain/errors.ts';
import { newStaticIpId } from '#domain/ids.ts';
import type { Instance } from '#domain/instance.ts';
import { checkName } from '#domain/name.ts';
import type { Operation } from '#domain/operation.ts';
import type { Scope } from '#domain/volume.ts';
import { type OperationDraft, recordDone } from '#control/operations.ts';
import { readPage } from '#control/pages.ts';
import type { ControlPorts } from '#control/ports.ts';
import type { ReadTx, Tx } from '#meta/meta-store.ts';
import { freeAddress, type StaticIp, STATIC_IPS, withAddress, withoutAddress } from './addresses.ts';
import { INSTANCES, instanceOf } from './records.ts';

/** What belongs to a whole region. */
const ALL_ZONES = 'all';

export interface StaticIpChanged {
  readonly staticIp: StaticIp;
  /** The address's, and the machine's if there is one. Succeeded: it is so when this answers. */
  readonly operations: readonly Operation[];
}

/** Refuses: invalid-value (name), name-taken, limit (all addresses are taken), unsupported (machines have none here). */
export async function allocateStaticIp(
  ports: ControlPorts,
  scope: Scope,
  request: { readonly name: string; readonly operation: string },
): Promise<StaticIpChanged> {
  const name = checkName(request.name, 'staticIpName');
  const { addresses } = ports.machinePlace;
  if (addresses === null) {
    refuse({ kind: 'unsupported', what: 'A static IP, where instances have their addresses from a bridge,' });
  }
  return await ports.meta.transact(async (tx) => {
    const id = newStaticIpId(ports.random);
    if (!(await tx.names.claim(scope, name, id))) refuse({ kind: 'name-taken', name });
    const address =
      (await freeAddress(tx, addresses)) ?? refuse({ kind: 'limit', limit: 'addresses', max: addresses.count });
    const { account, region } = scope;
    const staticIp: StaticIp = { account, region, id, name, address, instance: null, createdAtMs: ports.clock.nowMs() };
    await tx.documents.insert(STATIC_IPS, scope, staticIp);
    return { staticIp, operations: await done(ports, tx, staticIp, request.operation, null) };
  });
}

/** The machine has the address at once, whether it runs or not. Refuses: not-found, in-use, wrong-state (it is being deleted). */
export async function attachStaticIp(
  ports: ControlPorts,
  scope: Scope,
  request: { readonly name: string; readonly instanceName: string; readonly operation: string },
): Promise<StaticIpChanged> {
  const changed = await ports.meta.transact(async (tx) => {
    const staticIp = await staticIpNamed(tx, scope, request.name);
    const instance = await instanceOf(tx, scope, { name: request.instanceName });
    const { id, state } = instance;
    if (state === 'shutting-down') {
      refuse({ kind: 'wrong-state', resource: 'instance', id: request.instanceName, state });
    }
    if (staticIp.instance !== null && staticIp.instance !== id) {
      refuse({ kind: 'in-use', resource: 'static-ip', id: request.name, by: staticIp.instance });
    }
    if (instance.staticIp !== null && instance.staticIp !== staticIp.id) {
      refuse({ kind: 'in-use', resource: 'instance', id: request.instanceName, by: 'another static IP' });
    }
    const attached: StaticIp = { ...staticIp, instance: id };
    await tx.documents.update(STATIC_IPS, scope, attached);
    await tx.documents.update(INSTANCES, scope, { ...instance, address: staticIp.address, staticIp: staticIp.id });
    return { staticIp: attached, operations: await done(ports, tx, attached, request.operation, instance) };
  });
  ports.wake('reconcile-instances');
  return changed;
}

/** A machine that runs gets another address. Of one that is attached to nothing there is nothing to do. Refuses: not-found. */
export async function detachStaticIp(
  ports: ControlPorts,
  scope: Scope,
  request: { readonly name: string; readonly operation: string },
): Promise<StaticIpChanged> {
  const changed = await ports.meta.transact(async (tx) => {
    const staticIp = await staticIpNamed(tx, scope, request.name);
    const { instance: holder } = staticIp;
    const instance = holder === null ? null : await tx.documents.find(INSTANCES, scope, holder);
    const detached: StaticIp = { ...staticIp, instance: null };
    await tx.documents.update(STATIC_IPS, scope, detached);
    if (instance !== null) {
      const bare = withoutAddress({ ...instance, staticIp: null });
      const isUp = instance.state === 'running' || instance.state === 'pending';
      await tx.documents.update(INSTANCES, scope, isUp ? await withAddress(ports, tx, bare) : bare);
    }
    return { staticIp: detached, operations: await done(ports, tx, detached, request.operation, instance) };
  });
  ports.wake('reconcile-instances');
  return changed;
}

/** Refuses: not-found, in-use (it is attached). */
export async function releaseStaticIp(
  ports: ControlPorts,
  scope: Scope,
  request: { readonly name: string; readonly operation: string },
): Promise<StaticIpChanged> {
  return await ports.meta.transact(async (tx) => {
    const staticIp = await staticIpNamed(tx, scope, request.name);
    const { id, name, instance } = staticIp;
    if (instance !== null) refuse({ kind: 'in-use', resource: 'static-ip', id: name, by: instance });
    await tx.documents.remove(STATIC_IPS, scope, id);
    await tx.names.free(scope, name, id);
    return { staticIp, operations: await done(ports, tx, staticIp, request.operation, null) };
  });
}

/** The address's operation, and then that of the machine that gets or loses it. */
async function done(
  ports: ControlPorts,
  tx: Tx,
  { account, region, id, name }: StaticIp,
  type: string,
  instance: Instance | null,
): Promise<readonly Operation[]> {
  const scope: Scope = { account, region };
  const called = instance === null ? null : (instance.name ?? instance.id);
  const draft: OperationDraft = {
    type,
    resourceName: name,
    resourceType: 'StaticIp',
    zone: ALL_ZONES,
    details: called,
  };
  const ofAddress = await recordDone(ports, tx, scope, id, draft);
  if (instance === null || called === null) return ofAddress;
  const { id: subject, zone } = instance;
  const other: OperationDraft = { type, resourceName: called, resourceType: 'Instance', zone, details: name };
  return [...ofAddress, ...(await recordDone(ports, tx, scope, subject, other))];
}

async function staticIpNamed(tx: ReadTx, scope: Scope, name: string): Promise<StaticIp> {
  const holder = await tx.names.find(scope, name);
  const found = holder === null ? null : await tx.documents.find(STATIC_IPS, scope, holder);
  return found ?? refuse({ kind: 'not-found', resource: 'static-ip', id: name });
}

/** An address and what the machine that has it is called; null: no machine has it. */
export interface StaticIpSeen {
  readonly staticIp: StaticIp;
  readonly attachedTo: string | null;
}

/** Refuses: not-found. */
export async function findStaticIp(ports: ControlPorts, scope: Scope, name: string): Promise<StaticIpSeen> {
  return await ports.meta.read(async (tx) => withHolder(tx, await staticIpNamed(tx, scope, name)));
}

/** In the order of creation. Refuses: page-token-invalid. */
export async function listStaticIps(
  ports: ControlPorts,
  scope: Scope,
  page: { readonly after: string | null; readonly countMax: number },
): Promise<{ readonly found: readonly StaticIpSeen[]; readonly next: string | null }> {
  const { records, next } = await readPage<StaticIp>(ports, scope, 'static ips', page, (part) =>
    ports.meta.read((tx) => tx.documents.list(STATIC_IPS, scope, null, part)),
  );
  const found = await ports.meta.read(async (tx) => {
    const seen: StaticIpSeen[] = [];
    for (const staticIp of records) seen.push(await withHolder(tx, staticIp));
    return seen;
  });
  return { found, next };
}

async function withHolder(tx: ReadTx, staticIp: StaticIp): Promise<StaticIpSeen> {
  const { instance: id } = staticIp;
  const instance = id === null ? null : await tx.documents.find(INSTANCES, staticIp, id);
  return { staticIp, attachedTo: instance === null ? null : (instance.name ?? instance.id) };
}
