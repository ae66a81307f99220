import { refuse } from '#domain/errors.ts';
import type { Instance } from '#domain/instance.ts';
import type { InstanceSnapshot } from '#domain/instance-snapshot.ts';
import type { Snapshot } from '#domain/snapshot.ts';
import type { Scope, Volume } from '#domain/volume.ts';
import { AmbiguousNameError, findAnywhere } from '#control/operator.ts';
import type { ControlPorts } from '#control/ports.ts';
import { INSTANCE_SNAPSHOTS } from './instance-snapshot-records.ts';
import { INSTANCES } from './records.ts';

/** As many are named where a name is of several. */
const CHOICES_MAX = 10;
const ALL = { after: 0, countMax: Number.MAX_SAFE_INTEGER };

/** Whatever the operator means by a name or an id. */
export type OperatorResource =
  | { readonly kind: 'volume'; readonly record: Volume }
  | { readonly kind: 'snapshot'; readonly record: Snapshot }
  | { readonly kind: 'instance'; readonly record: Instance }
  | { readonly kind: 'instance-snapshot'; readonly record: InstanceSnapshot };

/**
 * For whoever runs the server, across accounts and regions: a volume, snapshot, machine or snapshot of a machine, by id, by
 * Lightsail's `supportCode`, by Lightsail's name or the tag Name. Refuses: not-found. Throws AmbiguousNameError with the ids.
 */
export async function resourceOf(ports: ControlPorts, text: string): Promise<OperatorResource> {
  const { account, id = text } = /^(?<account>\d{12})\/(?<id>.+)$/.exec(text)?.groups ?? {};
  const disks = (await findAnywhere(ports, text))
    .filter(({ state }) => state !== 'deleting' && state !== 'cutting')
    .map((record): OperatorResource =>
      'sizeGib' in record ? { kind: 'volume', record } : { kind: 'snapshot', record },
    );
  const isMeant = (record: Scope & { readonly id: string }, name: string | null): boolean =>
    (record.id === id || name === id) && (account === undefined || record.account === account);
  const machines = await ports.meta.read(async (tx): Promise<readonly OperatorResource[]> => {
    const instances = (await tx.documents.all(INSTANCES, ALL)).map(({ record }) => record.record);
    const snapshots = (await tx.documents.all(INSTANCE_SNAPSHOTS, ALL)).map(({ record }) => record.record);
    return [
      ...instances
        .filter((record) => isMeant(record, record.name ?? record.tags['Name'] ?? null))
        .map((record): OperatorResource => ({ kind: 'instance', record })),
      ...snapshots
        .filter((record) => isMeant(record, record.name) && record.state !== 'cutting')
        .map((record): OperatorResource => ({ kind: 'instance-snapshot', record })),
    ];
  });
  const found = [...disks, ...machines];
  const [first] = found;
  if (first === undefined) refuse({ kind: 'not-found', resource: 'resource', id: text });
  if (found.length > 1) {
    const choices = found
      .slice(0, CHOICES_MAX)
      .map(({ kind, record }) => `${record.id} (${kind}, account ${record.account}, ${record.region})`);
    if (found.length > CHOICES_MAX) choices.push(`and ${found.length - CHOICES_MAX} more`);
    throw new AmbiguousNameError(`"${text}" names several: ${choices.join(', ')}. Give the id`);
  }
  return first;
}
