import { type Alarm, type AlarmRule, type AlarmState, type ContactProtocol, evaluateAlarm } from '#domain/alarm.ts';
import { refuse } from '#domain/errors.ts';
import { newAlarmId } from '#domain/ids.ts';
import type { Instance } from '#domain/instance.ts';
import { type MetricName, valueOf } from '#domain/metric.ts';
import { checkName } from '#domain/name.ts';
import type { Operation } from '#domain/operation.ts';
import { TAG_RULES, type Tag, tagsOf } from '#domain/tags.ts';
import type { Scope } from '#domain/volume.ts';
import { recordDone } from '#control/operations.ts';
import { readPage } from '#control/pages.ts';
import type { ControlPorts } from '#control/ports.ts';
import { eachRow } from '#control/tasks/each-row.ts';
import type { DocumentKind } from '#meta/document-table.ts';
import type { ReadTx, Tx } from '#meta/meta-store.ts';
import { lastPoints } from './metrics.ts';
import { INSTANCES, instanceOf } from './records.ts';

/** Listed by the machine that they watch. */
export const ALARMS: DocumentKind<Alarm> = {
  name: 'alarm',
  idOf: ({ id }) => id,
  ownerOf: ({ instance }) => instance,
};

/** Five minutes each: a day. As AWS has it. */
const EVALUATED_MAX = 288;
/** Of an account in a region. */
const ALARM_COUNT_MAX = 1000;

export interface PutAlarm extends AlarmRule {
  readonly name: string;
  readonly instanceName: string;
  readonly metric: MetricName;
  readonly contactProtocols: readonly ContactProtocol[];
  readonly triggers: readonly AlarmState[];
  readonly isNotifying: boolean;
  readonly tags: readonly Tag[];
  readonly operation: string;
}

/**
 * Makes an alarm, or changes the one of that name, of which nothing is known then until it is evaluated. Refuses: not-found
 * (instance), invalid-value, name-taken (by something else), limit.
 */
export async function putAlarm(ports: ControlPorts, scope: Scope, request: PutAlarm): Promise<readonly Operation[]> {
  const { name, instanceName, operation, tags, ...rule } = request;
  checkName(name, 'alarmName');
  checkCount('evaluationPeriods', rule.evaluationPeriods, EVALUATED_MAX);
  checkCount('datapointsToAlarm', rule.datapointsToAlarm, rule.evaluationPeriods);
  return await ports.meta.transact(async (tx) => {
    const instance = await instanceOf(tx, scope, { name: instanceName });
    const before = await alarmSeen(tx, scope, name);
    const id = before?.id ?? newAlarmId(ports.random);
    if (before === null) {
      if ((await tx.documents.count(ALARMS, scope, null)) >= ALARM_COUNT_MAX) {
        refuse({ kind: 'limit', limit: 'resources', max: ALARM_COUNT_MAX });
      }
      if (!(await tx.names.claim(scope, name, id))) refuse({ kind: 'name-taken', name });
    }
    const alarm: Alarm = {
      account: scope.account,
      region: scope.region,
      id,
      name,
      instance: instance.id,
      ...rule,
      createdAtMs: before?.createdAtMs ?? ports.clock.nowMs(),
      state: 'INSUFFICIENT_DATA',
      tags: before?.tags ?? tagsOf(TAG_RULES.lightsail, tags, ports.limitsOf(scope.account).tagCountMax),
    };
    await (before === null ? tx.documents.insert(ALARMS, scope, alarm) : tx.documents.update(ALARMS, scope, alarm));
    return await done(ports, tx, alarm, operation);
  });
}

function checkCount(field: string, value: number, max: number): void {
  if (Number.isInteger(value) && value >= 1 && value <= max) return;
  refuse({ kind: 'invalid-value', field, reason: `it is a whole number, 1 to ${max}` });
}

/** Refuses: not-found. */
export async function deleteAlarm(
  ports: ControlPorts,
  scope: Scope,
  { name, operation }: { readonly name: string; readonly operation: string },
): Promise<readonly Operation[]> {
  return await ports.meta.transact(async (tx) => {
    const alarm = await alarmNamed(tx, scope, name);
    await remove(tx, alarm);
    return await done(ports, tx, alarm, operation);
  });
}

/** As if it had come to the state, until it is evaluated again: whoever would be told is told. Refuses: not-found. */
export async function testAlarm(
  ports: ControlPorts,
  scope: Scope,
  { name, state, operation }: { readonly name: string; readonly state: AlarmState; readonly operation: string },
): Promise<readonly Operation[]> {
  return await ports.meta.transact(async (tx) => {
    const alarm = await alarmNamed(tx, scope, name);
    const changed: Alarm = { ...alarm, state };
    await tx.documents.update(ALARMS, scope, changed);
    notify(ports, changed, 'it is tested');
    return await done(ports, tx, alarm, operation);
  });
}

/** An alarm, and what the machine that it watches is called. */
export interface AlarmSeen {
  readonly alarm: Alarm;
  readonly instance: Instance | null;
}

/** In the order of creation; of one name, and of one machine's name, when they are given. Refuses: page-token-invalid, not-found (of a name). */
export async function listAlarms(
  ports: ControlPorts,
  scope: Scope,
  request: {
    readonly name: string | null;
    readonly instanceName: string | null;
    readonly after: string | null;
    readonly countMax: number;
  },
): Promise<{ readonly alarms: readonly AlarmSeen[]; readonly next: string | null }> {
  const { name, instanceName, ...page } = request;
  if (name !== null) {
    const found = await ports.meta.read(async (tx) => withInstance(tx, await alarmNamed(tx, scope, name)));
    const isAsked = instanceName === null || found.instance?.name === instanceName;
    return { alarms: isAsked ? [found] : [], next: null };
  }
  const owner =
    instanceName === null ? null : (await ports.meta.read((tx) => instanceOf(tx, scope, { name: instanceName }))).id;
  const { records, next } = await readPage<Alarm>(ports, scope, `alarms of ${owner}`, page, (part) =>
    ports.meta.read((tx) => tx.documents.list(ALARMS, scope, owner, part)),
  );
  const alarms = await ports.meta.read(async (tx) => {
    const seen: AlarmSeen[] = [];
    for (const alarm of records) seen.push(await withInstance(tx, alarm));
    return seen;
  });
  return { alarms, next };
}

/** Brings every alarm to the state that the last values say; those of machines that are gone go too. */
export async function evaluateAlarms(ports: ControlPorts, signal: AbortSignal): Promise<void> {
  const nowMs = ports.clock.nowMs();
  for await (const { record } of eachRow((page) => ports.meta.read((tx) => tx.documents.all(ALARMS, page)), signal)) {
    const values = await ports.meta.read(async (tx) => {
      const instance = await tx.documents.find(INSTANCES, record, record.instance);
      if (instance === null) return null;
      const points = await lastPoints(tx, instance, nowMs, record.evaluationPeriods);
      return points.map((point) => (point === null ? null : valueOf(point, record.metric)));
    });
    if (values !== null && evaluateAlarm(record, record.state, values) === record.state) continue;
    await ports.meta.transact(async (tx) => {
      const alarm = await tx.documents.find(ALARMS, record, record.id);
      if (alarm === null) return;
      if (values === null) {
        await remove(tx, alarm);
        return;
      }
      const changed: Alarm = { ...alarm, state: evaluateAlarm(alarm, alarm.state, values) };
      if (changed.state === alarm.state) return;
      await tx.documents.update(ALARMS, alarm, changed);
      notify(ports, changed, `the last values are ${values.map((value) => value ?? 'missing').join(', ')}`);
    });
  }
}

/** Nothing is sent to anybody: whoever collects the server's log is told by it. */
function notify({ log }: ControlPorts, alarm: Alarm, reason: string): void {
  const { name, account, region, instance, metric, state, triggers, isNotifying, contactProtocols } = alarm;
  const isTold = isNotifying && triggers.includes(state);
  const words = { alarm: name, account, region, instance, metric, state, contactProtocols, reason };
  if (isTold) log.warn('alarm.notification', words);
  else log.info('alarm.state', words);
}

async function remove(tx: Tx, alarm: Alarm): Promise<void> {
  await tx.documents.remove(ALARMS, alarm, alarm.id);
  await tx.names.free(alarm, alarm.name, alarm.id);
}

async function withInstance(tx: ReadTx, alarm: Alarm): Promise<AlarmSeen> {
  return { alarm, instance: await tx.documents.find(INSTANCES, alarm, alarm.instance) };
}

async function alarmSeen(tx: ReadTx, scope: Scope, name: string): Promise<Alarm | null> {
  const holder = await tx.names.find(scope, name);
  return holder === null ? null : await tx.documents.find(ALARMS, scope, holder);
}

async function alarmNamed(tx: ReadTx, scope: Scope, name: string): Promise<Alarm> {
  return (await alarmSeen(tx, scope, name)) ?? refuse({ kind: 'not-found', resource: 'alarm', id: name });
}

async function done(
  ports: ControlPorts,
  tx: Tx,
  { account, region, id, name }: Alarm,
  type: string,
): Promise<readonly Operation[]> {
  const draft = { type, resourceName: name, resourceType: 'Alarm', zone: 'all', details: null } as const;
  return await recordDone(ports, tx, { account, region }, id, draft);
}
