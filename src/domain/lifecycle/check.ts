import { refuse } from '#domain/errors.ts';
import { parseAccountId } from '#domain/ids.ts';
import { findRegion } from '#domain/region.ts';
import { parseCron } from './cron.ts';
import type { CreateRule, PolicyDetails, Retention, Schedule } from './policy.ts';
import { INTERVAL_HOURS } from './schedule.ts';

const SCHEDULE_COUNT_MAX = 4;
const TARGET_TAG_COUNT_MAX = 50;
const COUNT_MAX = 1000;
const OWNER_COUNT_MAX = 50;
const EVENT_COPIES_MAX = 3;

function invalid(field: string, reason: string): never {
  refuse({ kind: 'invalid-value', field, reason });
}

/** Refuses details that no run could follow: missing, invalid-value, exclusive, unsupported. */
export function checkDetails(details: PolicyDetails): void {
  const type = details.policyType ?? 'EBS_SNAPSHOT_MANAGEMENT';
  if (type === 'EVENT_BASED_POLICY') {
    checkEvents(details);
    return;
  }
  if (type !== 'EBS_SNAPSHOT_MANAGEMENT') refuse({ kind: 'unsupported', what: `the policy type ${type}` });
  if (details.eventSource !== undefined || details.actions !== undefined) {
    refuse({ kind: 'exclusive', fields: [type, 'EventSource or Actions'] });
  }
  const locations = details.resourceLocations ?? ['CLOUD'];
  if (locations.some((location) => location === 'LOCAL_ZONE')) refuse({ kind: 'unsupported', what: 'a Local Zone' });
  if (details.policyLanguage === 'SIMPLIFIED') checkDefault(details);
  else checkStandard(details);
}

function checkEvents({ eventSource, actions = [], schedules, targetTags }: PolicyDetails): void {
  if (schedules !== undefined || targetTags !== undefined) {
    refuse({ kind: 'exclusive', fields: ['EVENT_BASED_POLICY', 'Schedules or TargetTags'] });
  }
  if (eventSource === undefined) refuse({ kind: 'missing', field: 'EventSource' });
  const { parameters } = eventSource;
  if (parameters === undefined) refuse({ kind: 'missing', field: 'Parameters' });
  if (parameters.snapshotOwner.length === 0) refuse({ kind: 'missing', field: 'SnapshotOwner' });
  if (parameters.snapshotOwner.length > OWNER_COUNT_MAX) invalid('SnapshotOwner', `at most ${OWNER_COUNT_MAX}`);
  const wrong = parameters.snapshotOwner.find((account) => parseAccountId(account) === null);
  if (wrong !== undefined) invalid('SnapshotOwner', `${wrong} is no account`);
  if (!isPattern(parameters.descriptionRegex)) invalid('DescriptionRegex', 'it is no regular expression');
  const [action, ...more] = actions;
  if (action === undefined) refuse({ kind: 'missing', field: 'Actions' });
  if (more.length > 0) invalid('Actions', 'a policy has one');
  if (action.crossRegionCopy.length === 0) refuse({ kind: 'missing', field: 'CrossRegionCopy' });
  if (action.crossRegionCopy.length > EVENT_COPIES_MAX) invalid('CrossRegionCopy', `at most ${EVENT_COPIES_MAX}`);
  for (const { target, retainRule } of action.crossRegionCopy) {
    if (findRegion(target) === null) invalid('Target', `there is no region ${target}`);
    if (retainRule !== undefined) checkRetention('RetainRule', retainRule, 1);
  }
}

function isPattern(text: string): boolean {
  try {
    return new RegExp(text) instanceof RegExp;
  } catch {
    return false;
  }
}

function checkDefault({ resourceType, createInterval, retainInterval, schedules, targetTags }: PolicyDetails): void {
  if (resourceType === undefined) refuse({ kind: 'missing', field: 'DefaultPolicy' });
  if (resourceType === 'INSTANCE') refuse({ kind: 'unsupported', what: 'a default policy that makes images' });
  if (createInterval !== undefined && (createInterval < 1 || createInterval > 7)) {
    invalid('CreateInterval', 'a default policy creates snapshots every 1 to 7 days');
  }
  if (retainInterval !== undefined && (retainInterval < 2 || retainInterval > 14)) {
    invalid('RetainInterval', 'a default policy keeps snapshots for 2 to 14 days');
  }
  if ((retainInterval ?? 7) <= (createInterval ?? 1)) {
    invalid('RetainInterval', 'snapshots must be kept for longer than the time between two of them');
  }
  if (schedules !== undefined || targetTags !== undefined) {
    refuse({ kind: 'exclusive', fields: ['DefaultPolicy', 'Schedules or TargetTags'] });
  }
}

function checkStandard(details: PolicyDetails): void {
  const { resourceTypes = [], targetTags = [], schedules = [], resourceLocations = ['CLOUD'] } = details;
  if (resourceTypes.length !== 1) refuse({ kind: 'missing', field: 'ResourceTypes' });
  if (targetTags.length === 0) refuse({ kind: 'missing', field: 'TargetTags' });
  if (targetTags.length > TARGET_TAG_COUNT_MAX) invalid('TargetTags', `at most ${TARGET_TAG_COUNT_MAX}`);
  const unique = new Set(targetTags.map(({ key, value }) => JSON.stringify([key, value])));
  if (unique.size < targetTags.length) invalid('TargetTags', 'a tag is given twice');
  if (schedules.length === 0) refuse({ kind: 'missing', field: 'Schedules' });
  if (schedules.length > SCHEDULE_COUNT_MAX) invalid('Schedules', `at most ${SCHEDULE_COUNT_MAX}`);
  const names = schedules.map(({ name }) => name ?? '');
  if (new Set(names).size < names.length) invalid('Schedules', 'every schedule needs a name of its own');
  checkParameters(details);
  for (const schedule of schedules) {
    checkSchedule(schedule, resourceTypes[0] ?? 'VOLUME');
    if (schedule.createRule?.location === 'OUTPOST_LOCAL') checkLocal(schedule, resourceLocations);
  }
}

function checkParameters({ resourceTypes = [], parameters = {} }: PolicyDetails): void {
  const { noReboot, excludeBootVolume, excludeDataVolumeTags } = parameters;
  if (noReboot !== undefined) invalid('NoReboot', 'it is for policies of images');
  if (resourceTypes[0] === 'INSTANCE') {
    const count = excludeDataVolumeTags?.length ?? 0;
    if (count > TARGET_TAG_COUNT_MAX) invalid('ExcludeDataVolumeTags', `at most ${TARGET_TAG_COUNT_MAX}`);
    return;
  }
  if (excludeBootVolume !== undefined) invalid('ExcludeBootVolume', 'it is for policies that target instances');
  if (excludeDataVolumeTags !== undefined) invalid('ExcludeDataVolumeTags', 'it is for policies that target instances');
}

function checkSchedule(schedule: Schedule, resourceType: 'VOLUME' | 'INSTANCE'): void {
  if (schedule.createRule === undefined) refuse({ kind: 'missing', field: 'CreateRule' });
  checkCreateRule(schedule.createRule);
  if (schedule.retainRule === undefined) refuse({ kind: 'missing', field: 'RetainRule' });
  checkRetention('RetainRule', schedule.retainRule, schedule.archiveRule === undefined ? 1 : 0);
  if (schedule.variableTags !== undefined && schedule.variableTags.length > 0 && resourceType !== 'INSTANCE') {
    invalid('VariableTags', 'they are for policies that target instances');
  }
  if (schedule.archiveRule !== undefined) {
    checkRetention('RetentionArchiveTier', schedule.archiveRule.retainRule.retentionArchiveTier, 1);
  }
  for (const { targetAccounts } of schedule.shareRules ?? []) {
    const wrong = targetAccounts.find((account) => parseAccountId(account) === null);
    if (wrong !== undefined) invalid('TargetAccounts', `${wrong} is no account`);
  }
  const { fastRestoreRule, crossRegionCopyRules = [] } = schedule;
  if (fastRestoreRule !== undefined) {
    checkRetention('FastRestoreRule', fastRestoreRule, 1);
    if ((fastRestoreRule.availabilityZones ?? []).length === 0) refuse({ kind: 'missing', field: 'AvailabilityZones' });
  }
  for (const { targetRegion, target, retainRule } of crossRegionCopyRules) {
    const region = targetRegion ?? target;
    if (region === undefined) refuse({ kind: 'missing', field: 'TargetRegion' });
    if (findRegion(region) === null) invalid('TargetRegion', `there is no region ${region}`);
    if (retainRule !== undefined) checkRetention('CrossRegionCopyRetainRule', retainRule, 1);
  }
}

/** Local snapshots are of volumes on Outposts, and stay as they are and where they are. */
function checkLocal(schedule: Schedule, locations: PolicyDetails['resourceLocations'] & object): void {
  if (locations.some((location) => location !== 'OUTPOST')) {
    invalid('Location', 'OUTPOST_LOCAL is for policies whose ResourceLocations is OUTPOST');
  }
  const { crossRegionCopyRules = [], fastRestoreRule, archiveRule } = schedule;
  if (crossRegionCopyRules.length > 0) refuse({ kind: 'exclusive', fields: ['OUTPOST_LOCAL', 'CrossRegionCopyRules'] });
  if (fastRestoreRule !== undefined) refuse({ kind: 'exclusive', fields: ['OUTPOST_LOCAL', 'FastRestoreRule'] });
  if (archiveRule !== undefined) refuse({ kind: 'exclusive', fields: ['OUTPOST_LOCAL', 'ArchiveRule'] });
}

function checkCreateRule({ interval, intervalUnit, times = [], cronExpression, location }: CreateRule): void {
  if (location === 'LOCAL_ZONE') refuse({ kind: 'unsupported', what: 'a Local Zone' });
  if (cronExpression !== undefined) {
    if (interval !== undefined || times.length > 0)
      refuse({ kind: 'exclusive', fields: ['CronExpression', 'Interval'] });
    const cron = parseCron(cronExpression);
    if (cron === null) invalid('CronExpression', `${cronExpression} is not one`);
    if (cron.minutes.length > 1) invalid('CronExpression', 'snapshots are made once an hour at most');
    return;
  }
  if (interval === undefined) refuse({ kind: 'missing', field: 'Interval' });
  if (intervalUnit === undefined) refuse({ kind: 'missing', field: 'IntervalUnit' });
  if (times.some((time) => !/^([01]\d|2[0-3]):[0-5]\d$/.test(time))) invalid('Times', 'a time is hh:mm');
  if (!INTERVAL_HOURS.includes(interval)) invalid('Interval', `it is one of ${INTERVAL_HOURS.join(', ')} hours`);
}

function checkRetention(field: string, { count, interval, intervalUnit }: Retention, least: number): void {
  if (count !== undefined && interval !== undefined)
    refuse({ kind: 'exclusive', fields: [`${field}.Count`, 'Interval'] });
  if (count === undefined && interval === undefined) refuse({ kind: 'missing', field });
  if (count !== undefined && (count < least || count > COUNT_MAX))
    invalid(field, `a count is ${least} to ${COUNT_MAX}`);
  if (interval === undefined) return;
  if (interval < least) invalid(field, `an interval is at least ${least}`);
  if (intervalUnit === undefined) refuse({ kind: 'missing', field: `${field}.IntervalUnit` });
  const daysMax = 36_500;
  const days = { DAYS: 1, WEEKS: 7, MONTHS: 30, YEARS: 365 }[intervalUnit];
  if (interval * days > daysMax) invalid(field, 'an age is at most 100 years');
}
