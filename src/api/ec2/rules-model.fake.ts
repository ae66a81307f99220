import { type BinType, type ModelRule, type ModelTags, retentionMs } from './rules-model-bin.fake.ts';
import { isArchived, lockStateAt, type ModelLock, type ModelTier, tierAfter } from './rules-model-locks.fake.ts';

/*
 * What two accounts in two regions have, and what each may do and see, as EC2's reference and user guide state it: a few
 * maps, gone through from end to end. A method that begins with `refuse` says which codes a request may be refused with, in
 * no order, because AWS documents none; an empty list says that it must succeed. What a caller does not see is not found,
 * whatever else is wrong.
 */

/** One account in one region; one object each. */
export interface Party {
  readonly account: string;
  readonly region: string;
}

export interface Binned {
  readonly enteredAtMs: number;
  readonly leavesAtMs: number;
}

export interface ModelVolume {
  readonly id: string;
  readonly owner: Party;
  readonly createdAtMs: number;
  readonly encrypted: boolean;
  readonly origin: ModelSnapshot | null;
  sizeGib: number;
  /** `creating` until the snapshot that another account shares is copied. */
  state: 'creating' | 'available' | 'error';
  /** What its first block is full of; 0: nothing was written. */
  content: number;
  tags: ModelTags;
  /** When the last snapshot of it was begun. */
  cutAtMs: number;
  modifiedAtMs: number[];
  bin: Binned | null;
}

export interface ModelSnapshot {
  readonly id: string;
  readonly owner: Party;
  readonly sizeGib: number;
  readonly description: string;
  readonly startedAtMs: number;
  readonly encrypted: boolean;
  readonly content: number;
  /** Null: it is a copy. */
  readonly volume: ModelVolume | null;
  readonly copyOf: ModelSnapshot | null;
  state: 'pending' | 'completed' | 'error' | 'recovering';
  completedAtMs: number | null;
  tags: ModelTags;
  sharedWith: ReadonlySet<string>;
  lock: ModelLock | null;
  tier: ModelTier | null;
  bin: Binned | null;
}

export type Blocking = 'unblocked' | 'block-new-sharing' | 'block-all-sharing';

export interface Setting {
  blocking: Blocking;
  isEncrypting: boolean;
  readonly rules: Map<string, ModelRule>;
}

/** Small ones, so that they are reached. */
export const MODEL_LIMITS = {
  volumeCountMax: 3,
  volumeGibTotalMax: 24,
  snapshotCountMax: 4,
  pendingCopyCountMax: 1,
  pendingSnapshotsPerVolumeMax: 2,
  snapshotIntervalMsMin: 15_000,
  modificationCountMax: 1,
  tagCountMax: 2,
} as const;

/** What follows it may be refused so; without anything before it, the request may as well succeed. */
export const MAYBE = 'maybe';

const MODIFICATION_MS = 11_000;
const DAY_MS = 86_400_000;

export class RulesModel {
  readonly volumes = new Map<string, ModelVolume>();
  readonly snapshots = new Map<string, ModelSnapshot>();
  readonly #settings = new Map<Party, Setting>();

  settingOf(party: Party): Setting {
    const setting = this.#settings.get(party) ?? { blocking: 'unblocked', isEncrypting: false, rules: new Map() };
    this.#settings.set(party, setting);
    return setting;
  }

  // Who sees what.

  ownVolume(party: Party, id: string): ModelVolume | null {
    const volume = this.volumes.get(id);
    return volume?.owner === party && volume.bin === null ? volume : null;
  }

  ownSnapshot(party: Party, id: string): ModelSnapshot | null {
    const snapshot = this.snapshots.get(id);
    return snapshot?.owner === party && snapshot.bin === null ? snapshot : null;
  }

  /** Own, shared with the account, or public: in a region, out of the bin. */
  usable({ account }: Party, region: string, id: string): ModelSnapshot | null {
    const snapshot = this.snapshots.get(id);
    if (snapshot === undefined || snapshot.bin !== null || snapshot.owner.region !== region) return null;
    const { owner, sharedWith } = snapshot;
    const isPublic = sharedWith.has('all') && this.settingOf(owner).blocking !== 'block-all-sharing';
    return owner.account === account || sharedWith.has(account) || isPublic ? snapshot : null;
  }

  visibleSnapshots(party: Party): readonly ModelSnapshot[] {
    return [...this.snapshots.values()].filter(({ id }) => this.usable(party, party.region, id) !== null);
  }

  ownVolumes(party: Party): readonly ModelVolume[] {
    return [...this.volumes.values()].filter(({ id }) => this.ownVolume(party, id) !== null);
  }

  ownSnapshots(party: Party): readonly ModelSnapshot[] {
    return [...this.snapshots.values()].filter(({ id }) => this.ownSnapshot(party, id) !== null);
  }

  binned<R extends ModelVolume | ModelSnapshot>(party: Party, all: ReadonlyMap<string, R>): readonly R[] {
    return [...all.values()].filter(({ owner, bin }) => owner === party && bin !== null);
  }

  /** Through EBS direct: what is public is read by its account only. */
  refuseRead(party: Party, id: string): readonly string[] {
    const snapshot = this.usable(party, party.region, id);
    const isReadable = snapshot?.owner.account === party.account || snapshot?.sharedWith.has(party.account);
    if (snapshot === null || isReadable !== true) return ['ResourceNotFoundException'];
    return isUsableNow(snapshot) ? [] : ['ValidationException'];
  }

  // Making things.

  refuseVolume(party: Party, originId: string | null, sizeGib: number | null): readonly string[] {
    const origin = originId === null ? null : this.usable(party, party.region, originId);
    if (originId !== null && origin === null) return ['InvalidSnapshot.NotFound'];
    const size = sizeGib ?? origin?.sizeGib;
    if (size === undefined) return ['MissingParameter'];
    const refusals: string[] = [];
    if (origin !== null && !isUsableNow(origin)) refusals.push('IncorrectState');
    if (origin !== null && size < origin.sizeGib) refusals.push('InvalidParameterValue');
    const own = this.#countedVolumes(party);
    if (own.length >= MODEL_LIMITS.volumeCountMax) refusals.push('VolumeLimitExceeded');
    if (gibOf(own) + size > MODEL_LIMITS.volumeGibTotalMax) refusals.push('MaxVolumeSizeExceeded');
    return refusals;
  }

  refuseModification(party: Party, id: string, sizeGib: number, nowMs: number): readonly string[] {
    const volume = this.ownVolume(party, id);
    if (volume === null) return ['InvalidVolume.NotFound'];
    const refusals: string[] = [];
    if (volume.state !== 'available') refusals.push('IncorrectState');
    if (sizeGib < volume.sizeGib) refusals.push('InvalidParameterValue');
    if (sizeGib === volume.sizeGib) return refusals; // Nothing changes.
    const recent = volume.modifiedAtMs.filter((atMs) => nowMs - atMs < DAY_MS);
    if (recent.some((atMs) => nowMs - atMs < MODIFICATION_MS)) refusals.push('IncorrectModificationState');
    if (recent.length >= MODEL_LIMITS.modificationCountMax) refusals.push('VolumeModificationRateExceeded');
    const gib = gibOf(this.#countedVolumes(party)) - volume.sizeGib + sizeGib;
    if (gib > MODEL_LIMITS.volumeGibTotalMax) refusals.push('VolumeModificationSizeLimitExceeded');
    return refusals;
  }

  refuseSnapshot(party: Party, id: string, nowMs: number): readonly string[] {
    const volume = this.ownVolume(party, id);
    if (volume === null) return ['InvalidVolume.NotFound'];
    const refusals: string[] = [];
    const possible: string[] = [];
    if (volume.state !== 'available') refusals.push('IncorrectState');
    const cuts = this.ownSnapshots(party).filter((one) => one.volume === volume);
    const pending = cuts.filter(({ state }) => state === 'pending');
    if (pending.length >= MODEL_LIMITS.pendingSnapshotsPerVolumeMax) refusals.push('ConcurrentSnapshotLimitExceeded');
    const isRecent = (atMs: number): boolean => nowMs - atMs < MODEL_LIMITS.snapshotIntervalMsMin;
    const isFast = cuts.some(({ state, startedAtMs }) => state !== 'error' && isRecent(startedAtMs));
    if (isFast) refusals.push('SnapshotCreationPerVolumeRateExceeded');
    // Whether what was deleted since, or failed, counts is not documented.
    else if (isRecent(volume.cutAtMs)) possible.push('SnapshotCreationPerVolumeRateExceeded');
    this.#snapshotLimit(party, refusals, possible);
    return [...refusals, MAYBE, ...possible];
  }

  refuseCopy(party: Party, sourceRegion: string, id: string): readonly string[] {
    const source = this.usable(party, sourceRegion, id);
    if (source === null) return ['InvalidSnapshot.NotFound'];
    const refusals: string[] = [];
    const possible: string[] = [];
    if (!isUsableNow(source)) refusals.push('IncorrectState');
    const pending = this.ownSnapshots(party).filter((one) => one.volume === null && one.state === 'pending');
    if (pending.length >= MODEL_LIMITS.pendingCopyCountMax) refusals.push('ResourceLimitExceeded');
    this.#snapshotLimit(party, refusals, possible);
    return [...refusals, MAYBE, ...possible];
  }

  refuseShare(party: Party, id: string, added: readonly string[]): readonly string[] {
    const snapshot = this.ownSnapshot(party, id);
    if (snapshot === null) return ['InvalidSnapshot.NotFound'];
    if (added.length === 0) return [];
    // All encrypted snapshots here are encrypted with the account's default key.
    const isBlocked = added.includes('all') && this.settingOf(party).blocking !== 'unblocked';
    return snapshot.encrypted || isBlocked ? ['OperationNotPermitted'] : [];
  }

  refuseTags(party: Party, ids: readonly string[], tags: ModelTags): readonly string[] {
    const refusals: string[] = [];
    if (Object.keys(tags).some((key) => key.startsWith('aws:'))) refusals.push('InvalidParameterValue');
    for (const id of ids) {
      const found = this.ownVolume(party, id) ?? this.ownSnapshot(party, id);
      if (found === null) refusals.push(id.startsWith('vol-') ? 'InvalidVolume.NotFound' : 'InvalidSnapshot.NotFound');
      else if (Object.keys({ ...found.tags, ...tags }).length > MODEL_LIMITS.tagCountMax) {
        refusals.push('TagLimitExceeded');
      }
    }
    return refusals;
  }

  refuseSnapshotDeletion(party: Party, id: string, nowMs: number): readonly string[] {
    const snapshot = this.ownSnapshot(party, id);
    if (snapshot === null) return ['InvalidSnapshot.NotFound'];
    const { lock } = snapshot;
    return lock !== null && lockStateAt(lock, nowMs) !== 'expired' ? ['OperationNotPermitted'] : [];
  }

  // What happens.

  deleteSnapshot(snapshot: ModelSnapshot, nowMs: number): void {
    const isWhole = snapshot.state === 'completed' || snapshot.state === 'recovering';
    const kept = isWhole ? this.#binFor(snapshot, 'EBS_SNAPSHOT', nowMs) : null;
    snapshot.bin = kept;
    if (kept === null) this.snapshots.delete(snapshot.id);
  }

  deleteVolume(volume: ModelVolume, nowMs: number): void {
    volume.bin = volume.state === 'available' ? this.#binFor(volume, 'EBS_VOLUME', nowMs) : null;
    if (volume.bin === null) this.volumes.delete(volume.id);
  }

  #binFor({ owner, tags }: ModelVolume | ModelSnapshot, type: BinType, nowMs: number): Binned | null {
    const keptMs = retentionMs(this.settingOf(owner).rules.values(), type, tags);
    return keptMs === null ? null : { enteredAtMs: nowMs, leavesAtMs: nowMs + keptMs };
  }

  /**
   * What is pending ends: well, or, where the store is `damaged`, not; in a store that is `full` it waits. What is copied is
   * there until its copies are done.
   */
  upload(nowMs: number, store: 'sound' | 'damaged' | 'full'): void {
    if (store === 'full') return;
    for (const snapshot of this.snapshots.values()) {
      if (snapshot.state !== 'pending') continue;
      if (store === 'damaged') {
        // It protects nothing any more.
        Object.assign(snapshot, { state: 'error', lock: null });
        continue;
      }
      snapshot.state = 'completed';
      snapshot.completedAtMs = nowMs;
      const { lock } = snapshot;
      if (lock !== null) snapshot.lock = { ...lock, startedAtMs: nowMs };
    }
    for (const volume of this.volumes.values()) {
      if (volume.state !== 'creating' || volume.origin === null) continue;
      volume.state = store === 'damaged' ? 'error' : 'available';
    }
  }

  /** For a copy, or for a volume of another account. */
  #isCopied(snapshot: ModelSnapshot): boolean {
    const copies = [...this.snapshots.values()].some(({ state, copyOf }) => state === 'pending' && copyOf === snapshot);
    return (
      copies || [...this.volumes.values()].some(({ state, origin }) => state === 'creating' && origin === snapshot)
    );
  }

  /** What the server does by itself as time passes. */
  tend(nowMs: number): void {
    for (const all of [this.volumes, this.snapshots]) {
      for (const { id, bin } of all.values()) if (bin !== null && bin.leavesAtMs <= nowMs) all.delete(id);
    }
    for (const snapshot of this.snapshots.values()) {
      if (snapshot.bin !== null) continue;
      if (snapshot.state === 'recovering') snapshot.state = 'completed';
      if (snapshot.tier !== null) snapshot.tier = tierAfter(snapshot.tier, nowMs, this.#isCopied(snapshot));
    }
  }

  #countedVolumes(party: Party): readonly ModelVolume[] {
    return [...this.volumes.values()].filter(({ owner }) => owner === party);
  }

  /** What is copied from another account for a volume that is being made takes the place of a snapshot meanwhile, or not. */
  #snapshotLimit(party: Party, refusals: string[], possible: string[]): void {
    const count = [...this.snapshots.values()].filter(({ owner }) => owner === party).length;
    const makingCount = this.ownVolumes(party).filter(({ state }) => state === 'creating').length;
    if (count >= MODEL_LIMITS.snapshotCountMax) refusals.push('SnapshotLimitExceeded');
    else if (count + makingCount >= MODEL_LIMITS.snapshotCountMax) possible.push('SnapshotLimitExceeded');
  }
}

/** Whether volumes and copies can be made of it, and its blocks read. */
export function isUsableNow({ state, tier }: ModelSnapshot): boolean {
  return state === 'completed' && !isArchived(tier);
}

function gibOf(volumes: readonly ModelVolume[]): number {
  return volumes.reduce((sum, { sizeGib }) => sum + sizeGib, 0);
}
