import type { AccountId } from '#domain/ids.ts';

import { DAMAGES_MAX, RangeList, type Affected, type Damage } from './verify-report.ts';

/** What must stay readable: a snapshot, or what a volume reads through to. */
export interface RootName {
  readonly kind: Affected['kind'];
  readonly id: string;
}

type Finding = Omit<Damage, 'affects' | 'lost'> & {
  /** The record whose other copies decide whether it is lost; null: `lost` says. */
  readonly record: { readonly account: AccountId; readonly key: Buffer } | null;
  readonly lost: boolean;
};

/** The number of what is missing altogether. */
export const MISSING = DAMAGES_MAX + 1;

/** The damages found, by number, and what each affects. Beyond DAMAGES_MAX they share one entry. */
export class DamageLedger {
  readonly #findings: Finding[] = [];
  readonly #affects = new Map<number, Map<string, { readonly root: RootName; readonly ranges: RangeList }>>();
  #count = 0;
  #missingCount = 0;

  get count(): number {
    return this.#count + (this.#missingCount > 0 ? 1 : 0);
  }

  /** Answers the damage's number. */
  add(finding: Finding): number {
    this.#count += 1;
    if (this.#findings.length < DAMAGES_MAX) return this.#findings.push(finding) - 1;
    if (this.#findings.length === DAMAGES_MAX) {
      const message = 'further damages, told of together';
      this.#findings.push({ ...finding, object: '', place: null, message, record: null, lost: true });
    }
    return DAMAGES_MAX;
  }

  /** Chunks [start, end) of a root are affected. Of one root in ascending order. */
  affect(damage: number, root: RootName, start: number, end: number): void {
    const roots = this.#affects.get(damage) ?? new Map<string, { root: RootName; ranges: RangeList }>();
    this.#affects.set(damage, roots);
    const name = `${root.kind} ${root.id}`;
    const known = roots.get(name) ?? { root, ranges: new RangeList() };
    roots.set(name, known);
    known.ranges.add(start, end);
  }

  /** What is affected is looked for anew. */
  forgetAffected(): void {
    this.#affects.clear();
  }

  /** Records that something needs and that are in no pack; 0: none, which is not told of. */
  set missingCount(count: number) {
    this.#missingCount = count;
  }

  damages(hasWholeCopy: (account: AccountId, key: Buffer) => boolean): readonly Damage[] {
    const found = this.#findings.map(({ record, ...finding }, number) => {
      const isElsewhere = record !== null && hasWholeCopy(record.account, record.key);
      return {
        ...finding,
        lost: finding.lost && !isElsewhere,
        message: isElsewhere ? `${finding.message}; another copy of it is whole` : finding.message,
        affects: this.#affectedBy(number),
      };
    });
    if (this.#missingCount === 0) return found;
    const message = `${this.#missingCount} records that are needed are in no pack`;
    return [
      ...found,
      { what: 'missing', object: '', place: null, message, lost: true, affects: this.#affectedBy(MISSING) },
    ];
  }

  #affectedBy(damage: number): readonly Affected[] {
    return [...(this.#affects.get(damage)?.values() ?? [])].map(({ root, ranges }) =>
      ranges.affected(root.kind, root.id),
    );
  }
}
