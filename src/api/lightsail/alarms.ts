import {
  type AlarmSeen,
  deleteAlarm as remove,
  listAlarms,
  putAlarm as put,
  testAlarm as tryOut,
} from '#control/machines/alarms.ts';
import {
  type ContactMethod as DomainContactMethod,
  createContactMethod as create,
  deleteContactMethod as forget,
  listContactMethods,
  verifyContactMethod,
} from '#control/machines/contact-methods.ts';
import { isMetricName, METRICS, SLOT_MS } from '#domain/metric.ts';
import type { CallContext } from '#api/handler.ts';
import type {
  Alarm,
  ContactMethod,
  CreateContactMethodRequest,
  CreateContactMethodResult,
  DeleteAlarmRequest,
  DeleteAlarmResult,
  DeleteContactMethodRequest,
  DeleteContactMethodResult,
  GetAlarmsRequest,
  GetAlarmsResult,
  GetContactMethodsRequest,
  GetContactMethodsResult,
  PutAlarmRequest,
  PutAlarmResult,
  SendContactMethodVerificationRequest,
  SendContactMethodVerificationResult,
  TestAlarmRequest,
  TestAlarmResult,
} from '#wire/aws/models/lightsail.ts';
import { alarmArn, contactMethodArn, instanceArn } from './arn.ts';
import { refuseUnsupported } from './errors.ts';
import { ITEMS_MAX, nextPage, pageAfter } from './paging.ts';
import { parseTags } from './tags.ts';
import { ALL_ZONES, location, operationView, tagViews } from './views.ts';

export async function putAlarm(
  { ports, scope, operation }: CallContext,
  input: PutAlarmRequest,
): Promise<PutAlarmResult> {
  const { metricName: metric, evaluationPeriods } = input;
  if (!isMetricName(metric)) {
    refuseUnsupported(`The metric ${metric} is not measured here: ${Object.keys(METRICS).join(', ')} are.`);
  }
  const operations = await put(ports, scope, {
    name: input.alarmName,
    instanceName: input.monitoredResourceName,
    metric,
    comparison: input.comparisonOperator,
    threshold: input.threshold,
    evaluationPeriods,
    datapointsToAlarm: input.datapointsToAlarm ?? evaluationPeriods,
    missingData: input.treatMissingData ?? 'missing',
    contactProtocols: input.contactProtocols ?? [],
    triggers: input.notificationTriggers ?? ['ALARM'],
    isNotifying: input.notificationEnabled ?? true,
    tags: parseTags(input.tags),
    operation,
  });
  return { operations: operations.map(operationView) };
}

export async function getAlarms({ ports, scope }: CallContext, input: GetAlarmsRequest): Promise<GetAlarmsResult> {
  const { alarms, next } = await listAlarms(ports, scope, {
    name: input.alarmName ?? null,
    instanceName: input.monitoredResourceName ?? null,
    after: pageAfter(input),
    countMax: ITEMS_MAX,
  });
  return { alarms: alarms.map(alarmView), ...nextPage(next) };
}

export async function deleteAlarm(
  { ports, scope, operation }: CallContext,
  { alarmName: name }: DeleteAlarmRequest,
): Promise<DeleteAlarmResult> {
  const operations = await remove(ports, scope, { name, operation });
  return { operations: operations.map(operationView) };
}

export async function testAlarm(
  { ports, scope, operation }: CallContext,
  { alarmName: name, state }: TestAlarmRequest,
): Promise<TestAlarmResult> {
  const operations = await tryOut(ports, scope, { name, state, operation });
  return { operations: operations.map(operationView) };
}

function alarmView({ alarm, instance }: AlarmSeen): Alarm {
  const { unit, statistic } = METRICS[alarm.metric];
  return {
    name: alarm.name,
    arn: alarmArn(alarm, alarm.id),
    supportCode: `${alarm.account}/${alarm.id}`,
    createdAt: new Date(alarm.createdAtMs),
    location: location(alarm, ALL_ZONES),
    resourceType: 'Alarm',
    monitoredResourceInfo: {
      arn: instanceArn(alarm, alarm.instance),
      name: instance?.name ?? alarm.instance,
      resourceType: 'Instance',
    },
    metricName: alarm.metric,
    comparisonOperator: alarm.comparison,
    threshold: alarm.threshold,
    evaluationPeriods: alarm.evaluationPeriods,
    datapointsToAlarm: alarm.datapointsToAlarm,
    treatMissingData: alarm.missingData,
    period: SLOT_MS / 1000,
    statistic,
    unit,
    state: alarm.state,
    contactProtocols: [...alarm.contactProtocols],
    notificationTriggers: [...alarm.triggers],
    notificationEnabled: alarm.isNotifying,
    tags: tagViews(alarm.tags),
  };
}

export async function createContactMethod(
  { ports, scope, operation }: CallContext,
  input: CreateContactMethodRequest,
): Promise<CreateContactMethodResult> {
  const { protocol, contactEndpoint: endpoint } = input;
  const operations = await create(ports, scope, { protocol, endpoint, tags: parseTags(input.tags), operation });
  return { operations: operations.map(operationView) };
}

export async function getContactMethods(
  { ports, scope }: CallContext,
  { protocols = [] }: GetContactMethodsRequest,
): Promise<GetContactMethodsResult> {
  return { contactMethods: (await listContactMethods(ports, scope, protocols)).map(contactMethodView) };
}

export async function deleteContactMethod(
  { ports, scope, operation }: CallContext,
  { protocol }: DeleteContactMethodRequest,
): Promise<DeleteContactMethodResult> {
  const operations = await forget(ports, scope, { protocol, operation });
  return { operations: operations.map(operationView) };
}

export async function sendContactMethodVerification(
  { ports, scope, operation }: CallContext,
  { protocol }: SendContactMethodVerificationRequest,
): Promise<SendContactMethodVerificationResult> {
  const operations = await verifyContactMethod(ports, scope, { protocol, operation });
  return { operations: operations.map(operationView) };
}

/** It stays to be verified: no message is sent that could be answered. */
function contactMethodView(contact: DomainContactMethod): ContactMethod {
  return {
    name: contact.protocol,
    arn: contactMethodArn(contact, contact.id),
    supportCode: `${contact.account}/${contact.id}`,
    createdAt: new Date(contact.createdAtMs),
    location: location(contact, ALL_ZONES),
    resourceType: 'ContactMethod',
    contactEndpoint: contact.endpoint,
    protocol: contact.protocol,
    status: 'PendingVerification',
    tags: tagViews(contact.tags),
  };
}
