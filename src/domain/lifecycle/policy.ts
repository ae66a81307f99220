import type { AccountId, RegionName, SnapshotId, VolumeId } from '#domain/ids.ts';
import type { Tag } from '#domain/tags.ts';
import type { Tags } from '#domain/volume.ts';

/*
 * A lifecycle policy: which volumes are snapshotted when, and how long the snapshots are kept. Its details are kept as they
 * were given, members that were not given being absent, because clients compare what they read with what they wrote.
 */

export type IntervalUnit = 'DAYS' | 'WEEKS' | 'MONTHS' | 'YEARS';

/** A count of snapshots, or an age. */
export interface Retention {
  readonly count?: number;
  readonly interval?: number;
  readonly intervalUnit?: IntervalUnit;
}

export interface CreateRule {
  readonly location?: 'CLOUD' | 'LOCAL_ZONE' | 'OUTPOST_LOCAL';
  /** Hours. */
  readonly interval?: number;
  readonly intervalUnit?: 'HOURS';
  /** `hh:mm`, UTC: when the first of a day begins. */
  readonly times?: readonly string[];
  readonly cronExpression?: string;
}

export interface CrossRegionCopyRule {
  readonly targetRegion?: string;
  readonly target?: string;
  readonly encrypted: boolean;
  readonly cmkArn?: string;
  readonly copyTags?: boolean;
  readonly retainRule?: { readonly interval?: number; readonly intervalUnit?: IntervalUnit };
}

export interface Schedule {
  readonly name?: string;
  readonly copyTags?: boolean;
  readonly tagsToAdd?: readonly Tag[];
  readonly variableTags?: readonly Tag[];
  readonly createRule?: CreateRule;
  readonly retainRule?: Retention;
  readonly fastRestoreRule?: Retention & { readonly availabilityZones?: readonly string[] };
  readonly crossRegionCopyRules?: readonly CrossRegionCopyRule[];
  readonly shareRules?: readonly {
    readonly targetAccounts: readonly string[];
    readonly unshareInterval?: number;
    readonly unshareIntervalUnit?: IntervalUnit;
  }[];
  readonly archiveRule?: { readonly retainRule: { readonly retentionArchiveTier: Retention } };
}

export interface PolicyDetails {
  readonly policyType?: 'EBS_SNAPSHOT_MANAGEMENT' | 'IMAGE_MANAGEMENT' | 'EVENT_BASED_POLICY';
  readonly policyLanguage?: 'STANDARD' | 'SIMPLIFIED';
  readonly resourceTypes?: readonly ('VOLUME' | 'INSTANCE')[];
  readonly resourceLocations?: readonly ('CLOUD' | 'OUTPOST' | 'LOCAL_ZONE')[];
  readonly targetTags?: readonly Tag[];
  readonly schedules?: readonly Schedule[];
  /** Of a policy that targets instances. */
  readonly parameters?: {
    readonly excludeBootVolume?: boolean;
    /** Volumes that have one of them are left out, unless they are the boot volume. */
    readonly excludeDataVolumeTags?: readonly Tag[];
    /** Of images: whether instances go on while they are made. */
    readonly noReboot?: boolean;
  };
  /** Of a policy that waits for events. */
  readonly eventSource?: {
    readonly type: 'MANAGED_CWE';
    readonly parameters?: {
      readonly eventType: 'shareSnapshot';
      readonly snapshotOwner: readonly string[];
      /** A regular expression. */
      readonly descriptionRegex: string;
    };
  };
  readonly actions?: readonly {
    readonly name: string;
    readonly crossRegionCopy: readonly {
      readonly target: string;
      readonly encryptionConfiguration: { readonly encrypted: boolean; readonly cmkArn?: string };
      readonly retainRule?: CrossRegionCopyRule['retainRule'];
    }[];
  }[];
  /** Of a default policy: every volume that has no recent snapshot. */
  readonly resourceType?: 'VOLUME' | 'INSTANCE';
  /** Days. */
  readonly createInterval?: number;
  /** Days. */
  readonly retainInterval?: number;
  readonly copyTags?: boolean;
  /** Snapshots go by age also when their volume is gone. */
  readonly extendDeletion?: boolean;
  readonly crossRegionCopyTargets?: readonly { readonly targetRegion?: string }[];
  readonly exclusions?: {
    readonly excludeBootVolumes?: boolean;
    readonly excludeVolumeTypes?: readonly string[];
    readonly excludeTags?: readonly Tag[];
  };
}

export interface LifecyclePolicy {
  /** `policy-` and 17 hex digits. */
  readonly id: string;
  readonly description: string;
  /** `ERROR`: enabled, and its role cannot be assumed; `trouble` says why. */
  readonly state: 'ENABLED' | 'DISABLED' | 'ERROR';
  /** Why the last run of a schedule did not do all that it should; null: it did. */
  readonly trouble: string | null;
  /** Why what follows the creation (copies, shares, fast restores, the archive) is not done yet; null or missing: all is. */
  readonly followUpTrouble?: string | null;
  readonly roleArn: string;
  /** Of the role, as it was given; null or missing, of an earlier version: there was none, and the policy does nothing. */
  readonly roleId?: string | null;
  readonly details: PolicyDetails;
  readonly tags: Tags;
  readonly createdAtMs: number;
  readonly modifiedAtMs: number;
  /** Of each schedule, in their order: up to when what was due has been done. */
  readonly doneMs: readonly number[];
}

/** A snapshot that a schedule made and will remove. */
export interface ManagedSnapshot {
  readonly snapshot: SnapshotId;
  readonly account: AccountId;
  readonly policy: string;
  /** Index in the policy's schedules. */
  readonly schedule: number;
  readonly volume: VolumeId;
  readonly dueMs: number;
  // What was done for it since, where there was anything to do.
  /** Rules for copies, by their index, whose copies were asked for. */
  readonly copied?: readonly number[];
  /** Rules for sharing that were followed. `endsAtMs` null: it does not end, or has. */
  readonly shares?: readonly {
    readonly rule: number;
    readonly accounts: readonly AccountId[];
    readonly endsAtMs: number | null;
  }[];
  readonly fastRestore?: 'enabled' | 'disabled';
  /** When it was sent into the archive. */
  readonly archivedAtMs?: number;
}

/** A snapshot that is shared with the account, as a policy that waits for that has seen it. */
export interface SeenShare {
  readonly policy: string;
  readonly snapshot: SnapshotId;
  readonly notedAtMs: number;
  /** Copies, by their index, that were asked for; null: it was shared before the policy began to wait. */
  readonly copied: readonly number[] | null;
}

/** The copies that an event asks for, as rules. */
export function eventCopiesOf({ actions = [] }: PolicyDetails): readonly CrossRegionCopyRule[] {
  return actions.flatMap(({ crossRegionCopy }) => crossRegionCopy.map(eventCopyRule));
}

type EventCopy = NonNullable<PolicyDetails['actions']>[number]['crossRegionCopy'][number];

function eventCopyRule({ target, encryptionConfiguration, retainRule }: EventCopy): CrossRegionCopyRule {
  return { target, ...encryptionConfiguration, ...(retainRule === undefined ? {} : { retainRule }) };
}

/** A copy that a rule made, and will remove. */
export interface ManagedCopy {
  readonly copy: SnapshotId;
  readonly source: SnapshotId;
  readonly policy: string;
  /** Where the copy is. */
  readonly region: RegionName;
  /** Null: it stays. */
  readonly retain: { readonly interval: number; readonly intervalUnit: IntervalUnit } | null;
}

/** A default policy is one schedule, too. */
export function schedulesOf({ details }: LifecyclePolicy): readonly Schedule[] {
  if (details.policyLanguage !== 'SIMPLIFIED') return details.schedules ?? [];
  const { copyTags = false, crossRegionCopyTargets = [], retainInterval = DEFAULT_RETAIN_DAYS } = details;
  const retainRule = { interval: retainInterval, intervalUnit: 'DAYS' } as const;
  return [
    {
      name: 'Default Schedule',
      copyTags,
      retainRule,
      crossRegionCopyRules: crossRegionCopyTargets.map(({ targetRegion }) =>
        copyRule(targetRegion, { encrypted: false, copyTags, retainRule }),
      ),
    },
  ];
}

function copyRule(
  targetRegion: string | undefined,
  rule: Omit<CrossRegionCopyRule, 'targetRegion'>,
): CrossRegionCopyRule {
  return targetRegion === undefined ? rule : { ...rule, targetRegion };
}

export const DEFAULT_CREATE_DAYS = 1;
export const DEFAULT_RETAIN_DAYS = 7;
