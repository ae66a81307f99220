import type { AlarmId, InstanceId } from './ids.ts';
import type { MetricName } from './metric.ts';
import type { Scope, Tags } from './volume.ts';

export type AlarmState = 'OK' | 'ALARM' | 'INSUFFICIENT_DATA';
export type Comparison =
  | 'GreaterThanOrEqualToThreshold'
  | 'GreaterThanThreshold'
  | 'LessThanOrEqualToThreshold'
  | 'LessThanThreshold';
export type MissingData = 'breaching' | 'notBreaching' | 'ignore' | 'missing';
export type ContactProtocol = 'Email' | 'SMS';

/** When an alarm goes off: `datapointsToAlarm` of the last `evaluationPeriods` values are beyond the threshold. */
export interface AlarmRule {
  readonly comparison: Comparison;
  readonly threshold: number;
  readonly evaluationPeriods: number;
  readonly datapointsToAlarm: number;
  readonly missingData: MissingData;
}

export interface Alarm extends Scope, AlarmRule {
  readonly id: AlarmId;
  readonly name: string;
  readonly instance: InstanceId;
  readonly metric: MetricName;
  readonly contactProtocols: readonly ContactProtocol[];
  /** States of which somebody is told when it comes to them. */
  readonly triggers: readonly AlarmState[];
  readonly isNotifying: boolean;
  readonly createdAtMs: number;
  readonly state: AlarmState;
  readonly tags: Tags;
}

/**
 * The state by the last values, `null` for each that is missing. A value that is missing counts as the rule says; where it says
 * nothing of it (`missing`, `ignore`), and the others do not decide, the state stays what it is. All are missing: nothing is
 * known, or, with `ignore`, it stays too.
 */
export function evaluateAlarm(rule: AlarmRule, current: AlarmState, values: readonly (number | null)[]): AlarmState {
  const { missingData, datapointsToAlarm } = rule;
  const missing = values.filter((value) => value === null).length;
  let beyond = values.filter((value) => value !== null && isBeyond(rule, value)).length;
  if (missingData === 'breaching') beyond += missing;
  if (beyond >= datapointsToAlarm) return 'ALARM';
  if (missingData === 'breaching' || missingData === 'notBreaching') return 'OK';
  if (missing === values.length) return missingData === 'ignore' ? current : 'INSUFFICIENT_DATA';
  return beyond + missing >= datapointsToAlarm ? current : 'OK';
}

function isBeyond({ comparison, threshold }: AlarmRule, value: number): boolean {
  switch (comparison) {
    case 'GreaterThanOrEqualToThreshold':
      return value >= threshold;
    case 'GreaterThanThreshold':
      return value > threshold;
    case 'LessThanOrEqualToThreshold':
      return value <= threshold;
    case 'LessThanThreshold':
      return value < threshold;
  }
}
