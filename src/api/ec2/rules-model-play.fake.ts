import assert from 'node:assert/strict';
import { AwsRefusal } from '#api/aws-error.ts';
import type { SeededRandom } from '#base/random.ts';
import type { ModelMatch, ModelTags } from './rules-model-bin.fake.ts';
import { MAYBE, type ModelSnapshot, type ModelVolume, type Party, type RulesModel } from './rules-model.fake.ts';
import type { Scene } from './scene.fake.ts';

export const KEYS = ['a', 'b', 'c', 'd'];
export const VALUES = ['1', '2', ''];
/** Ids of nothing. */
export const NOWHERE = { volume: 'vol-0123456789abcdef0', snapshot: 'snap-0123456789abcdef0', rule: 'abcdefghijk' };

/** One sequence of requests: what it is played on, and chance. */
export class Play {
  readonly scene: Scene;
  readonly random: SeededRandom;
  readonly parties: readonly Party[];
  readonly model: RulesModel;
  /** How often each operation was answered how. */
  readonly counts: Record<string, number>;

  constructor(parts: Pick<Play, 'scene' | 'random' | 'parties' | 'model' | 'counts'>) {
    this.scene = parts.scene;
    this.random = parts.random;
    this.parties = parts.parties;
    this.model = parts.model;
    this.counts = parts.counts;
  }

  get nowMs(): number {
    return this.scene.clock.nowMs();
  }

  chance(of: number): boolean {
    return this.random.below(of) === 0;
  }

  pick<T>(list: readonly T[]): T {
    assert.ok(list.length > 0, 'there is something to pick from');
    return list[this.random.below(list.length)] as T;
  }

  /** Mostly one of two, which then have to do with each other. */
  anyParty(): Party {
    const [first, other, second] = this.parties;
    assert.ok(first !== undefined && other !== undefined && second !== undefined);
    const owners = [...this.model.snapshots.values(), ...this.model.volumes.values()].map(({ owner }) => owner);
    if (owners.length > 0 && this.chance(2)) return this.pick(owners);
    return this.chance(6) ? this.pick(this.parties) : this.chance(3) ? second : first;
  }

  /** Mostly one that is preferred, and mostly its owner, who asks for it. */
  aSnapshot(isPreferred: (one: ModelSnapshot) => boolean): readonly [Party, string] {
    const all = [...this.model.snapshots.values()];
    const one = this.#preferred(all, (some) => some.bin === null && isPreferred(some));
    if (one === null) return [this.anyParty(), NOWHERE.snapshot];
    return [this.chance(5) ? this.pick(this.parties) : one.owner, one.id];
  }

  /** The same, and mostly of one that is shared, and of which another account in the region asks. */
  aForeignSnapshot(isPreferred: (one: ModelSnapshot) => boolean): readonly [Party, string] {
    const isShared = this.chance(2);
    const [owner, id] = this.aSnapshot((one) => isPreferred(one) && (!isShared || one.sharedWith.size > 0));
    const others = this.parties.filter(({ account, region }) => region === owner.region && account !== owner.account);
    const isForeign = (this.model.snapshots.get(id)?.sharedWith.size ?? 0) > 0 ? !this.chance(4) : this.chance(5);
    return [isForeign ? this.pick(others) : owner, id];
  }

  aVolume(): readonly [Party, string] {
    const one = this.#preferred([...this.model.volumes.values()], ({ bin }) => bin === null);
    if (one === null) return [this.anyParty(), NOWHERE.volume];
    return [this.chance(6) ? this.pick(this.parties) : one.owner, one.id];
  }

  #preferred<R>(all: readonly R[], isPreferred: (one: R) => boolean): R | null {
    const preferred = all.filter((one) => isPreferred(one));
    const list = preferred.length > 0 && !this.chance(5) ? preferred : all;
    return list.length === 0 || this.chance(25) ? null : this.pick(list);
  }

  someResources(): readonly [Party, readonly string[]] {
    const [party, id] = this.chance(2) ? this.aVolume() : this.aSnapshot(() => true);
    const [, other] = this.chance(2) ? this.aVolume() : this.aSnapshot(({ owner }) => owner === party);
    return [party, this.chance(3) ? [...new Set([id, other])] : [id]];
  }

  resources(ids: readonly string[]): readonly (ModelVolume | ModelSnapshot)[] {
    return ids.flatMap((id) => this.model.volumes.get(id) ?? this.model.snapshots.get(id) ?? []);
  }

  tags(): ModelTags {
    return Object.fromEntries(
      KEYS.filter(() => this.chance(4))
        .slice(0, 2)
        .map((key) => [key, this.pick(VALUES)]),
    );
  }

  matches(): readonly ModelMatch[] {
    return [{ key: this.pick(KEYS), value: this.chance(2) ? null : this.pick(VALUES) }];
  }

  /** What a call answers; null when it is refused as it may be. */
  async expect<R>(operation: string, refusals: readonly string[], call: () => Promise<R>): Promise<R | null> {
    const allowed = [...new Set(refusals)].toSorted().join(' or ');
    let code = '';
    let result: R | null = null;
    try {
      result = await call();
    } catch (error) {
      if (!(error instanceof AwsRefusal)) throw error;
      ({ code } = error.error);
    }
    const label = `${operation} ${code === '' ? 'done' : code}`;
    this.counts[label] = (this.counts[label] ?? 0) + 1;
    const isFree = refusals.length === 0 || refusals[0] === MAYBE;
    const isAsExpected = code === '' ? isFree : refusals.includes(code);
    assert.ok(isAsExpected, `${operation} answers ${code || 'success'}, and must answer ${allowed || 'success'}`);
    return result;
  }
}
