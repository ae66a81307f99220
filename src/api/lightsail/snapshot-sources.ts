import { addOnResourceNamed, type AddOnResource } from '#control/machines/add-ons.ts';
import { type AutoSnapshot, autoSnapshots, chooseAutoSnapshot } from '#control/machines/auto-snapshots.ts';
import type { CallContext } from '#api/handler.ts';
import { parseDate } from './dates.ts';
import { refuseInvalid, refuseNotFound } from './errors.ts';

/** How a request names a snapshot: by its name, or an automatic one by its resource and a day. */
export interface SnapshotSource {
  readonly snapshotName: string | undefined;
  readonly resourceName: string | undefined;
  readonly restoreDate: string | undefined;
  readonly useLatest: boolean | undefined;
}

/** What the parameters of a request are called, for its errors. */
export interface SourceWords {
  readonly snapshot: string;
  readonly resource: string;
}

export type ChosenSource =
  | { readonly kind: 'named'; readonly name: string }
  | { readonly kind: 'auto'; readonly resourceName: string; readonly selector: { readonly date: string } | 'latest' };

/** Refuses what says both, neither, or half of one. */
export function chooseSource(source: SnapshotSource, words: SourceWords): ChosenSource {
  const { snapshotName, resourceName, restoreDate, useLatest } = source;
  const selected = restoreDate !== undefined || useLatest === true;
  if (snapshotName !== undefined) {
    if (resourceName !== undefined || selected) {
      refuseInvalid(
        `The parameters ${words.snapshot} and ${words.resource}, restoreDate or useLatestRestorableAutoSnapshot are mutually exclusive.`,
        `Give ${words.snapshot} alone, or ${words.resource} with one of the others.`,
      );
    }
    return { kind: 'named', name: snapshotName };
  }
  if (resourceName === undefined) {
    refuseInvalid(`Either ${words.snapshot} or ${words.resource} is required.`, 'Add one of them.');
  }
  if (restoreDate !== undefined && useLatest === true) {
    refuseInvalid(
      'The parameters restoreDate and useLatestRestorableAutoSnapshot are mutually exclusive.',
      'Give one of them only.',
    );
  }
  if (!selected) {
    refuseInvalid(
      `With ${words.resource}, restoreDate or useLatestRestorableAutoSnapshot is required.`,
      'Add one of them.',
    );
  }
  const selector = restoreDate === undefined ? 'latest' : { date: parseDate(restoreDate, 'restoreDate') };
  return { kind: 'auto', resourceName, selector };
}

/** The automatic snapshot that is meant. Refuses: not-found, also when it is of another type of resource. */
export async function findAuto<T extends AddOnResource['type']>(
  { ports, scope }: CallContext,
  { resourceName, selector }: Extract<ChosenSource, { kind: 'auto' }>,
  type: T,
): Promise<AutoSnapshot & { readonly type: T }> {
  const resource = await ports.meta.read((tx) => addOnResourceNamed(tx, scope, resourceName));
  if (resource.type !== type) refuseNotFound(`The ${type} does not exist: ${resourceName}`);
  const found = chooseAutoSnapshot(await autoSnapshots(ports, resource), selector, resource.type);
  return isOfType(found, type) ? found : refuseNotFound(`The ${type} does not exist: ${resourceName}`);
}

function isOfType<T extends AddOnResource['type']>(
  snapshot: AutoSnapshot,
  type: T,
): snapshot is AutoSnapshot & { readonly type: T } {
  return snapshot.type === type;
}
