import { refuse } from '#domain/errors.ts';
import type { AccountId, SnapshotId, VolumeId } from '#domain/ids.ts';
import {
  type Outpost,
  outpostArn,
  outpostIdOf,
  type OutpostArn,
  type OutpostId,
  parseOutpostArn,
} from '#domain/outpost.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import type { Scope, Volume } from '#domain/volume.ts';
import type { MetaStore, Page, Row } from '#meta/meta-store.ts';
import type { ControlPorts } from './ports.ts';

/*
 * An Outpost is a site with a chunk store of its own. A volume is on one, or in the region, from its creation on. A
 * snapshot of a volume on an Outpost is in that Outpost's store (a local snapshot) or in the region's; one of a volume in
 * the region is in the region's. What is local is used on its Outpost only.
 */

const SETTING = 'outposts';
const PAGE_ROWS = 1000;

/** The Outposts of the server; those that belong to nobody are owned by its first account. */
export function outpostsOf(settings: readonly Omit<Outpost, 'arn'>[], firstAccount: AccountId): readonly Outpost[] {
  return settings.map(({ id, name, region, zone, account }) => ({
    ...{ id, name, region, zone, account },
    arn: outpostArn(region, account ?? firstAccount, id),
  }));
}

/** Volumes or snapshots are on an Outpost that the server was not told of; the message says what to do. */
export class OutpostMissingError extends Error {
  override readonly name = 'OutpostMissingError';
}

/**
 * Every Outpost that something is on must be there, or it would seem to be gone. Throws OutpostMissingError. Goes through
 * all volumes and snapshots when one is missing, and not otherwise.
 */
export async function checkOutposts(
  meta: MetaStore,
  configured: readonly { readonly id: OutpostId; readonly name: string }[],
): Promise<void> {
  const known = parseKnown(await meta.read((tx) => tx.settings.get(SETTING)));
  const missing = new Map([...known].filter(([id]) => configured.every((one) => one.id !== id)));
  if (missing.size > 0) {
    for await (const arn of placesInUse(meta)) {
      const name = missing.get(outpostIdOf(arn));
      if (name === undefined) continue;
      throw new OutpostMissingError(
        `volumes or snapshots are on the Outpost ${name} (${outpostIdOf(arn)}), which --outposts does not name: ` +
          'start with the file that names it, with its region and its store',
      );
    }
  }
  const now = JSON.stringify(Object.fromEntries(configured.map(({ id, name }) => [id, name])));
  if (known.size > 0 || configured.length > 0) await meta.transact((tx) => tx.settings.put(SETTING, now));
}

function parseKnown(text: string | null): ReadonlyMap<string, string> {
  // Only checkOutposts writes it.
  return new Map(Object.entries(JSON.parse(text ?? '{}') as Readonly<Record<string, string>>));
}

async function* placesInUse(meta: MetaStore): AsyncGenerator<OutpostArn> {
  const inUse = ({ record }: Row<Volume | Snapshot>): readonly OutpostArn[] =>
    record.outpost === null ? [] : [record.outpost];
  const rowsOf = [
    (page: Page) =>
      meta.read((tx) => tx.volumes.inState(['creating', 'available', 'recoverable', 'deleting', 'error'], page)),
    (page: Page) =>
      meta.read((tx) =>
        tx.snapshots.inState(
          ['cutting', 'pending', 'completed', 'error', 'recoverable', 'recovering', 'deleting'],
          page,
        ),
      ),
  ];
  for (const read of rowsOf) {
    for (let after = 0; ;) {
      const rows: readonly Row<Volume | Snapshot>[] = await read({ after, countMax: PAGE_ROWS });
      yield* rows.flatMap(inUse);
      const last = rows.at(-1);
      if (last === undefined) break;
      after = last.sequence;
    }
  }
}

/** The Outpost of the scope's region that an ARN names. Refuses: invalid-value, also when the account may not use it. */
export function findOutpost(ports: Pick<ControlPorts, 'outposts'>, scope: Scope, text: string): Outpost {
  const arn = parseOutpostArn(text);
  if (arn === null) refuseArn(`${text} is not the ARN of an Outpost`);
  const outpost = ports.outposts.find((one) => one.arn === arn);
  if (outpost === undefined || (outpost.account !== null && outpost.account !== scope.account)) {
    refuseArn(`The Outpost ${arn} does not exist`);
  }
  if (outpost.region !== scope.region) refuseArn(`The Outpost ${arn} is in the Region ${outpost.region}`);
  return outpost;
}

/** Null where the request names none. Refuses as findOutpost. */
export function outpostAsked(
  ports: Pick<ControlPorts, 'outposts'>,
  scope: Scope,
  text: string | null | undefined,
): Outpost | null {
  return text === null || text === undefined ? null : findOutpost(ports, scope, text);
}

/** Where the snapshot of a volume goes. Refuses: invalid-value, when that is neither the volume's Outpost nor its region. */
export function checkSnapshotPlace(
  volume: Pick<Volume, 'id' | 'outpost'> & { readonly id: VolumeId },
  outpost: Outpost | null,
): OutpostArn | null {
  if (outpost === null) return null;
  if (volume.outpost === null) {
    refuseArn(`The volume ${volume.id} is not on an Outpost; its snapshots are stored in its Region`);
  }
  if (!isSamePlace(volume.outpost, outpost.arn)) {
    refuseArn(
      `The volume ${volume.id} is on ${volume.outpost}; a local snapshot is stored on the Outpost of its volume`,
    );
  }
  return volume.outpost;
}

/** Refuses: invalid-value, when a local snapshot is to become a volume that is not on its Outpost. */
export function checkOriginPlace(origin: Pick<Snapshot, 'id' | 'outpost'> | null, outpost: OutpostArn | null): void {
  if (origin === null || origin.outpost === null || isSamePlace(origin.outpost, outpost)) return;
  refuseArn(`The snapshot ${origin.id} is stored on ${origin.outpost}; it makes volumes on that Outpost only`);
}

/** Refuses: invalid-value, when a volume is to be on an Outpost and in another zone. */
export function checkOutpostZone({ arn, zone: itsZone }: Outpost, zone: string): void {
  if (zone === itsZone) return;
  const reason = `The Outpost ${arn} is in ${itsZone}, and the volume was to be in ${zone}.`;
  refuse({ kind: 'invalid-value', field: 'availabilityZone', reason });
}

/** Refuses: unsupported, for what nobody can do with a local snapshot. */
export function refuseLocal(
  snapshot: { readonly id: SnapshotId; readonly outpost: OutpostArn | null },
  what: string,
): void {
  if (snapshot.outpost === null) return;
  refuse({ kind: 'unsupported', what: `${what} of ${snapshot.id}, a snapshot that is stored on an Outpost,` });
}

function isSamePlace(one: OutpostArn | null, other: OutpostArn | null): boolean {
  if (one === null || other === null) return one === other;
  return outpostIdOf(one) === outpostIdOf(other);
}

function refuseArn(reason: string): never {
  refuse({ kind: 'invalid-value', field: 'outpostArn', reason: `${reason}.` });
}
